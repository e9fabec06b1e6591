import { useCallback, useState, type KeyboardEvent, type PointerEvent } from "react";

const KEY = "doce.split";
const LEAST = 24;
const MOST = 70;
const STEP = 2;

function read(): number {
  try {
    const stored = Number(localStorage.getItem(KEY));
    return stored >= LEAST && stored <= MOST ? stored : 36;
  } catch {
    return 36;
  }
}

/** The share of the left pane in percent, and the bar that changes it. */
export function useSplit() {
  const [share, setShare] = useState(read);
  const change = useCallback((next: number) => {
    const bound = Math.round(Math.min(MOST, Math.max(LEAST, next)) * 10) / 10;
    setShare(bound);
    try {
      localStorage.setItem(KEY, String(bound));
    } catch {
      // For this page only.
    }
  }, []);
  return { share, change };
}

export function Splitter({ share, change }: ReturnType<typeof useSplit>) {
  const [dragging, setDragging] = useState(false);
  const onPointerDown = (event: PointerEvent<HTMLDivElement>) => {
    event.currentTarget.setPointerCapture(event.pointerId);
    setDragging(true);
  };
  const onPointerMove = (event: PointerEvent<HTMLDivElement>) => {
    const parent = event.currentTarget.parentElement;
    if (!dragging || parent === null) return;
    const box = parent.getBoundingClientRect();
    change(((event.clientX - box.left) / box.width) * 100);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const moves: Record<string, number> = { ArrowLeft: share - STEP, ArrowRight: share + STEP, Home: LEAST, End: MOST };
    const to = moves[event.key];
    if (to === undefined) return;
    event.preventDefault();
    change(to);
  };
  return (
    <>
      {/* A frame under the pointer would swallow its moves. */}
      {dragging && <div className="fixed inset-0 z-20 cursor-col-resize" />}
      <div
        role="separator"
        aria-orientation="vertical"
        aria-label="Width of the conversation"
        aria-valuenow={Math.round(share)}
        aria-valuemin={LEAST}
        aria-valuemax={MOST}
        tabIndex={0}
        onPointerDown={onPointerDown}
        onPointerMove={onPointerMove}
        onPointerUp={() => setDragging(false)}
        onPointerCancel={() => setDragging(false)}
        onKeyDown={onKeyDown}
        className="relative z-20 hidden w-px shrink-0 cursor-col-resize touch-none bg-line outline-none before:absolute before:inset-y-0 before:-inset-x-1.5 hover:bg-edge focus-visible:bg-accent md:block"
      />
    </>
  );
}
