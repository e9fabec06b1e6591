import { Check, ChevronDown, Plug, Star, X } from "lucide-react";
import { useDeferredValue, useState, type ReactNode } from "react";
import { useQuery } from "@tanstack/react-query";
import { modelPreferencesQuery } from "../../api/queries";
import type { Connection, ModelRef } from "../../api/types";
import { ModelFacts } from "../../components/model-facts";
import { ModelPicker } from "../../components/model-picker";
import { sameModel, useModelPreferences, useModels, useTrouble, type ModelChoice, type Models } from "../../components/models";
import { ModelTrouble } from "../../components/model-trouble";
import { openDialog } from "../../components/dialogs";
import { PageError } from "../../components/page-error";
import { ProviderMark } from "../../components/provider-mark";
import { CONNECTION_STATUS } from "../../components/states";
import { TONE_TEXT } from "../../ui/badge";
import { Button } from "../../ui/button";
import { cn } from "../../ui/cn";
import { Skeleton } from "../../ui/skeleton";

/** How many models of a provider are shown before somebody asks for all. */
const SHOWN = 40;

export default function ModelSettings() {
  const models = useModels();
  const preferences = useQuery(modelPreferencesQuery);
  return (
    <div className="grid gap-8">
      <title>Models · doce</title>
      <header>
        <h1 className="text-xl font-semibold tracking-tight">Models</h1>
        <p className="text-muted">What new projects begin with, and what is offered first. A project keeps its own model.</p>
      </header>
      {preferences.isPending && <Skeleton className="h-40" />}
      {!preferences.isPending && preferences.data === undefined && <PageError error={preferences.error} onRetry={() => void preferences.refetch()} />}
      {preferences.data && (
        <>
          <Preferred models={models} preferred={preferences.data.preferred} />
          <Favourites models={models} favourites={preferences.data.favourites} />
        </>
      )}
      <Usable models={models} />
    </div>
  );
}

function Section({ title, lead, children }: { title: string; lead: string; children: ReactNode }) {
  return (
    <section aria-label={title} className="grid min-w-0 gap-3 border-t border-line pt-5">
      <div>
        <h2 className="text-base font-medium">{title}</h2>
        <p className="text-muted">{lead}</p>
      </div>
      {children}
    </section>
  );
}

function Preferred({ models, preferred }: { models: Models; preferred: ModelRef | null }) {
  const [picking, setPicking] = useState(false);
  const prefer = useModelPreferences();
  const trouble = useTrouble(models, preferred);
  return (
    <Section title="Preferred model" lead="A new project begins with it, unless you choose another one there.">
      <div className="flex flex-wrap items-center gap-2">
        <ModelPicker models={models} value={preferred} trouble={trouble} open={picking} onOpenChange={setPicking} onChange={(model) => prefer.mutate({ model, preferred: true })} />
        {preferred && (
          <Button size="sm" variant="ghost" busy={prefer.isPending} onClick={() => prefer.mutate({ model: preferred, preferred: false })}>
            Prefer none
          </Button>
        )}
      </div>
      {preferred === null && <p className="text-sm text-muted">None yet: a new project begins with the model you used last.</p>}
      {trouble && <ModelTrouble trouble={trouble} onChoose={() => setPicking(true)} />}
    </Section>
  );
}

function Favourites({ models, favourites }: { models: Models; favourites: ModelRef[] }) {
  const prefer = useModelPreferences();
  return (
    <Section title="Favourites" lead="Offered before all others.">
      {favourites.length === 0 && <p className="text-sm text-muted">None yet. The star beside a model below makes it one.</p>}
      {favourites.length > 0 && (
        <ul className="divide-y divide-line rounded-lg border border-line bg-surface">
          {favourites.map((model) => (
            <Favourite key={`${model.provider_id}/${model.model_id}`} models={models} model={model} onRemove={() => prefer.mutate({ model, favourite: false })} />
          ))}
        </ul>
      )}
    </Section>
  );
}

function Favourite({ models, model, onRemove }: { models: Models; model: ModelRef; onRemove: () => void }) {
  const choice = models.choices.find((each) => sameModel(each.ref, model));
  const trouble = useTrouble(models, model);
  const name = choice?.model.name ?? model.model_id;
  return (
    <li className="flex items-center gap-3 px-3 py-2">
      <ProviderMark id={model.provider_id} name={choice?.providerName ?? model.provider_id} />
      <div className="grid min-w-0 flex-1 gap-0.5">
        <p className="truncate text-sm">{name}</p>
        {choice && <ModelFacts model={choice.model} />}
        {trouble && (
          <p className="text-xs text-amber" title={trouble.detail}>
            {trouble.title}
            {trouble.mend === "connect" && (
              <button type="button" className="ml-1.5 underline underline-offset-4" onClick={() => openDialog({ kind: "connect-provider", providerId: model.provider_id })}>
                Connect it
              </button>
            )}
          </p>
        )}
      </div>
      <Button size="icon-sm" variant="ghost" aria-label={`${name}: no favourite any more`} icon={<X className="size-4" aria-hidden />} onClick={onRemove} />
    </li>
  );
}

function Usable({ models }: { models: Models }) {
  const [query, setQuery] = useState("");
  const searched = useDeferredValue(query).toLowerCase().split(/\s+/).filter(Boolean);
  const connections = (models.connections ?? []).filter((each) => each.status !== "revoked");
  const providers = [...new Map(connections.map((each) => [each.provider_id, each]))].map(([, first]) => first).sort((a, b) => a.provider_name.localeCompare(b.provider_name));
  return (
    <Section title="What you can use" lead="By connection. Prices are US dollars per million tokens, in and out.">
      {models.connections === undefined && models.loading && <Skeleton className="h-24" />}
      {models.connections === undefined && !models.loading && <p className="text-sm text-red">Your connections could not be read.</p>}
      {models.connections !== undefined && providers.length === 0 && (
        <div className="grid justify-items-center gap-4 rounded-lg border border-dashed border-line-strong px-6 py-10 text-center">
          <Plug className="size-6 text-faint" aria-hidden />
          <p className="max-w-sm text-muted">No provider is connected, so there is no model to use yet.</p>
          <Button variant="primary" onClick={() => openDialog({ kind: "connect-provider" })}>
            Connect a provider
          </Button>
        </div>
      )}
      {providers.length > 0 && (
        <>
          <input
            type="search"
            aria-label="Filter models"
            placeholder="Filter by name or id"
            className="h-9 w-full max-w-sm rounded-md border border-line-strong bg-surface px-3 text-base outline-none focus:border-edge sm:h-8 sm:text-sm"
            value={query}
            onChange={(event) => setQuery(event.target.value)}
          />
          {models.retry && (
            <p className="flex items-center gap-3 text-sm text-amber">
              Some models could not be read.
              <Button size="sm" onClick={models.retry}>
                Read again
              </Button>
            </p>
          )}
          <div className="grid gap-3">
            {providers.map((provider) => (
              <ProviderModels key={provider.provider_id} models={models} connections={connections.filter((each) => each.provider_id === provider.provider_id)} provider={provider} words={searched} />
            ))}
          </div>
        </>
      )}
    </Section>
  );
}

function ProviderModels({ models, provider, connections, words }: { models: Models; provider: Connection; connections: Connection[]; words: string[] }) {
  const [opened, setOpened] = useState(false);
  const [all, setAll] = useState(false);
  const own = models.choices.filter((choice) => choice.ref.provider_id === provider.provider_id);
  const found = own.filter(({ model }) => words.every((word) => `${model.name} ${model.id}`.toLowerCase().includes(word)));
  const open = opened || words.length > 0;
  const listed = models.listed.has(provider.provider_id);
  return (
    <div className="rounded-lg border border-line bg-surface">
      <button type="button" aria-expanded={open} className="flex min-h-12 w-full items-center gap-3 px-3 py-2 text-left" onClick={() => setOpened(!open)}>
        <ProviderMark id={provider.provider_id} name={provider.provider_name} className="size-7" />
        <span className="grid min-w-0 flex-1">
          <span className="font-medium">{provider.provider_name}</span>
          <span className="flex flex-wrap gap-x-2 text-xs text-muted">
            {connections.map((each) => (
              <span key={each.id}>
                {each.label} <span className={TONE_TEXT[CONNECTION_STATUS[each.status].tone]}>{CONNECTION_STATUS[each.status].word.toLowerCase()}</span>
              </span>
            ))}
          </span>
        </span>
        <span className="shrink-0 text-xs text-faint tabular-nums">{listed ? (words.length > 0 ? `${found.length} of ${own.length}` : `${own.length} models`) : models.loading ? "reading…" : "not read"}</span>
        <ChevronDown className={cn("size-4 shrink-0 text-faint transition-transform", open && "rotate-180")} aria-hidden />
      </button>
      {open && found.length > 0 && (
        <ul className="divide-y divide-line border-t border-line">
          {(all ? found : found.slice(0, SHOWN)).map((choice) => (
            <ModelItem key={choice.ref.model_id} models={models} choice={choice} />
          ))}
        </ul>
      )}
      {open && !all && found.length > SHOWN && (
        <div className="border-t border-line p-2">
          <Button size="sm" variant="ghost" onClick={() => setAll(true)}>
            Show all {found.length}
          </Button>
        </div>
      )}
      {open && listed && found.length === 0 && <p className="border-t border-line px-3 py-3 text-sm text-muted">{own.length === 0 ? "No list of its models is known: type a model’s id where you choose one." : "None of its models matches."}</p>}
    </div>
  );
}

function ModelItem({ models, choice }: { models: Models; choice: ModelChoice }) {
  const prefer = useModelPreferences();
  const { ref: model, model: facts } = choice;
  const favourite = models.preferences?.favourites.some((each) => sameModel(each, model)) ?? false;
  const preferred = sameModel(models.preferences?.preferred ?? null, model);
  return (
    <li className="flex items-center gap-2 px-3 py-2">
      <div className="grid min-w-0 flex-1 gap-x-4 gap-y-0.5 sm:grid-cols-[minmax(0,1fr)_20rem] sm:items-center">
        <div className="min-w-0">
          <p className="truncate text-sm">{facts.name}</p>
          <p className="truncate font-mono text-xs text-faint">{facts.id}</p>
        </div>
        <ModelFacts model={facts} />
      </div>
      <Button
        size="icon-sm"
        variant="ghost"
        aria-pressed={preferred}
        aria-label={`${facts.name}: preferred`}
        title={preferred ? "Preferred" : "Prefer it"}
        icon={<Check className={cn("size-4", preferred ? "text-accent-text" : "text-faint")} aria-hidden />}
        onClick={() => prefer.mutate({ model, preferred: !preferred })}
      />
      <Button
        size="icon-sm"
        variant="ghost"
        aria-pressed={favourite}
        aria-label={`${facts.name}: favourite`}
        title={favourite ? "No favourite any more" : "Make it a favourite"}
        icon={<Star className={cn("size-4", favourite ? "fill-current text-amber" : "text-faint")} aria-hidden />}
        onClick={() => prefer.mutate({ model, favourite: !favourite })}
      />
    </li>
  );
}
