import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, asApiError, take } from "../api/client";
import { keys } from "../api/queries";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFooter } from "../ui/dialog";
import { Notice } from "../ui/notice";

/** Asks before the master key is changed, and begins it. */
export function ChangeMasterKey({ unfinished, onClose }: { unfinished: boolean; onClose: () => void }) {
  const cache = useQueryClient();
  const change = useMutation({
    mutationFn: () => take(api.POST("/api/keys/rotate")),
    onSuccess: (begun) => {
      cache.setQueryData(keys.masterKey, begun);
      // It may be over already: what the stream said of it came before this answer.
      void cache.invalidateQueries({ queryKey: keys.masterKey });
      onClose();
    },
  });
  const problem = change.error === null ? null : asApiError(change.error);
  return (
    <Dialog open onClose={onClose} title={unfinished ? "Go on with the change?" : "Change the master key?"} width="sm">
      <DialogBody>
        <p className="text-base">The copy that you keep doesn’t open what is sealed from now on: copy the new file afterwards.</p>
        <p className="text-muted">The old file stays beside it, because backups from before need it.</p>
        {problem && (
          <Notice tone="red" role="alert" title={problem.message}>
            {problem.hint}
          </Notice>
        )}
      </DialogBody>
      <DialogFooter>
        <Button onClick={onClose}>Cancel</Button>
        <Button variant="primary" autoFocus busy={change.isPending} onClick={() => change.mutate()}>
          {unfinished ? "Go on" : "Change it"}
        </Button>
      </DialogFooter>
    </Dialog>
  );
}
