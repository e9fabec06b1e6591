// Results of actions, one line each. A store outside React, so that any code can say how something went.
import { Check, CircleAlert, X } from "lucide-react";
import { useSyncExternalStore, type ReactNode } from "react";
import { cn } from "./cn";

type ToastTone = "good" | "bad";
type Toast = { id: number; tone: ToastTone; text: string; more: ReactNode };

const GOOD_MS = 4_000;
const BAD_MS = 15_000;
const SHOWN = 4;

let toasts: Toast[] = [];
let lastId = 0;
const listeners = new Set<() => void>();

function change(next: Toast[]): void {
  toasts = next;
  for (const listener of listeners) listener();
}

/** Says how something went. `more` stands below the text. */
export function toast(text: string, tone: ToastTone = "good", more: ReactNode = null): void {
  lastId += 1;
  const id = lastId;
  change([...toasts.filter((known) => known.text !== text), { id, tone, text, more }].slice(-SHOWN));
  setTimeout(() => dismiss(id), tone === "good" ? GOOD_MS : BAD_MS);
}

function dismiss(id: number): void {
  change(toasts.filter((known) => known.id !== id));
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function Toasts() {
  const shown = useSyncExternalStore(subscribe, () => toasts);
  return (
    <div aria-live="polite" className="pointer-events-none fixed inset-x-3 bottom-16 z-50 grid justify-items-center gap-2 sm:bottom-4 sm:left-auto sm:justify-items-end">
      {shown.map((item) => (
        <div key={item.id} className="pointer-events-auto flex max-w-sm items-start gap-2 rounded-lg border border-line-strong bg-surface py-2 pr-1.5 pl-3 text-sm animate-sheet">
          {item.tone === "good" ? <Check className="mt-0.5 size-4 shrink-0 text-green" aria-hidden /> : <CircleAlert className="mt-0.5 size-4 shrink-0 text-red" aria-hidden />}
          <div className="min-w-0 flex-1">
            <p className={cn("break-words", item.tone === "bad" && "text-red")}>{item.text}</p>
            {item.more}
          </div>
          <button type="button" aria-label="Dismiss" onClick={() => dismiss(item.id)} className="rounded p-0.5 text-faint hover:bg-hover hover:text-text">
            <X className="size-3.5" aria-hidden />
          </button>
        </div>
      ))}
    </div>
  );
}
