import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../api/client";
import { keys } from "../api/queries";
import type { User } from "../api/types";
import { ShownOnce } from "../components/shown-once";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFooter } from "../ui/dialog";
import { Notice } from "../ui/notice";
import { RoleField } from "./role-field";

export function InviteSomebody({ onClose }: { onClose: () => void }) {
  const cache = useQueryClient();
  const [role, setRole] = useState<User["role"]>("member");
  const invite = useMutation({
    mutationFn: () => take(api.POST("/api/invites", { body: { role } })),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.invites }),
  });
  if (invite.data !== undefined) {
    return (
      <Dialog open onClose={onClose} title="Send them this link" width="md">
        <DialogBody>
          <div className="grid gap-3">
            <p>Whoever opens it first makes an account, within seven days. It is not shown again.</p>
            <ShownOnce label="the link" text={`${location.origin}${invite.data.path}`} />
            {["localhost", "127.0.0.1", "[::1]"].includes(location.hostname) && (
              <p className="text-sm text-muted">This address works on this machine only. Open doce under the name that others use, and make the link there.</p>
            )}
          </div>
        </DialogBody>
        <DialogFooter>
          <Button variant="primary" autoFocus onClick={onClose}>
            I have it
          </Button>
        </DialogFooter>
      </Dialog>
    );
  }
  const problem = invite.error === null ? null : asApiError(invite.error);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    invite.mutate();
  };
  return (
    <Dialog open onClose={onClose} title="Invite by link" width="sm">
      <form onSubmit={submit}>
        <DialogBody>
          <div className="grid gap-3">
            <p>They choose their own name and password.</p>
            <RoleField value={role} onChange={setRole} />
            {problem && (
              <Notice tone="red" role="alert" title={problem.message}>
                {problem.hint}
              </Notice>
            )}
          </div>
        </DialogBody>
        <DialogFooter>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="primary" autoFocus busy={invite.isPending}>
            Make the link
          </Button>
        </DialogFooter>
      </form>
    </Dialog>
  );
}
