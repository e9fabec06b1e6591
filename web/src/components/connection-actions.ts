import { useMutation, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { api, take } from "../api/client";
import { keys } from "../api/queries";
import type { Connection } from "../api/types";
import { applyEvents } from "../stream/cache";
import { toast } from "../ui/toast";
import { openDialog } from "./dialogs";
import { tell } from "./project-actions";
import { VERIFICATION } from "./states";

export function putConnection(cache: QueryClient, connection: Connection): void {
  applyEvents(cache, [{ id: "", type: "connection", connection }]);
}

/** Opens what mends a connection: another key, or the sign-in once more. */
export function openReplace(connection: Connection): void {
  if (connection.auth_type === "oauth") openDialog({ kind: "connect-provider", providerId: connection.provider_id, renewing: connection });
  else openDialog({ kind: "replace-key", connection });
}

export function useConnectionActions(connection: Connection) {
  const cache = useQueryClient();
  const params = { path: { id: connection.id } };
  return {
    verify: useMutation({
      mutationFn: () => take(api.POST("/api/connections/{id}/verify", { params })),
      onSuccess: (changed) => {
        putConnection(cache, changed);
        const outcome = changed.verification?.outcome;
        if (outcome !== undefined) toast(`${changed.provider_name}: ${VERIFICATION[outcome].word}.`, outcome === "invalid" ? "bad" : "good");
      },
      onError: tell,
    }),
    makeDefault: useMutation({
      mutationFn: () => take(api.PATCH("/api/connections/{id}", { params, body: { is_default: true } })),
      onSuccess: (changed) => {
        // The one that was the default isn't any more.
        cache.setQueryData(keys.connections, (list: Connection[] | undefined) => list?.map((each) => (each.provider_id === changed.provider_id && each.id !== changed.id ? { ...each, is_default: false } : each)));
        putConnection(cache, changed);
      },
      onError: tell,
    }),
  };
}
