// Which models can be chosen, and which one is chosen when nobody has chosen yet.
import { useQueries, useQuery } from "@tanstack/react-query";
import { useCallback, useState } from "react";
import { connectionsQuery, modelsQuery } from "../api/queries";
import type { Connection, Model, ModelRef } from "../api/types";

export type ModelChoice = { ref: ModelRef; model: Model; providerName: string };

const KEY = "doce.model";

export function sameModel(a: ModelRef | null, b: ModelRef | null): boolean {
  return a !== null && b !== null && a.provider_id === b.provider_id && a.model_id === b.model_id;
}

export type Models = {
  choices: ModelChoice[];
  connections: Connection[] | undefined;
  /** Connections or models are still being read. */
  loading: boolean;
};

/** The models of every connected provider: the default connection's provider first, recommended ones before the rest. */
export function useModels(): Models {
  const { data: connections, isPending } = useQuery(connectionsQuery);
  const usable = (connections ?? []).filter((connection) => connection.status !== "revoked");
  const ordered = [...usable].sort((a, b) => Number(b.is_default) - Number(a.is_default) || a.provider_name.localeCompare(b.provider_name));
  const providers = [...new Map(ordered.map((connection) => [connection.provider_id, connection.provider_name]))];
  const results = useQueries({ queries: providers.map(([id]) => modelsQuery(id)) });
  const choices = providers.flatMap(([id, name], index) =>
    [...(results[index]?.data ?? [])]
      .sort((a, b) => Number(b.recommended) - Number(a.recommended))
      .map((model) => ({ ref: { provider_id: id, model_id: model.id }, model, providerName: name })),
  );
  return { choices, connections, loading: isPending || results.some((result) => result.isPending) };
}

function stored(): ModelRef | null {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? "null");
    if (typeof value !== "object" || value === null) return null;
    const { provider_id, model_id } = value as Partial<ModelRef>;
    return typeof provider_id === "string" && typeof model_id === "string" ? { provider_id, model_id } : null;
  } catch {
    return null;
  }
}

/** The model for a new project: the one used last if it is still there, else the first recommended one. */
export function usePreferredModel({ choices }: Models): [ModelChoice | null, (ref: ModelRef) => void] {
  const [chosen, setChosen] = useState(stored);
  const choose = useCallback((ref: ModelRef) => {
    setChosen(ref);
    try {
      localStorage.setItem(KEY, JSON.stringify(ref));
    } catch {
      // Chosen for this page only.
    }
  }, []);
  const choice = choices.find((each) => sameModel(each.ref, chosen)) ?? choices.find((each) => each.model.recommended) ?? choices[0] ?? null;
  return [choice, choose];
}

export function tokens(count: number | null): string | null {
  if (count === null || count <= 0) return null;
  if (count >= 1_000_000) return `${Number((count / 1_000_000).toFixed(1))}M`;
  return `${Math.round(count / 1000)}k`;
}

export function dollars(amount: number): string {
  return `$${amount < 1 ? Number(amount.toFixed(2)) : Number(amount.toFixed(1))}`;
}
