import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../api/client";
import { sessionKeys } from "../api/session";
import { keys } from "../api/queries";
import { Button } from "../ui/button";
import { Field, SecretInput } from "../ui/input";
import { toast } from "../ui/toast";

export function ChangePasswordForm({ username }: { username: string }) {
  const cache = useQueryClient();
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const change = useMutation({
    mutationFn: () => take(api.PATCH("/api/me", { body: { current_password: current, new_password: next } })),
    onSuccess: async (user) => {
      cache.setQueryData(sessionKeys.me, user);
      setCurrent("");
      setNext("");
      toast("Password changed. Every other sign-in has ended.");
      await cache.invalidateQueries({ queryKey: keys.signIns });
    },
  });
  const problem = change.error === null ? null : asApiError(change.error);
  const onNew = problem?.field === "new_password" || problem?.field === "password";
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    change.mutate();
  };
  return (
    <form className="grid max-w-sm gap-3" onSubmit={submit}>
      <input type="text" autoComplete="username" value={username} readOnly hidden />
      <Field label="Current password" error={problem && !onNew ? problem.message : undefined}>
        {(control) => <SecretInput {...control} required autoComplete="current-password" value={current} onChange={(event) => setCurrent(event.target.value)} />}
      </Field>
      <Field label="New password" error={onNew ? problem.message : undefined}>
        {(control) => <SecretInput {...control} required autoComplete="new-password" value={next} onChange={(event) => setNext(event.target.value)} />}
      </Field>
      <div>
        <Button type="submit" busy={change.isPending}>
          Change password
        </Button>
      </div>
    </form>
  );
}
