import { Tooltip as Radix } from "radix-ui";
import type { ReactElement, ReactNode } from "react";
import { Button, type ButtonProps } from "./button";

export function TooltipProvider({ children }: { children: ReactNode }) {
  return (
    <Radix.Provider delayDuration={400} skipDelayDuration={200}>
      {children}
    </Radix.Provider>
  );
}

export function Tooltip({ label, children, side = "bottom" }: { label: ReactNode; children: ReactElement; side?: "top" | "bottom" | "left" | "right" }) {
  return (
    <Radix.Root>
      <Radix.Trigger asChild>{children}</Radix.Trigger>
      <Radix.Portal>
        <Radix.Content side={side} sideOffset={6} className="z-50 max-w-64 rounded-md bg-text px-2 py-1 text-xs text-bg select-none animate-pop">
          {label}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

/** A button with only a picture: its name is read out and shown on hover. */
export function IconButton({ label, shortcut, ...props }: ButtonProps & { label: string; shortcut?: string }) {
  return (
    <Tooltip
      label={
        shortcut ? (
          <>
            {label} <span className="opacity-60">{shortcut}</span>
          </>
        ) : (
          label
        )
      }
    >
      <Button variant="ghost" size="icon" aria-label={label} {...props} />
    </Tooltip>
  );
}
