import { cn } from "../ui/cn";

const LOGOS = import.meta.glob<string>("./logos/*.svg", { query: "?url", import: "default", eager: true });

/** Providers that are one company's under several ids. */
const SAME: Record<string, string> = { "opencode-go": "opencode", "ollama-cloud": "ollama", "lm-studio": "lmstudio", "google-vertex-anthropic": "google-vertex", "alibaba-cn": "alibaba", "moonshotai-cn": "moonshotai", "zai-coding-plan": "zai", "azure-cognitive-services": "azure" };

/** A provider's mark on a small plate; its letter where no mark is known. */
export function ProviderMark({ id, name, className }: { id: string; name: string; className?: string }) {
  const logo = LOGOS[`./logos/${SAME[id] ?? id}.svg`];
  const letter = (/[\p{L}\p{N}]/u.exec(name) ?? /[\p{L}\p{N}]/u.exec(id))?.[0] ?? "?";
  return (
    <span aria-hidden className={cn("grid size-5 shrink-0 place-content-center rounded border border-line-strong bg-sunken text-[11px] font-semibold text-muted uppercase", className)}>
      {logo ? <span className="provider-logo" style={{ "--logo": `url("${logo}")` }} /> : letter}
    </span>
  );
}
