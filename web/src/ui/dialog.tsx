import { X } from "lucide-react";
import { Dialog as Radix } from "radix-ui";
import type { ReactNode } from "react";
import { cn } from "./cn";

type Width = "sm" | "md" | "lg";
const WIDTHS: Record<Width, string> = { sm: "sm:max-w-[26rem]", md: "sm:max-w-[32rem]", lg: "sm:max-w-[40rem]" };

/** A window over the page: centred, and a sheet from below on a phone. */
export function Dialog({
  open,
  onClose,
  title,
  description,
  children,
  width = "md",
  bare = false,
  before,
  }: {
  open: boolean;
  onClose: () => void;
  title: ReactNode;
  description?: ReactNode;
  children: ReactNode;
  width?: Width;
  /** Without a header to see; the title is still read out. */
  bare?: boolean;
  before?: ReactNode;
}) {
  return (
    <Radix.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-40 bg-overlay animate-fade" />
        <Radix.Content
          {...(description ? {} : { "aria-describedby": undefined })}
          // The field or button that asks for the focus gets it; otherwise the first one would, and that is Close.
          onOpenAutoFocus={(event) => {
            const wanted = event.currentTarget instanceof HTMLElement && event.currentTarget.contains(document.activeElement);
            if (wanted) event.preventDefault();
          }}
          className={cn(
            "fixed z-40 flex flex-col overflow-hidden border border-line-strong bg-surface outline-none",
            "inset-x-0 bottom-0 max-h-[92dvh] rounded-t-xl pb-[env(safe-area-inset-bottom)] animate-sheet",
            "sm:inset-x-4 sm:top-[12vh] sm:bottom-auto sm:mx-auto sm:max-h-[76vh] sm:rounded-xl sm:pb-0 sm:animate-pop",
            WIDTHS[width],
          )}
        >
          {bare ? (
            <Radix.Title className="sr-only">{title}</Radix.Title>
          ) : (
            <header className="flex items-center gap-2 border-b border-line px-4 py-3">
              {before}
              <Radix.Title className="min-w-0 flex-1 truncate text-base font-semibold">{title}</Radix.Title>
              <Radix.Close className="-my-1 -mr-1.5 rounded-md p-1.5 text-faint hover:bg-hover hover:text-text" aria-label="Close">
                <X className="size-4" aria-hidden />
              </Radix.Close>
            </header>
          )}
          {description && <Radix.Description className={bare ? "sr-only" : "px-4 pt-3 text-sm text-muted"}>{description}</Radix.Description>}
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

export function DialogBody({ children, className }: { children: ReactNode; className?: string }) {
  return <div className={cn("grid gap-4 overflow-y-auto px-4 py-4", className)}>{children}</div>;
}

export function DialogFooter({ children }: { children: ReactNode }) {
  return <footer className="flex flex-wrap items-center justify-end gap-2 border-t border-line bg-sunken px-4 py-3">{children}</footer>;
}
