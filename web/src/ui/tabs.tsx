import { Tabs as Radix } from "radix-ui";
import type { ReactNode } from "react";
import { cn } from "./cn";

export type Tab<T extends string> = { value: T; label: ReactNode; icon?: ReactNode };

export function Tabs({ value, onChange, children, className }: { value: string; onChange: (value: string) => void; children: ReactNode; className?: string }) {
  return (
    <Radix.Root value={value} onValueChange={onChange} className={className}>
      {children}
    </Radix.Root>
  );
}

export function TabList<T extends string>({ tabs, label }: { tabs: Tab<T>[]; label: string }) {
  return (
    <Radix.List aria-label={label} className="flex items-center gap-0.5">
      {tabs.map((tab) => (
        <Radix.Trigger
          key={tab.value}
          value={tab.value}
          className="flex h-7 items-center gap-1.5 rounded-md px-2.5 text-sm text-muted transition-colors hover:text-text data-[state=active]:bg-hover data-[state=active]:font-medium data-[state=active]:text-text [&>svg]:size-3.5"
        >
          {tab.icon}
          {tab.label}
        </Radix.Trigger>
      ))}
    </Radix.List>
  );
}

export function TabPanel({ value, children, className, keep = false }: { value: string; children: ReactNode; className?: string; keep?: boolean }) {
  return (
    <Radix.Content value={value} {...(keep ? { forceMount: true as const } : {})} className={cn("min-h-0 outline-none data-[state=inactive]:hidden", className)}>
      {children}
    </Radix.Content>
  );
}
