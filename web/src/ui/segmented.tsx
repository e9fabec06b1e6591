import type { ReactNode } from "react";
import { cn } from "./cn";

/** One of a few, all of them visible. */
export function Segmented<T extends string>({
  value,
  onChange,
  options,
  label,
}: {
  value: T;
  onChange: (value: T) => void;
  options: { value: T; label: ReactNode }[];
  label: string;
}) {
  return (
    <div role="radiogroup" aria-label={label} className="inline-flex rounded-md border border-line bg-sunken p-0.5">
      {options.map((option) => (
        <label
          key={option.value}
          className={cn(
            "flex h-6 cursor-pointer items-center gap-1.5 rounded px-2 text-xs text-muted transition-colors has-focus-visible:outline-2 has-focus-visible:outline-accent hover:text-text [&>svg]:size-3.5",
            option.value === value && "bg-surface font-medium text-text ring-1 ring-line-strong",
          )}
        >
          <input type="radio" className="sr-only" name={label} value={option.value} checked={option.value === value} onChange={() => onChange(option.value)} />
          {option.label}
        </label>
      ))}
    </div>
  );
}
