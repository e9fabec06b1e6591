import { useEffect, useSyncExternalStore } from "react";
import { cn } from "../ui/cn";

type LogoOf = (id: string) => string | undefined;

let logoOf: LogoOf | undefined;
let loading: Promise<void> | undefined;
const listeners = new Set<() => void>();

async function load(): Promise<void> {
  try {
    ({ logoOf } = await import("./provider-logos"));
    for (const listener of listeners) listener();
  } catch {
    // Without marks there are letters. The next one that is shown tries again.
    loading = undefined;
  }
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** A provider's mark on a small plate; its letter where no mark is known, and until it is. */
export function ProviderMark({ id, name, className }: { id: string; name: string; className?: string }) {
  const find = useSyncExternalStore(subscribe, () => logoOf);
  useEffect(() => {
    loading ??= load();
  }, []);
  const logo = find?.(id);
  const letter = (/[\p{L}\p{N}]/u.exec(name) ?? /[\p{L}\p{N}]/u.exec(id))?.[0] ?? "?";
  return (
    <span aria-hidden className={cn("grid size-5 shrink-0 place-content-center rounded border border-line-strong bg-sunken text-[11px] font-semibold text-muted uppercase", className)}>
      {logo ? <span className="provider-logo" style={{ "--logo": `url("${logo}")` }} /> : letter}
    </span>
  );
}
