import { CircleAlert, Info, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import type { Tone } from "./badge";
import { cn } from "./cn";

const BOX: Record<Tone, string> = {
  neutral: "border-line bg-sunken",
  accent: "border-accent-line bg-accent-soft",
  green: "border-green-line bg-green-soft",
  amber: "border-amber-line bg-amber-soft",
  red: "border-red-line bg-red-soft",
};

const ICONS: Record<Tone, ReactNode> = {
  neutral: <Info className="text-muted" aria-hidden />,
  accent: <Info className="text-accent-text" aria-hidden />,
  green: <Info className="text-green" aria-hidden />,
  amber: <TriangleAlert className="text-amber" aria-hidden />,
  red: <CircleAlert className="text-red" aria-hidden />,
};

/** A box that says something about the thing it stands at, with what can be done about it. */
export function Notice({ tone = "neutral", title, children, actions, className, role }: { tone?: Tone; title?: ReactNode; children?: ReactNode; actions?: ReactNode; className?: string; role?: "alert" | "status" }) {
  return (
    <div role={role} className={cn("flex gap-2.5 rounded-lg border px-3 py-2.5 text-sm [&>svg]:mt-0.5 [&>svg]:size-4 [&>svg]:shrink-0", BOX[tone], className)}>
      {ICONS[tone]}
      <div className="grid min-w-0 flex-1 gap-2">
        <div className="grid gap-0.5">
          {title && <p className="font-medium">{title}</p>}
          {children && <div className={cn("min-w-0 break-words", title ? "text-muted" : undefined)}>{children}</div>}
        </div>
        {actions && <div className="flex flex-wrap gap-2">{actions}</div>}
      </div>
    </div>
  );
}
