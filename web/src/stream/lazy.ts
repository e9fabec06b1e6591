// The stream is loaded when somebody is signed in, and not before.
import type { QueryClient } from "@tanstack/react-query";

const load = () => import("./start");
let loaded: ReturnType<typeof load> | null = null;

export async function openStream(cache: QueryClient): Promise<void> {
  loaded ??= load();
  const { start } = await loaded;
  start(cache);
}

export async function closeStream(): Promise<void> {
  if (loaded === null) return;
  const { stop } = await loaded;
  stop();
}
