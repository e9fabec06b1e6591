import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take, type ApiError } from "../api/client";
import { sessionKeys } from "../api/session";
import { Button } from "../ui/button";
import { Field, Input, SecretInput } from "../ui/input";
import { Notice } from "../ui/notice";

const FIELDS = new Set<string | null | undefined>(["username", "password", "setup_code"]);

export function SetUpAccountForm({ codeRequired }: { codeRequired: boolean }) {
  const cache = useQueryClient();
  const navigate = useNavigate();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const setUp = useMutation({
    mutationFn: () => take(api.POST("/api/setup", { body: { username: username.trim(), password, ...(codeRequired ? { setup_code: code.trim() } : {}) } })),
    onSuccess: async (user) => {
      cache.removeQueries({ queryKey: sessionKeys.health });
      cache.setQueryData(sessionKeys.me, user);
      await navigate({ to: "/", replace: true });
    },
  });
  const problem = setUp.error === null ? null : asApiError(setUp.error);
  const field = problem?.code === "setup_code_wrong" ? "setup_code" : problem?.field;
  const wrong = (name: string) => (field === name ? problem?.message : undefined);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    setUp.mutate();
  };
  return (
    <form className="grid gap-4" onSubmit={submit}>
      <Field label="Username" error={wrong("username")}>
        {(control) => <Input {...control} autoFocus required autoComplete="username" autoCapitalize="off" spellCheck={false} value={username} onChange={(event) => setUsername(event.target.value)} />}
      </Field>
      <Field label="Password" error={wrong("password")} hint="At least 8 characters. A sentence is fine.">
        {(control) => <SecretInput {...control} required autoComplete="new-password" value={password} onChange={(event) => setPassword(event.target.value)} />}
      </Field>
      {codeRequired && (
        <Field label="Setup code" error={wrong("setup_code")} hint="It stands in the terminal where doce was started.">
          {(control) => <Input {...control} required className="font-mono" autoComplete="one-time-code" autoCapitalize="off" spellCheck={false} value={code} onChange={(event) => setCode(event.target.value)} />}
        </Field>
      )}
      {problem && !FIELDS.has(field) && <SetUpProblem problem={problem} />}
      <Button type="submit" variant="primary" size="lg" busy={setUp.isPending}>
        Make the account
      </Button>
    </form>
  );
}

function SetUpProblem({ problem }: { problem: ApiError }) {
  const navigate = useNavigate();
  if (problem.code === "setup_done") {
    return (
      <Notice
        tone="amber"
        role="alert"
        title="The first account exists already"
        actions={
          <Button size="sm" onClick={() => void navigate({ to: "/sign-in" })}>
            Sign in
          </Button>
        }
      />
    );
  }
  return (
    <Notice tone="red" role="alert" title={problem.message}>
      {problem.hint}
    </Notice>
  );
}
