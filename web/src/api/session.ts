// What the pages ask before somebody is signed in. Apart from the rest, so that those pages load little.
import { queryOptions, type QueryClient } from "@tanstack/react-query";
import { api, take } from "./client";

export const sessionKeys = { health: ["health"] as const, me: ["me"] as const, system: ["system"] as const };

export const healthQuery = queryOptions({ queryKey: sessionKeys.health, queryFn: () => take(api.GET("/api/health")), staleTime: 0 });

export const meQuery = queryOptions({ queryKey: sessionKeys.me, queryFn: () => take(api.GET("/api/me")), staleTime: Infinity, gcTime: Infinity });

/** Asks who is signed in, unless that is known, and has what else every page needs come along. Throws an `ApiError` with status 401 if nobody is. */
export async function startSession(cache: QueryClient): Promise<void> {
  if (cache.getQueryData(meQuery.queryKey) !== undefined) return;
  const { user, system } = await take(api.GET("/api/start"));
  cache.setQueryData(meQuery.queryKey, user);
  // What can still change is read once the stream is open, so that no change falls in between.
  if (system.opencode.state === "ready") cache.setQueryData(sessionKeys.system, system);
}
