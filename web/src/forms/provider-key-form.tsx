import { useMutation } from "@tanstack/react-query";
import { ChevronRight, ExternalLink, Eye } from "lucide-react";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../api/client";
import type { Connection, MethodPrompt, Provider } from "../api/types";
import { Button } from "../ui/button";
import { cn } from "../ui/cn";
import { DialogBody, DialogFooter } from "../ui/dialog";
import { Field, Input, NativeSelect, SecretInput } from "../ui/input";
import { RejectedKey } from "./rejected-key";

const OWN_FIELDS = new Set<string | null | undefined>(["key", "label", "base_url"]);

/** Which of a method's prompts apply to what was answered so far. */
export function applicable(prompts: MethodPrompt[], answers: Record<string, string>): MethodPrompt[] {
  return prompts.filter(({ when }) => {
    if (when === null) return true;
    const equal = (answers[when.key] ?? "") === when.value;
    return when.op === "eq" ? equal : !equal;
  });
}

type Props = {
  provider: Provider;
  /** Labels that this provider's other connections have. */
  taken: string[];
  onBack: () => void;
  onConnected: (connection: Connection) => void;
};

export function ProviderKeyForm({ provider, taken, onBack, onConnected }: Props) {
  const prompts = provider.methods.find((method) => method.kind === "api")?.prompts ?? [];
  const [key, setKey] = useState("");
  const [label, setLabel] = useState("");
  const [baseUrl, setBaseUrl] = useState("");
  const [advanced, setAdvanced] = useState(provider.base_url_required);
  const [answers, setAnswers] = useState<Record<string, string>>(() => Object.fromEntries(prompts.filter((prompt) => prompt.kind === "select").map((prompt) => [prompt.key, prompt.options[0]?.value ?? ""])));
  const asked = applicable(prompts, answers);

  const connect = useMutation({
    mutationFn: (keepUnverified: boolean) => {
      const metadata = Object.fromEntries(asked.map((prompt) => [prompt.key, (answers[prompt.key] ?? "").trim()]).filter(([, value]) => value !== ""));
      return take(
        api.POST("/api/connections", {
          body: {
            provider_id: provider.id,
            auth_type: "api",
            key: key.trim(),
            ...(label.trim() ? { label: label.trim() } : {}),
            ...(baseUrl.trim() ? { base_url: baseUrl.trim() } : {}),
            ...(Object.keys(metadata).length > 0 ? { metadata } : {}),
            ...(keepUnverified ? { keep_unverified: true } : {}),
          },
        }),
      );
    },
    onSuccess: onConnected,
  });
  const problem = connect.error === null ? null : asApiError(connect.error);
  const field = problem?.code === "label_taken" ? "label" : problem?.field;
  const rejected = problem?.code === "key_rejected";
  const promptKey = asked.find((prompt) => field === prompt.key || field === `metadata.${prompt.key}`)?.key;
  const wrong = (name: string) => (problem && !rejected && field === name ? [problem.message, problem.hint].filter(Boolean).join(" ") : undefined);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    connect.mutate(false);
  };
  const elsewhere = problem && !rejected && promptKey === undefined && !OWN_FIELDS.has(field);

  return (
    <form onSubmit={submit} className="flex min-h-0 flex-col">
      <DialogBody>
        <Field
          label="API key"
          error={wrong("key")}
          hint={
            provider.key_url && (
              <>
                From{" "}
                <a className="link inline-flex items-center gap-1" href={provider.key_url} target="_blank" rel="noopener noreferrer">
                  {hostOf(provider.key_url)}
                  <ExternalLink className="size-3" aria-hidden />
                </a>
              </>
            )
          }
        >
          {(control) => <SecretInput {...control} autoFocus required={!provider.base_url_required} autoComplete="off" value={key} onChange={(event) => setKey(event.target.value)} />}
        </Field>
        {asked.map((prompt) => (
          <PromptField
            key={prompt.key}
            prompt={prompt}
            value={answers[prompt.key] ?? ""}
            error={promptKey === prompt.key ? problem?.message : undefined}
            onChange={(value) => setAnswers({ ...answers, [prompt.key]: value })}
          />
        ))}
        <Field label="Label" optional error={wrong("label")} hint={taken.length > 0 ? `You have ${provider.name} as ${taken.map((each) => `“${each}”`).join(", ")}.` : undefined}>
          {(control) => <Input {...control} placeholder="personal" autoComplete="off" value={label} onChange={(event) => setLabel(event.target.value)} />}
        </Field>
        <div className="grid gap-3">
          {!provider.base_url_required && (
            <button type="button" aria-expanded={advanced} onClick={() => setAdvanced(!advanced)} className="flex items-center gap-1 justify-self-start rounded text-sm text-muted hover:text-text">
              <ChevronRight className={cn("size-3.5 transition-transform", advanced && "rotate-90")} aria-hidden />
              Advanced: base URL
            </button>
          )}
          {(advanced || wrong("base_url")) && (
            <Field label="Base URL" optional={!provider.base_url_required} error={wrong("base_url")} hint={provider.default_base_url ? "For a proxy of your own. Empty means the provider’s." : "Where the provider’s API is, for example http://localhost:11434/v1."}>
              {(control) => (
                <Input
                  {...control}
                  type="url"
                  inputMode="url"
                  required={provider.base_url_required}
                  className="font-mono"
                  placeholder={provider.default_base_url ?? "https://…/v1"}
                  autoComplete="off"
                  spellCheck={false}
                  value={baseUrl}
                  onChange={(event) => setBaseUrl(event.target.value)}
                />
              )}
            </Field>
          )}
        </div>
        {rejected && <RejectedKey providerName={provider.name} keyUrl={provider.key_url} problem={problem} keeping={connect.isPending} onKeep={() => connect.mutate(true)} onEdit={() => connect.reset()} />}
        {elsewhere && (
          <p role="alert" className="text-sm text-red">
            {problem.message} {problem.hint}
          </p>
        )}
        <p className="flex gap-2 text-xs text-muted">
          <Eye className="mt-px size-3.5 shrink-0" aria-hidden />
          <span>Checked with {provider.name}, sealed on this server. {provider.delivery.reason}</span>
        </p>
      </DialogBody>
      <DialogFooter>
        <Button onClick={onBack}>Back</Button>
        <Button type="submit" variant="primary" busy={connect.isPending}>
          {connect.isPending ? `Asking ${provider.name}…` : "Check and connect"}
        </Button>
      </DialogFooter>
    </form>
  );
}

function PromptField({ prompt, value, error, onChange }: { prompt: MethodPrompt; value: string; error: string | undefined; onChange: (value: string) => void }) {
  const chosen = prompt.options.find((option) => option.value === value);
  return (
    <Field label={prompt.message} error={error} hint={chosen?.hint}>
      {(control) =>
        prompt.kind === "select" ? (
          <NativeSelect {...control} value={value} onChange={(event) => onChange(event.target.value)}>
            {prompt.options.map((option) => (
              <option key={option.value} value={option.value}>
                {option.label}
              </option>
            ))}
          </NativeSelect>
        ) : (
          <Input {...control} required placeholder={prompt.placeholder ?? undefined} autoComplete="off" spellCheck={false} value={value} onChange={(event) => onChange(event.target.value)} />
        )
      }
    </Field>
  );
}

function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}
