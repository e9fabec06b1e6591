// Sign in at a provider: the questions it asks first, then what the person has to do there, until it is over.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ExternalLink, LoaderCircle } from "lucide-react";
import { lazy, Suspense, useEffect, useRef, useState, type ReactNode, type SubmitEvent } from "react";
import { api, asApiError, done, take } from "../api/client";
import { attemptQuery, keys } from "../api/queries";
import type { Connection, Method, OAuthAttempt, Provider } from "../api/types";
import { putConnection } from "../components/connection-actions";
import { CopyButton } from "../components/copy-button";
import { Button } from "../ui/button";
import { DialogBody, DialogFooter } from "../ui/dialog";
import { Field, Input } from "../ui/input";
import { Notice } from "../ui/notice";
import { defaultOf, PromptField, useAnswers } from "./method-prompts";

const QrCode = lazy(() => import("../components/qr-code"));

const SECOND_MS = 1_000;

type Props = {
  provider: Provider;
  method: Method;
  /** The connection whose sign-in has run out; a new one is made without it. */
  renewing: Connection | undefined;
  /** Told whether a sign-in is under way: then there is no other way to choose. */
  onSigningIn: (under: boolean) => void;
  onBack: () => void;
  onConnected: (connection: Connection) => void;
};

export function SignInAtProvider(props: Props) {
  const [attempt, setAttempt] = useState<OAuthAttempt | null>(null);
  const go = (next: OAuthAttempt | null) => {
    setAttempt(next);
    props.onSigningIn(next !== null);
  };
  if (attempt === null) return <Begin {...props} onBegun={go} />;
  return <Attempt key={attempt.id} {...props} begun={attempt} onAgain={() => go(null)} />;
}

function Begin({ provider, method, renewing, onBack, onBegun }: Props & { onBegun: (attempt: OAuthAttempt) => void }) {
  // Where a sign-in that is done again was is not told here, so no address is guessed then.
  const address = renewing ? null : provider.default_base_url;
  const { asked, answers, answer, given } = useAnswers(method.prompts, address);
  const [label, setLabel] = useState("");
  const begin = useMutation({
    mutationFn: () =>
      take(
        api.POST("/api/oauth-attempts", {
          body: {
            provider_id: provider.id,
            method: method.index,
            inputs: given(),
            ...(label.trim() && !renewing ? { label: label.trim() } : {}),
            ...(renewing ? { connection_id: renewing.id } : {}),
          },
        }),
      ),
    onSuccess: onBegun,
  });
  const problem = begin.error === null ? null : asApiError(begin.error);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    begin.mutate();
  };
  if (method.refusal !== null) {
    return (
      <>
        <DialogBody>
          <Notice tone="amber" title="This way doesn’t work here">
            {method.refusal}
          </Notice>
        </DialogBody>
        <DialogFooter>
          <Button onClick={onBack}>Back</Button>
        </DialogFooter>
      </>
    );
  }
  return (
    <form onSubmit={submit} className="flex min-h-0 flex-col">
      <DialogBody>
        {asked.map((prompt) => (
          <PromptField key={prompt.key} prompt={prompt} defaultAnswer={defaultOf(prompt, address)} value={answers[prompt.key] ?? ""} error={undefined} onChange={(value) => answer(prompt.key, value)} />
        ))}
        {!renewing && (
          <Field label="Label" optional error={problem?.code === "label_taken" ? problem.message : undefined}>
            {(control) => <Input {...control} placeholder="personal" autoComplete="off" value={label} onChange={(event) => setLabel(event.target.value)} />}
          </Field>
        )}
        {problem && problem.code !== "label_taken" && (
          <p role="alert" className="text-sm text-red">
            {problem.message} {problem.hint}
          </p>
        )}
        {method.tested && method.refusal === null && (
          <p className="text-xs text-faint">{`Tested ${method.tested}, and not yet at ${provider.name} itself. Tell us how yours goes.`}</p>
        )}
        <p className="text-xs text-muted">You sign in on {provider.name}’s own page; doce never sees your password, and renews what you get there by itself where it runs out. {provider.delivery.reason}</p>
      </DialogBody>
      <DialogFooter>
        <Button onClick={onBack}>Back</Button>
        <Button type="submit" variant="primary" busy={begin.isPending}>
          {begin.isPending ? "Preparing the sign-in…" : "Sign in"}
        </Button>
      </DialogFooter>
    </form>
  );
}

function Attempt({ provider, begun, onConnected, onAgain }: Props & { begun: OAuthAttempt; onAgain: () => void }) {
  const cache = useQueryClient();
  const { data: attempt = begun } = useQuery({ ...attemptQuery(begun.id), initialData: begun });
  const cancel = useMutation({ mutationFn: () => done(api.DELETE("/api/oauth-attempts/{id}", { params: { path: { id: begun.id } } })) });
  const connected = useMutation({
    mutationFn: (id: string) => take(api.GET("/api/connections/{id}", { params: { path: { id } } })),
    onSuccess: (connection) => {
      putConnection(cache, connection);
      onConnected(connection);
    },
  });
  // A sign-in that nobody looks at any more is given up: its server is heavy, and may hold a port.
  const state = useRef(attempt.state);
  const { mutate: giveUp } = cancel;
  useEffect(() => {
    state.current = attempt.state;
  }, [attempt.state]);
  const leaving = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => {
    // Strict mode takes every effect back once and does it again: that is nobody leaving.
    clearTimeout(leaving.current);
    return () => {
      leaving.current = setTimeout(() => {
        if (state.current === "waiting") giveUp();
      });
    };
  }, [giveUp]);
  const { mutate: finish } = connected;
  useEffect(() => {
    if (attempt.state === "succeeded" && attempt.connection_id !== null) finish(attempt.connection_id);
  }, [attempt.state, attempt.connection_id, finish]);

  if (attempt.state === "failed" || attempt.state === "expired" || attempt.state === "cancelled") {
    return (
      <>
        <DialogBody>
          <Notice tone="red" title={ENDED[attempt.state]}>
            {attempt.reason ?? `Nothing was changed at ${provider.name}.`}
          </Notice>
        </DialogBody>
        <DialogFooter>
          <Button variant="primary" onClick={onAgain}>
            Begin again
          </Button>
        </DialogFooter>
      </>
    );
  }
  return (
    <>
      <DialogBody>
        <Steps attempt={attempt} provider={provider} />
        <p role="status" className="flex items-center gap-2 text-sm text-muted">
          <LoaderCircle className="size-4 shrink-0 animate-spin" aria-hidden />
          {attempt.state === "succeeded" ? "Signed in. Putting it away safely…" : <Waiting until={attempt.expires_at} />}
        </p>
      </DialogBody>
      <DialogFooter>
        <Button busy={cancel.isPending} onClick={() => cancel.mutate()}>
          Cancel
        </Button>
      </DialogFooter>
    </>
  );
}

const ENDED = { failed: "The sign-in failed", expired: "The sign-in took too long", cancelled: "The sign-in was cancelled" } as const;

function Steps({ attempt, provider }: { attempt: OAuthAttempt; provider: Provider }) {
  const open = attempt.url && (
    <a href={attempt.url} target="_blank" rel="noopener noreferrer" className="link inline-flex items-center gap-1 font-medium break-all">
      Open {shortAddress(attempt.url)}
      <ExternalLink className="size-3.5 shrink-0" aria-hidden />
    </a>
  );
  switch (attempt.kind) {
    case "device":
      return (
        <div className="flex items-start gap-4">
          <ol className="grid min-w-0 flex-1 gap-4">
            <Step number={1}>{open} on any device</Step>
            <Step number={2}>
              Enter this code
              <span className="mt-1.5 flex flex-wrap items-center gap-2">
                <code className="rounded-md border border-line bg-sunken px-3 py-1.5 font-mono text-2xl tracking-widest select-all">{attempt.code}</code>
                <CopyButton text={attempt.code ?? ""} label="Copy the code" />
              </span>
            </Step>
          </ol>
          <Suspense fallback={null}>
            <QrCode text={attempt.url} label={`The address of ${provider.name}’s page, to be read by a phone`} />
          </Suspense>
        </div>
      );
    case "redirect":
      return (
        <ol className="grid gap-4">
          <Step number={1}>{open} and sign in</Step>
          <Step number={2}>
            If your browser then can’t open an address that begins with <code className="font-mono text-xs break-all">{attempt.address}</code>, copy that address and paste it here.
            <Paste attempt={attempt} label="The address your browser could not open" placeholder={`${attempt.address}?code=…`} />
          </Step>
        </ol>
      );
    case "code":
      return (
        <ol className="grid gap-4">
          <Step number={1}>{open} and sign in</Step>
          <Step number={2}>
            Paste the code that you are shown.
            <Paste attempt={attempt} label="Code" placeholder="" />
          </Step>
        </ol>
      );
    case "page":
      return (
        <p className="grid gap-2">
          {open}
          <span className="text-muted">{attempt.instructions}</span>
        </p>
      );
  }
}

function Step({ number, children }: { number: number; children: ReactNode }) {
  return (
    <li className="flex gap-3">
      <span aria-hidden className="grid size-5 shrink-0 place-content-center rounded-full bg-hover text-xs text-muted tabular-nums">
        {number}
      </span>
      <div className="min-w-0 flex-1">{children}</div>
    </li>
  );
}

function Paste({ attempt, label, placeholder }: { attempt: OAuthAttempt; label: string; placeholder: string }) {
  const cache = useQueryClient();
  const [text, setText] = useState("");
  const answer = useMutation({
    mutationFn: () => take(api.POST("/api/oauth-attempts/{id}/code", { params: { path: { id: attempt.id } }, body: { code: text.trim() } })),
    onSuccess: () => void cache.invalidateQueries({ queryKey: keys.attempt(attempt.id) }),
  });
  const problem = answer.error === null ? null : asApiError(answer.error);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    answer.mutate();
  };
  return (
    <form onSubmit={submit} className="mt-2 grid gap-2">
      <Field label={label} error={problem?.message}>
        {(control) => (
          <Input {...control} required className="font-mono text-xs" placeholder={placeholder} autoComplete="off" spellCheck={false} value={text} onChange={(event) => setText(event.target.value)} />
        )}
      </Field>
      <Button type="submit" size="sm" className="justify-self-start" busy={answer.isPending}>
        Use this address
      </Button>
    </form>
  );
}

function Waiting({ until }: { until: string }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), SECOND_MS);
    return () => clearInterval(timer);
  }, []);
  const left = Math.max(0, Math.round((new Date(until).getTime() - now) / SECOND_MS));
  return (
    <span>
      Waiting for you… <span className="tabular-nums">{`${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`}</span> left
    </span>
  );
}

function shortAddress(url: string): string {
  try {
    const { host, pathname } = new URL(url);
    return pathname.length > 1 && pathname.length < 24 ? `${host}${pathname}` : host;
  } catch {
    return url;
  }
}
