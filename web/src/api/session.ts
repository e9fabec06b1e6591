// What the pages ask before somebody is signed in. Apart from the rest, so that those pages load little.
import { queryOptions, type QueryClient } from "@tanstack/react-query";
import { api, take } from "./client";

export const sessionKeys = { health: ["health"] as const, me: ["me"] as const, system: ["system"] as const, modelPreferences: ["model-preferences"] as const, connections: ["connections"] as const, liveJobs: ["live-jobs"] as const };

export const healthQuery = queryOptions({ queryKey: sessionKeys.health, queryFn: () => take(api.GET("/api/health")), staleTime: 0 });

export const meQuery = queryOptions({ queryKey: sessionKeys.me, queryFn: () => take(api.GET("/api/me")), staleTime: Infinity, gcTime: Infinity });

/**
 * Asks who is signed in, unless that is known, and has what else every page needs come along. Returns the event after which the
 * stream goes on, so that nothing falls in between. Throws an `ApiError` with status 401 if nobody is signed in.
 */
export async function startSession(cache: QueryClient): Promise<string | null> {
  if (cache.getQueryData(meQuery.queryKey) !== undefined) return null;
  const { user, system, model_preferences, connections, live_jobs, event_id } = await take(api.GET("/api/start"));
  cache.setQueryData(meQuery.queryKey, user);
  cache.setQueryData(sessionKeys.system, system);
  cache.setQueryData(sessionKeys.modelPreferences, model_preferences);
  cache.setQueryData(sessionKeys.connections, connections);
  cache.setQueryData(sessionKeys.liveJobs, live_jobs);
  return event_id;
}
