import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, asApiError, take } from "../api/client";
import type { Connection, ConnectionDelivery } from "../api/types";
import { putProject } from "../components/project-actions";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFooter } from "../ui/dialog";
import { Notice } from "../ui/notice";
import { toast } from "../ui/toast";

/** A newer key waits for the end of an answer. Ending the answer is all it takes: an idle agent is given the key at once. */
export default function ApplyNow({ connection, delivery, onClose }: { connection: Connection; delivery: ConnectionDelivery; onClose: () => void }) {
  const cache = useQueryClient();
  const stop = useMutation({
    mutationFn: () => take(api.POST("/api/projects/{id}/abort", { params: { path: { id: delivery.project_id } } })),
    onSuccess: (changed) => {
      putProject(cache, changed);
      toast(`${delivery.project_name}: the answer is stopped, and the newest key goes to its agent.`);
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} title="Apply the key now?" width="sm">
      <DialogBody>
        <p className="text-base">
          The agent of <span className="font-medium">{delivery.project_name}</span> is answering with the key of {connection.provider_name} that it had before. The newest one waits for the end of that answer.
        </p>
        <p className="text-muted">Applying it now stops the answer. What was written stays, and you can continue from there.</p>
        {stop.error && <Notice tone="red" role="alert" title={asApiError(stop.error).message} />}
      </DialogBody>
      <DialogFooter>
        <Button autoFocus onClick={onClose}>
          Let it finish
        </Button>
        <Button variant="danger-solid" busy={stop.isPending} onClick={() => stop.mutate()}>
          Stop the answer and apply
        </Button>
      </DialogFooter>
    </Dialog>
  );
}
