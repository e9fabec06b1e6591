import { CopyButton } from "./copy-button";

/** A secret that is on the screen this once: whole, to select, and to copy. */
export function ShownOnce({ label, text }: { label: string; text: string }) {
  return (
    <div className="flex items-start gap-2 rounded-lg border border-line bg-sunken px-3 py-2">
      <code aria-label={label} className="min-w-0 flex-1 font-mono text-xs break-all select-all">
        {text}
      </code>
      <CopyButton text={text} label={`Copy ${label}`} />
    </div>
  );
}
