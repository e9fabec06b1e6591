import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";

/** Nearer than this to the end counts as being there. */
const NEAR_PX = 48;

/**
 * Keeps a scrolled list at its end while the reader is there, and leaves it alone while they read further up.
 * `missed` says that something arrived below what they see.
 */
export function useStickToBottom(contentKey: unknown) {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const stuck = useRef(true);
  const [atBottom, setAtBottom] = useState(true);
  const [missed, setMissed] = useState(false);

  const toBottom = useCallback((smooth = false) => {
    const element = scroller.current;
    if (element === null) return;
    stuck.current = true;
    setAtBottom(true);
    setMissed(false);
    element.scrollTo?.({ top: element.scrollHeight, behavior: smooth ? "smooth" : "instant" });
  }, []);

  const onScroll = useCallback(() => {
    const element = scroller.current;
    if (element === null) return;
    const near = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_PX;
    stuck.current = near;
    setAtBottom(near);
    if (near) setMissed(false);
  }, []);

  useLayoutEffect(() => {
    if (stuck.current) toBottom();
    else setMissed(true);
  }, [contentKey, toBottom]);

  useEffect(() => {
    const inner = content.current;
    const outer = scroller.current;
    if (inner === null || outer === null || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(() => {
      if (stuck.current) outer.scrollTop = outer.scrollHeight;
    });
    observer.observe(inner);
    observer.observe(outer);
    return () => observer.disconnect();
  }, []);

  /** Runs a change that puts something in front, and keeps what is on the screen where it is. */
  const keepPlace = useCallback(async (change: () => Promise<void>) => {
    const element = scroller.current;
    const fromEnd = element === null ? 0 : element.scrollHeight - element.scrollTop;
    stuck.current = false;
    await change();
    requestAnimationFrame(() => {
      if (element !== null) element.scrollTop = element.scrollHeight - fromEnd;
      setMissed(false);
    });
  }, []);

  return { scroller, content, onScroll, atBottom, missed, toBottom, keepPlace };
}
