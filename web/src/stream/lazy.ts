// The stream is loaded when somebody is signed in, and not before.
import type { QueryClient } from "@tanstack/react-query";

const load = () => import("./start");
let loaded: ReturnType<typeof load> | null = null;

/** Opens it after an event, if one is named. */
export async function openStream(cache: QueryClient, after: string | null): Promise<void> {
  loaded ??= load();
  const { start } = await loaded;
  start(cache, after);
}

export async function closeStream(): Promise<void> {
  if (loaded === null) return;
  const { stop } = await loaded;
  stop();
}
