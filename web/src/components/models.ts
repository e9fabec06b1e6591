// Which models can be chosen, which one a new project begins with, and why one can't be used.
import { useMutation, useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, take } from "../api/client";
import { connectionsQuery, keys, modelPreferencesQuery, modelsQuery, providersQuery } from "../api/queries";
import type { Connection, Model, ModelPreferences, ModelRef, Provider } from "../api/types";
import { tell } from "./project-actions";
import { useDraft } from "./use-draft";

export type ModelChoice = { ref: ModelRef; model: Model; providerName: string };

export function sameModel(a: ModelRef | null, b: ModelRef | null): boolean {
  return a !== null && b !== null && a.provider_id === b.provider_id && a.model_id === b.model_id;
}

export type Models = {
  choices: ModelChoice[];
  connections: Connection[] | undefined;
  preferences: ModelPreferences | undefined;
  /** The providers of which any model can be asked for by its id: their lists are not all there is. */
  typed: { id: string; name: string }[];
  /** The providers whose list has been read. */
  listed: Set<string>;
  /** Connections, preferences or models are still being read. */
  loading: boolean;
  /** Reads again what could not be read; null if everything was. */
  retry: (() => void) | null;
};

const NO_PREFERENCES: ModelPreferences = { preferred: null, favourites: [], recents: [] };

/** The models of every connected provider: the default connection's provider first, recommended ones before the rest. */
export function useModels(): Models {
  const { data: connections, isPending } = useQuery(connectionsQuery);
  const preferences = useQuery(modelPreferencesQuery);
  const usable = (connections ?? []).filter((connection) => connection.status !== "revoked");
  const ordered = [...usable].sort((a, b) => Number(b.is_default) - Number(a.is_default) || a.provider_name.localeCompare(b.provider_name));
  const providers = [...new Map(ordered.map((connection) => [connection.provider_id, connection.provider_name]))];
  const results = useQueries({ queries: providers.map(([id]) => modelsQuery(id)) });
  const choices = providers.flatMap(([id, name], index) =>
    [...(results[index]?.data ?? [])]
      .sort((a, b) => Number(b.recommended) - Number(a.recommended))
      .map((model) => ({ ref: { provider_id: id, model_id: model.id }, model, providerName: name })),
  );
  const typed = providers.filter(([id], index) => results[index]?.data?.length === 0 || usable.some((each) => each.provider_id === id && each.base_url !== null)).map(([id, name]) => ({ id, name }));
  const failed = results.filter((result) => result.isError);
  return {
    choices,
    connections,
    preferences: preferences.data ?? (preferences.isError ? NO_PREFERENCES : undefined),
    typed,
    listed: new Set(providers.filter((_, index) => results[index]?.data !== undefined).map(([id]) => id)),
    loading: isPending || preferences.isPending || results.some((result) => result.isPending),
    retry: failed.length === 0 ? null : () => failed.forEach((result) => void result.refetch()),
  };
}

function read(draft: string): ModelRef | null {
  try {
    const value: unknown = JSON.parse(draft);
    if (typeof value !== "object" || value === null) return null;
    const { provider_id, model_id } = value as Partial<ModelRef>;
    return typeof provider_id === "string" && typeof model_id === "string" ? { provider_id, model_id } : null;
  } catch {
    return null;
  }
}

/**
 * The model for a new project: the one chosen in this draft, else the preferred one, even if it can't be used (the page
 * says why then, and asks), else the one used last that still can, else the first.
 */
export function useStartModel({ choices, preferences, loading }: Models): [ModelRef | null, (ref: ModelRef | null) => void] {
  const [draft, setDraft] = useDraft("new-project.model");
  const drafted = read(draft);
  const choose = (ref: ModelRef | null) => setDraft(ref === null ? "" : JSON.stringify(ref));
  if (drafted !== null) return [drafted, choose];
  if (preferences === undefined) return [null, choose];
  if (preferences.preferred !== null) return [preferences.preferred, choose];
  const recent = preferences.recents.find((ref) => choices.some((choice) => sameModel(choice.ref, ref)));
  // The first of all is known once all are there.
  const first = loading ? null : (choices.find((choice) => choice.model.recommended) ?? choices[0] ?? null);
  return [recent ?? first?.ref ?? null, choose];
}

/** Why a model can't be used, and what mends it. */
export type Trouble = { title: string; detail: string; mend: "connect" | "sign-in" | "choose"; providerId: string; connection: Connection | null };

const ASKED = "Nothing else is used unless you choose it.";

/** `payer` is the connection that pays; the provider's default, if absent. */
export function troubleOf(ref: ModelRef | null, models: Models, providers: Provider[] | undefined, payer?: Connection): Trouble | null {
  if (ref === null || ref.model_id === "" || models.connections === undefined) return null;
  const own = models.connections.filter((each) => each.provider_id === ref.provider_id && each.status !== "revoked");
  const connection = payer ?? own.find((each) => each.is_default) ?? own[0];
  const provider = providers?.find((each) => each.id === ref.provider_id);
  const name = connection?.provider_name ?? provider?.name ?? ref.provider_id;
  const trouble = (title: string, detail: string, mend: Trouble["mend"]): Trouble => ({ title, detail: `${detail} ${ASKED}`, mend, providerId: ref.provider_id, connection: connection ?? null });
  const refused = provider !== undefined && !provider.connectable;
  if (refused) return trouble(`${name} can’t be used by this version`, `${provider.refusal ?? "It is refused."} Choose another model.`, "choose");
  if (providers !== undefined && provider === undefined) return trouble(`${name} is not a provider of this version`, "OpenCode’s catalogue doesn’t have it. Choose another model.", "choose");
  if (connection === undefined) return trouble(`${name} is not connected`, `${ref.model_id} is one of its models. Connect it, or choose another model.`, "connect");
  if (connection.status === "expired") return trouble(`The sign-in at ${name} ran out`, `${connection.label} pays for ${ref.model_id}. Sign in again, or choose another model.`, "sign-in");
  if (!models.listed.has(ref.provider_id) || models.choices.some((choice) => sameModel(choice.ref, ref))) return null;
  if (models.typed.some((each) => each.id === ref.provider_id) && (connection.base_url !== null || !models.choices.some((choice) => choice.ref.provider_id === ref.provider_id))) return null;
  return trouble(`${name} doesn’t offer ${ref.model_id}`, "It is not among its models, or not any more. Choose another model.", "choose");
}

/** Why this model can't be used. The catalogue is asked only if the lists at hand don't have it. */
export function useTrouble(models: Models, ref: ModelRef | null, payer?: Connection): Trouble | null {
  const here = ref === null || models.choices.some((choice) => sameModel(choice.ref, ref));
  const { data: providers } = useQuery({ ...providersQuery, enabled: !here && !models.loading });
  return troubleOf(ref, models, here ? undefined : providers, payer);
}

/** Prefers models and makes them favourites. */
export function useModelPreferences() {
  const cache = useQueryClient();
  return useMutation({
    mutationFn: (body: { model: ModelRef; preferred?: boolean; favourite?: boolean }) => take(api.PATCH("/api/models/preferences", { body })),
    onSuccess: (preferences) => cache.setQueryData(keys.modelPreferences, preferences),
    onError: tell,
  });
}

export function tokens(count: number | null): string | null {
  if (count === null || count <= 0) return null;
  if (count >= 1_000_000) return `${Number((count / 1_000_000).toFixed(1))}M`;
  if (count < 1000) return String(count);
  return `${Math.round(count / 1000)}k`;
}

export function dollars(amount: number): string {
  return `$${amount < 1 ? Number(amount.toFixed(2)) : Number(amount.toFixed(1))}`;
}

/** US dollars per million tokens, in and out. */
export function price({ cost_input, cost_output }: Model): string | null {
  if (cost_input === null || cost_output === null) return null;
  return cost_input === 0 && cost_output === 0 ? "free" : `${dollars(cost_input)} / ${dollars(cost_output)}`;
}
