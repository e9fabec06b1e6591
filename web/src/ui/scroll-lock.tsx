// Stands in for `react-remove-scroll` (see vite.config.ts): the same component, with a class instead of an injected <style>.
import { Slot } from "radix-ui";
import { useLayoutEffect, type ReactNode } from "react";

let locks = 0;

function useScrollLock(enabled: boolean): void {
  useLayoutEffect(() => {
    if (!enabled) return;
    locks += 1;
    document.documentElement.classList.add("scroll-locked");
    return () => {
      locks -= 1;
      if (locks === 0) document.documentElement.classList.remove("scroll-locked");
    };
  }, [enabled]);
}

type Props = { children?: ReactNode; enabled?: boolean };

export function RemoveScroll({ children, enabled = true }: Props) {
  useScrollLock(enabled);
  return <Slot.Root>{children}</Slot.Root>;
}

RemoveScroll.classNames = { fullWidth: "", zeroRight: "" };
