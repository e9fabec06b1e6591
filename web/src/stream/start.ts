import type { QueryClient } from "@tanstack/react-query";
import { followStream } from "./cache";
import { stream } from "./hub";

let stopFollowing: (() => void) | null = null;

/** Holds the stream and keeps the cache equal to it. A second call changes nothing. */
export function start(cache: QueryClient, after: string | null): void {
  stopFollowing ??= followStream(stream, cache);
  stream.start(after);
}

export function stop(): void {
  stream.stop();
  stopFollowing?.();
  stopFollowing = null;
}
