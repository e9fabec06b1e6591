// What the pages ask before somebody is signed in. Apart from the rest, so that those pages load little.
import { queryOptions } from "@tanstack/react-query";
import { api, take } from "./client";

export const sessionKeys = { health: ["health"] as const, me: ["me"] as const };

export const healthQuery = queryOptions({ queryKey: sessionKeys.health, queryFn: () => take(api.GET("/api/health")), staleTime: 0 });

export const meQuery = queryOptions({ queryKey: sessionKeys.me, queryFn: () => take(api.GET("/api/me")), staleTime: Infinity, gcTime: Infinity });
