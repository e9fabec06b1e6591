import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../api/client";
import { sessionKeys } from "../api/session";
import { Button } from "../ui/button";
import { Field, Input, SecretInput } from "../ui/input";
import { Notice } from "../ui/notice";

export function SignInForm({ next }: { next: string }) {
  const cache = useQueryClient();
  const router = useRouter();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const signIn = useMutation({
    mutationFn: () => take(api.POST("/api/sign-in", { body: { username: username.trim(), password } })),
    onSuccess: (user) => {
      cache.setQueryData(sessionKeys.me, user);
      router.history.replace(next);
    },
  });
  const problem = signIn.error === null ? null : asApiError(signIn.error);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    signIn.mutate();
  };
  return (
    <form className="grid gap-4" onSubmit={submit}>
      <Field label="Username">
        {(control) => <Input {...control} autoFocus required autoComplete="username" autoCapitalize="off" spellCheck={false} value={username} onChange={(event) => setUsername(event.target.value)} />}
      </Field>
      <Field label="Password">
        {(control) => <SecretInput {...control} required autoComplete="current-password" value={password} onChange={(event) => setPassword(event.target.value)} />}
      </Field>
      {problem && (
        <Notice tone={problem.code === "throttled" ? "amber" : "red"} role="alert" title={problem.message}>
          {problem.code === "throttled" && problem.retryAfterSeconds !== null ? `Try again in ${problem.retryAfterSeconds} seconds.` : problem.hint}
        </Notice>
      )}
      <Button type="submit" variant="primary" size="lg" busy={signIn.isPending}>
        Sign in
      </Button>
    </form>
  );
}
