import type { ReactNode } from "react";

const APPLE = typeof navigator !== "undefined" && /Mac|iPhone|iPad/.test(navigator.platform);

/** The name of the modifier on this machine. */
export const MOD = APPLE ? "⌘" : "Ctrl ";
export const ENTER = APPLE ? "↵" : "Enter";

export function Kbd({ children }: { children: ReactNode }) {
  return <kbd className="rounded border border-line-strong bg-sunken px-1 py-px font-sans text-[11px] leading-4 text-muted">{children}</kbd>;
}

/** Whether a key press goes with the platform's command key. */
export function withMod(event: { metaKey: boolean; ctrlKey: boolean }): boolean {
  return APPLE ? event.metaKey : event.ctrlKey;
}
