// One dialog at a time, opened from anywhere. Each form is loaded when it is first asked for.
import { lazy, Suspense, useSyncExternalStore } from "react";
import type { Connection, ConnectionDelivery, Project } from "../api/types";

export type DialogRequest =
  | { kind: "command-menu" }
  | { kind: "connect-provider"; providerId?: string; renewing?: Connection }
  | { kind: "replace-key"; connection: Connection }
  | { kind: "rename-connection"; connection: Connection }
  | { kind: "disconnect-connection"; connection: Connection }
  | { kind: "connection-age"; connection: Connection }
  | { kind: "edit-custom-provider"; providerId: string }
  | { kind: "apply-now"; connection: Connection; delivery: ConnectionDelivery }
  | { kind: "rename-project"; project: Project }
  | { kind: "delete-project"; project: Project; onDeleted?: () => void };

let current: DialogRequest | null = null;
const listeners = new Set<() => void>();

function set(next: DialogRequest | null): void {
  current = next;
  for (const listener of listeners) listener();
}

export function openDialog(request: DialogRequest): void {
  set(request);
}

export function closeDialog(): void {
  set(null);
}

export function isDialogOpen(): boolean {
  return current !== null;
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const CommandMenu = lazy(() => import("./command-menu"));
const ConnectProvider = lazy(() => import("../forms/connect-provider"));
const ReplaceKey = lazy(() => import("../forms/replace-key"));
const RenameConnection = lazy(() => import("../forms/rename-connection"));
const DisconnectConnection = lazy(() => import("../forms/disconnect-connection"));
const ConnectionAge = lazy(() => import("../forms/connection-age"));
const EditCustomProvider = lazy(() => import("../forms/edit-custom-provider"));
const ApplyNow = lazy(() => import("../forms/apply-now"));
const RenameProject = lazy(() => import("../forms/rename-project"));
const DeleteProject = lazy(() => import("../forms/delete-project"));

function show(request: DialogRequest) {
  switch (request.kind) {
    case "command-menu":
      return <CommandMenu onClose={closeDialog} />;
    case "connect-provider":
      return <ConnectProvider onClose={closeDialog} {...(request.providerId ? { providerId: request.providerId } : {})} {...(request.renewing ? { renewing: request.renewing } : {})} />;
    case "replace-key":
      return <ReplaceKey connection={request.connection} onClose={closeDialog} />;
    case "rename-connection":
      return <RenameConnection connection={request.connection} onClose={closeDialog} />;
    case "disconnect-connection":
      return <DisconnectConnection connection={request.connection} onClose={closeDialog} />;
    case "connection-age":
      return <ConnectionAge connection={request.connection} onClose={closeDialog} />;
    case "edit-custom-provider":
      return <EditCustomProvider providerId={request.providerId} onClose={closeDialog} />;
    case "apply-now":
      return <ApplyNow connection={request.connection} delivery={request.delivery} onClose={closeDialog} />;
    case "rename-project":
      return <RenameProject project={request.project} onClose={closeDialog} />;
    case "delete-project":
      return <DeleteProject project={request.project} onClose={closeDialog} {...(request.onDeleted ? { onDeleted: request.onDeleted } : {})} />;
  }
}

export function Dialogs() {
  const request = useSyncExternalStore(subscribe, () => current);
  return <Suspense fallback={null}>{request && show(request)}</Suspense>;
}
