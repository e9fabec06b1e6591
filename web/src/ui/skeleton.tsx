import { cn } from "./cn";

/** Holds the place of something that is on its way. */
export function Skeleton({ className }: { className?: string }) {
  return <div aria-hidden className={cn("rounded-md bg-hover animate-breathe", className)} />;
}
