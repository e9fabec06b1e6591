// The one button of a failure, and what it does.
import { useQuery } from "@tanstack/react-query";
import { connectionsQuery, providersQuery } from "../api/queries";
import type { Failure, Project } from "../api/types";
import { openReplace } from "./connection-actions";
import { openDialog } from "./dialogs";
import { useProjectActions } from "./project-actions";

export type WorkspaceControls = {
  pickModel: () => void;
  openLogs: () => void;
  /** Puts a text into the prompt field, for the person to send. */
  suggest: (text: string) => void;
};

/** What the button says where another model is the way out. */
export const PICK = "Pick another model";

export type FailureButton = { label: string; run: () => void; busy: boolean };

/** What can be done about a failure here, or nothing. */
export function useFailureButton(project: Project, failure: Failure | null, controls: WorkspaceControls, jobId: string | null): FailureButton | null {
  const { data: connections } = useQuery(connectionsQuery);
  const { data: providers } = useQuery({ ...providersQuery, enabled: failure?.action.kind === "connect_provider" || failure?.action.kind === "top_up" });
  const actions = useProjectActions(project.id);
  if (failure === null) return null;
  const { kind, label, connection_id } = failure.action;
  const connect = () => openDialog({ kind: "connect-provider", providerId: project.model.provider_id });
  switch (kind) {
    case "connect_provider": {
      const name = providers?.find((each) => each.id === project.model.provider_id)?.name;
      return { label: name ? `Connect ${name}` : label || "Connect a provider", run: connect, busy: false };
    }
    case "replace_key": {
      const connection = connections?.find((each) => each.id === connection_id) ?? connections?.find((each) => each.provider_id === project.model.provider_id);
      const again = connection?.auth_type === "oauth";
      return { label: again ? "Sign in again" : label || "Replace key", run: connection ? () => openReplace(connection) : connect, busy: false };
    }
    case "retry":
      return jobId === null
        ? { label: label || "Continue", run: () => actions.resume.mutate(), busy: actions.resume.isPending }
        : { label: label || "Try again", run: () => actions.retry.mutate(jobId), busy: actions.retry.isPending };
    case "continue":
      return { label: label || "Continue", run: () => actions.resume.mutate(), busy: actions.resume.isPending };
    case "start":
      return { label: label || "Start", run: () => actions.start.mutate(), busy: actions.start.isPending };
    case "top_up": {
      const page = providers?.find((each) => each.id === project.model.provider_id)?.credit_url;
      return page ? { label: label || "Top up", run: () => void window.open(page, "_blank", "noopener,noreferrer"), busy: false } : { label: PICK, run: controls.pickModel, busy: false };
    }
    case "switch_model":
      return { label: label || PICK, run: controls.pickModel, busy: false };
    case "open_logs":
      return { label: label || "Open the logs", run: controls.openLogs, busy: false };
    case "none":
      return null;
  }
}
