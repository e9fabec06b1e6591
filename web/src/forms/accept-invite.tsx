import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../api/client";
import { sessionKeys } from "../api/session";
import { Button } from "../ui/button";
import { Field, Input, SecretInput } from "../ui/input";
import { Notice } from "../ui/notice";

/** The account that a link invites to. */
export function AcceptInviteForm({ token }: { token: string }) {
  const cache = useQueryClient();
  const navigate = useNavigate();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const accept = useMutation({
    mutationFn: () => take(api.POST("/api/invited/account", { body: { token, username: username.trim(), password } })),
    onSuccess: async (user) => {
      // Somebody else may have been signed in here.
      cache.clear();
      cache.setQueryData(sessionKeys.me, user);
      await navigate({ to: "/", replace: true });
    },
  });
  const problem = accept.error === null ? null : asApiError(accept.error);
  const wrong = (name: string) => (problem?.field === name ? problem.message : undefined);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    accept.mutate();
  };
  return (
    <form className="grid gap-4" onSubmit={submit}>
      <Field label="Username" error={wrong("username")}>
        {(control) => <Input {...control} autoFocus required autoComplete="username" autoCapitalize="off" spellCheck={false} value={username} onChange={(event) => setUsername(event.target.value)} />}
      </Field>
      <Field label="Password" error={wrong("password")} hint="At least 8 characters. A sentence is fine.">
        {(control) => <SecretInput {...control} required autoComplete="new-password" value={password} onChange={(event) => setPassword(event.target.value)} />}
      </Field>
      {problem && wrong("username") === undefined && wrong("password") === undefined && (
        <Notice tone="red" role="alert" title={problem.message}>
          {problem.hint}
        </Notice>
      )}
      <Button type="submit" variant="primary" size="lg" busy={accept.isPending}>
        Make the account
      </Button>
    </form>
  );
}
