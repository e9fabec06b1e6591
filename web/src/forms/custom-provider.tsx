// An endpoint of one's own: where it is, its key, its models. It may have been found on the server's machine, or be taken
// from what an organisation publishes.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Eye } from "lucide-react";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../api/client";
import { keys } from "../api/queries";
import type { Connection, CustomModel, EndpointOffer } from "../api/types";
import { Button } from "../ui/button";
import { DialogBody, DialogFooter } from "../ui/dialog";
import { Field, Input, SecretInput } from "../ui/input";
import { CustomModels } from "./custom-models";
import { RejectedKey } from "./rejected-key";
import { WellKnown } from "./well-known";

/** More than these are not taken over unasked: nobody wants four hundred models in a picker. */
const TAKEN_AT_ONCE = 12;

type Props = { offer: EndpointOffer | null; onBack: () => void; onConnected: (connection: Connection) => void };

export function CustomProviderForm({ offer, onBack, onConnected }: Props) {
  const cache = useQueryClient();
  const [name, setName] = useState(offer?.name ?? "");
  const [baseUrl, setBaseUrl] = useState(offer?.base_url ?? "");
  const [key, setKey] = useState("");
  const [keyLabel, setKeyLabel] = useState("API key");
  const [offered, setOffered] = useState<CustomModel[]>(offer?.models ?? []);
  const [models, setModels] = useState<CustomModel[]>(offer?.models.slice(0, TAKEN_AT_ONCE) ?? []);
  const [asking, setAsking] = useState(false);

  const list = useMutation({
    mutationFn: () => take(api.POST("/api/custom-providers/models", { body: { base_url: baseUrl.trim(), ...withKey(key) } })),
    onSuccess: (found) => {
      setBaseUrl(found.base_url);
      setOffered(found.models);
      if (models.length === 0) setModels(found.models.slice(0, TAKEN_AT_ONCE));
    },
  });
  const connect = useMutation({
    mutationFn: (keepUnverified: boolean) =>
      take(api.POST("/api/custom-providers", { body: { name: name.trim(), base_url: baseUrl.trim(), models, ...withKey(key), ...(keepUnverified ? { keep_unverified: true } : {}) } })),
    onSuccess: (connection) => {
      void cache.invalidateQueries({ queryKey: keys.providers });
      onConnected(connection);
    },
  });
  const problem = connect.error === null ? null : asApiError(connect.error);
  const rejected = problem?.code === "key_rejected";
  const wrong = (field: string) => (problem && !rejected && problem.field?.startsWith(field) ? problem.message : undefined);
  const elsewhere = problem && !rejected && !["name", "base_url", "key", "models"].some((field) => problem.field?.startsWith(field));
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    connect.mutate(false);
  };

  if (asking) {
    return (
      <WellKnown
        onBack={() => setAsking(false)}
        onEntry={(entry, token) => {
          setName(entry.name);
          setBaseUrl(entry.base_url);
          setOffered(entry.models);
          setModels(entry.models.slice(0, TAKEN_AT_ONCE));
          if (token !== "") setKeyLabel(token);
          setAsking(false);
        }}
      />
    );
  }
  return (
    <form onSubmit={submit} className="flex min-h-0 flex-col">
      <DialogBody>
        <p className="text-sm text-muted">
          Any server that speaks OpenAI’s protocol.{" "}
          <button type="button" className="link" onClick={() => setAsking(true)}>
            Or read it from your organisation’s address
          </button>
        </p>
        <Field label="Name" error={wrong("name")}>
          {(control) => <Input {...control} autoFocus required maxLength={60} autoComplete="off" placeholder="Acme AI" value={name} onChange={(event) => setName(event.target.value)} />}
        </Field>
        <Field label="Base URL" error={wrong("base_url") ?? (list.error ? asApiError(list.error).message : undefined)} hint="What /chat/completions is appended to.">
          {(control) => (
            <div className="flex gap-2">
              <Input {...control} type="url" inputMode="url" required className="font-mono" placeholder="https://ai.acme.example/v1" autoComplete="off" spellCheck={false} value={baseUrl} onChange={(event) => setBaseUrl(event.target.value)} />
              <Button className="shrink-0" busy={list.isPending} disabled={baseUrl.trim() === ""} onClick={() => list.mutate()}>
                List models
              </Button>
            </div>
          )}
        </Field>
        <Field label={keyLabel} optional error={wrong("key")} hint="Empty if the server asks for none.">
          {(control) => <SecretInput {...control} autoComplete="off" value={key} onChange={(event) => setKey(event.target.value)} />}
        </Field>
        <CustomModels models={models} offered={offered} error={wrong("models")} onModels={setModels} />
        {offered.length > models.length && <p className="text-xs text-muted">It offers {offered.length} models; type to find one.</p>}
        {rejected && <RejectedKey providerName={name} keyUrl={null} problem={problem} keeping={connect.isPending} onKeep={() => connect.mutate(true)} onEdit={() => connect.reset()} />}
        {elsewhere && (
          <p role="alert" className="text-sm text-red">
            {problem.message} {problem.hint}
          </p>
        )}
        <p className="flex gap-2 text-xs text-muted">
          <Eye className="mt-px size-3.5 shrink-0" aria-hidden />
          <span>The key is sealed on this server and handed directly to your projects’ agents when they run: an agent can read its own copy.</span>
        </p>
      </DialogBody>
      <DialogFooter>
        <Button onClick={onBack}>Back</Button>
        <Button type="submit" variant="primary" busy={connect.isPending} disabled={models.length === 0}>
          Check and connect
        </Button>
      </DialogFooter>
    </form>
  );
}

function withKey(key: string): { key?: string } {
  return key.trim() === "" ? {} : { key: key.trim() };
}
