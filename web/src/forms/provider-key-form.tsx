import { useMutation } from "@tanstack/react-query";
import { ChevronRight, Eye } from "lucide-react";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../api/client";
import type { Connection, Provider } from "../api/types";
import { Button } from "../ui/button";
import { cn } from "../ui/cn";
import { DialogBody, DialogFooter } from "../ui/dialog";
import { Field, Input, SecretInput } from "../ui/input";
import { KeyPage } from "./key-page";
import { defaultOf, PromptField, useAnswers } from "./method-prompts";
import { RejectedKey } from "./rejected-key";

const OWN_FIELDS = new Set<string | null | undefined>(["key", "label", "base_url"]);

type Props = {
  provider: Provider;
  /** Labels that this provider's other connections have. */
  taken: string[];
  /** A key that was pasted before its provider was known. */
  pasted: string;
  onBack: () => void;
  onConnected: (connection: Connection) => void;
};

export function ProviderKeyForm({ provider, taken, pasted, onBack, onConnected }: Props) {
  const prompts = provider.methods.find((method) => method.kind === "api")?.prompts ?? [];
  const [key, setKey] = useState(pasted);
  const [label, setLabel] = useState("");
  const [baseUrl, setBaseUrl] = useState("");
  const [advanced, setAdvanced] = useState(provider.base_url_required);
  const { asked, answers, answer, given } = useAnswers(prompts, provider.default_base_url);

  const connect = useMutation({
    mutationFn: (keepUnverified: boolean) => {
      const metadata = Object.fromEntries(Object.entries(given()).filter(([, value]) => value !== ""));
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
          hint={provider.key_url && <KeyPage url={provider.key_url} />}
        >
          {(control) => <SecretInput {...control} autoFocus required={!provider.base_url_required} autoComplete="off" value={key} onChange={(event) => setKey(event.target.value)} />}
        </Field>
        {provider.id === "anthropic" && (
          <p className="text-xs text-muted">An API key from the Console, not a Claude subscription: Anthropic doesn’t let other programs use a subscription’s sign-in.</p>
        )}
        {asked.map((prompt) => (
          <PromptField
            key={prompt.key}
            prompt={prompt}
            defaultAnswer={defaultOf(prompt, provider.default_base_url)}
            value={answers[prompt.key] ?? ""}
            error={promptKey === prompt.key ? problem?.message : undefined}
            onChange={(value) => answer(prompt.key, value)}
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
