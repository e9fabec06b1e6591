import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { CircleAlert, CircleCheck, CircleHelp } from "lucide-react";
import type { ReactNode } from "react";
import { api, take } from "../api/client";
import { connectionsQuery, modelsQuery } from "../api/queries";
import type { Connection, Verification } from "../api/types";
import { putConnection, useConnectionActions } from "../components/connection-actions";
import { tell } from "../components/project-actions";
import { TONE_TEXT } from "../ui/badge";
import { Button } from "../ui/button";
import { cn } from "../ui/cn";
import { DialogBody, DialogFooter } from "../ui/dialog";
import { VERIFICATION } from "../components/states";

const SAID: Record<Verification["outcome"], { icon: ReactNode; title: string }> = {
  valid: { icon: <CircleCheck aria-hidden />, title: "Works" },
  limited: { icon: <CircleCheck aria-hidden />, title: "Works, with limits" },
  no_credit: { icon: <CircleAlert aria-hidden />, title: "Works, but has no credit" },
  invalid: { icon: <CircleAlert aria-hidden />, title: "Kept, although it was rejected" },
  unreachable: { icon: <CircleHelp aria-hidden />, title: "Saved, not verified" },
  unsupported: { icon: <CircleHelp aria-hidden />, title: "Saved. This provider offers no way to check a key" },
};

/** What the provider said about a key that was saved. */
export function ConnectionResult({ connection, onConnection, onClose }: { connection: Connection; onConnection: (changed: Connection) => void; onClose: () => void }) {
  const cache = useQueryClient();
  const { data: models } = useQuery(modelsQuery(connection.provider_id));
  const { data: connections } = useQuery(connectionsQuery);
  const { makeDefault } = useConnectionActions(connection);
  const current = connections?.find((each) => each.id === connection.id) ?? connection;
  const again = useMutation({
    mutationFn: () => take(api.POST("/api/connections/{id}/verify", { params: { path: { id: connection.id } } })),
    onSuccess: (changed) => {
      putConnection(cache, changed);
      onConnection(changed);
    },
    onError: tell,
  });
  const outcome = connection.verification?.outcome ?? "unsupported";
  const said = SAID[outcome];
  return (
    <>
      <DialogBody>
        <div className="flex gap-3" role="status">
          <span className={cn("[&>svg]:size-5", TONE_TEXT[VERIFICATION[outcome].tone])}>{said.icon}</span>
          <div className="grid gap-1">
            <p className="text-base font-medium">
              {said.title}
              {models && outcome !== "invalid" && <span className="font-normal text-muted"> · {models.length} models</span>}
            </p>
            <p className="text-muted">{connection.verification?.detail}</p>
            <p className="text-xs text-faint">{connection.delivery.reason}</p>
          </div>
        </div>
      </DialogBody>
      <DialogFooter>
        {outcome === "unreachable" && (
          <Button busy={again.isPending} onClick={() => again.mutate()}>
            Try again
          </Button>
        )}
        {!current.is_default && (
          <Button busy={makeDefault.isPending} onClick={() => makeDefault.mutate()}>
            Make it my default
          </Button>
        )}
        <Button variant="primary" onClick={onClose} autoFocus>
          Done
        </Button>
      </DialogFooter>
    </>
  );
}
