import type { ReactNode } from "react";
import { cn } from "./cn";

export type Tone = "neutral" | "accent" | "green" | "amber" | "red";

const TONES: Record<Tone, string> = {
  neutral: "border-line-strong text-muted",
  accent: "border-accent-line bg-accent-soft text-accent-text",
  green: "border-green-line bg-green-soft text-green",
  amber: "border-amber-line bg-amber-soft text-amber",
  red: "border-red-line bg-red-soft text-red",
};

export const TONE_TEXT: Record<Tone, string> = {
  neutral: "text-muted",
  accent: "text-accent-text",
  green: "text-green",
  amber: "text-amber",
  red: "text-red",
};

export function Badge({ tone = "neutral", icon, children, title }: { tone?: Tone; icon?: ReactNode; children: ReactNode; title?: string }) {
  return (
    <span title={title} className={cn("inline-flex h-5 items-center gap-1 rounded border px-1.5 text-xs whitespace-nowrap [&>svg]:size-3", TONES[tone])}>
      {icon}
      {children}
    </span>
  );
}
