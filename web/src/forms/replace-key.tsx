import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../api/client";
import { providersQuery } from "../api/queries";
import type { Connection } from "../api/types";
import { putConnection } from "../components/connection-actions";
import { ProviderMark } from "../components/provider-mark";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFooter } from "../ui/dialog";
import { Field, Input, SecretInput } from "../ui/input";
import { ConnectionResult } from "./connection-result";
import { KeyPage } from "./key-page";
import { PromptField } from "./method-prompts";
import { RejectedKey } from "./rejected-key";

export default function ReplaceKey({ connection, onClose }: { connection: Connection; onClose: () => void }) {
  const cache = useQueryClient();
  const { data: providers } = useQuery(providersQuery);
  const provider = providers?.find((each) => each.id === connection.provider_id);
  const keyUrl = provider?.key_url ?? null;
  const prompts = provider?.methods.find((method) => method.kind === "api")?.prompts ?? [];
  const [key, setKey] = useState("");
  const [baseUrl, setBaseUrl] = useState(connection.base_url ?? "");
  // What was answered before is sealed: what stays empty here stays as it is.
  const [answers, setAnswers] = useState<Record<string, string>>({});
  const metadata = Object.fromEntries(Object.entries(answers).flatMap(([name, answer]) => (answer.trim() === "" ? [] : [[name, answer.trim()]])));
  const answered = Object.keys(metadata).length > 0;
  const [replaced, setReplaced] = useState<Connection | null>(null);
  const replace = useMutation({
    mutationFn: (keepUnverified: boolean) =>
      take(
        api.PATCH("/api/connections/{id}", {
          params: { path: { id: connection.id } },
          body: { ...(key.trim() ? { key: key.trim() } : {}), ...(answered ? { metadata } : {}), ...(baseUrl.trim() !== (connection.base_url ?? "") ? { base_url: baseUrl.trim() || null } : {}), ...(keepUnverified ? { keep_unverified: true } : {}) },
        }),
      ),
    onSuccess: (changed) => {
      putConnection(cache, changed);
      setReplaced(changed);
    },
  });
  const problem = replace.error === null ? null : asApiError(replace.error);
  const rejected = problem?.code === "key_rejected";
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    replace.mutate(false);
  };
  const used = connection.project_count;

  return (
    <Dialog open onClose={onClose} title={`Replace the key: ${connection.provider_name}`} width="sm" before={<ProviderMark id={connection.provider_id} name={connection.provider_name} />}>
      {replaced ? (
        <ConnectionResult connection={replaced} onConnection={setReplaced} onClose={onClose} />
      ) : (
        <form onSubmit={submit} className="flex min-h-0 flex-col">
          <DialogBody>
            <p className="text-muted">
              <span className="text-text">{connection.label}</span>
              {connection.last_four === "" ? (
                ", without a key so far. "
              ) : (
                <>
                  , ending in <code className="font-mono">{connection.last_four}</code>.{" "}
                </>
              )}
              {used === 0 ? "No project uses it." : `${used === 1 ? "One project uses" : `${used} projects use`} it; each gets the new key when its agent is idle. No answer is cut off.`}
            </p>
            <Field label="New API key" hint={keyUrl && <KeyPage url={keyUrl} />} error={problem && !rejected && problem.field !== "base_url" && problem.field !== "metadata" ? problem.message : undefined}>
              {(control) => <SecretInput {...control} autoFocus required={!answered} autoComplete="off" value={key} onChange={(event) => setKey(event.target.value)} />}
            </Field>
            {prompts.map((prompt) => (
              <PromptField
                key={prompt.key}
                prompt={prompt}
                unchanged
                defaultAnswer=""
                value={answers[prompt.key] ?? ""}
                error={problem?.field === "metadata" && problem.message.includes(prompt.key) ? problem.message : undefined}
                onChange={(value) => setAnswers((before) => ({ ...before, [prompt.key]: value }))}
              />
            ))}
            {connection.base_url !== null && (
              <Field label="Base URL" hint="Empty means the provider’s own." error={problem?.field === "base_url" ? problem.message : undefined}>
                {(control) => <Input {...control} type="url" className="font-mono" value={baseUrl} onChange={(event) => setBaseUrl(event.target.value)} />}
              </Field>
            )}
            {rejected && <RejectedKey providerName={connection.provider_name} keyUrl={keyUrl} problem={problem} keeping={replace.isPending} onKeep={() => replace.mutate(true)} onEdit={() => replace.reset()} />}
          </DialogBody>
          <DialogFooter>
            <Button onClick={onClose}>Cancel</Button>
            <Button type="submit" variant="primary" busy={replace.isPending}>
              {replace.isPending ? `Asking ${connection.provider_name}…` : "Check and replace"}
            </Button>
          </DialogFooter>
        </form>
      )}
    </Dialog>
  );
}
