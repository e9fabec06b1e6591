import { Check, ChevronDown, CreditCard, Undo2 } from "lucide-react";
import type { Connection } from "../api/types";
import { cn } from "../ui/cn";
import { Menu, MenuItem, MenuSeparator } from "../ui/menu";

/** Which of several connections to a provider pays. Shown only where there is a choice; `onFollow` lets the default decide again. */
export function Payer({ connections, value, onChange, onFollow, busy = false, className }: { connections: Connection[]; value: string | undefined; onChange: (id: string) => void; onFollow?: (() => void) | undefined; busy?: boolean; className?: string }) {
  const current = connections.find((each) => each.id === value);
  if (connections.length < 2) return null;
  return (
    <Menu
      align="start"
      trigger={
        <button
          type="button"
          disabled={busy}
          aria-label={`Paid by: ${current?.label ?? "none"}`}
          className={cn("inline-flex h-8 min-w-0 items-center gap-1.5 rounded-md border border-line px-2 text-sm text-muted transition-colors hover:border-line-strong hover:text-text disabled:opacity-45 data-[state=open]:bg-hover sm:h-7", className)}
        >
          <CreditCard className="size-3.5 shrink-0" aria-hidden />
          <span className="truncate">{current?.label ?? "Choose"}</span>
          <ChevronDown className="size-3.5 shrink-0 text-faint" aria-hidden />
        </button>
      }
    >
      {connections.map((each) => (
        <MenuItem key={each.id} icon={<Check className={cn(each.id !== value && "invisible")} aria-hidden />} onSelect={() => onChange(each.id)}>
          {each.label}
          {each.is_default && <span className="text-faint"> · default</span>}
          {each.last_four !== "" && <span className="font-mono text-xs text-faint"> ··{each.last_four}</span>}
        </MenuItem>
      ))}
      {onFollow && (
        <>
          <MenuSeparator />
          <MenuItem icon={<Undo2 aria-hidden />} onSelect={onFollow}>
            Follow my default
          </MenuItem>
        </>
      )}
    </Menu>
  );
}
