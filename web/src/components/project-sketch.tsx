// A small abstract page layout, always the same for the same project. It stands where nothing else is known of an app's looks.

function numbers(seed: string): () => number {
  let state = 2166136261;
  for (const char of seed) state = Math.imul(state ^ char.charCodeAt(0), 16777619);
  return () => {
    state = Math.imul(state ^ (state >>> 15), 2246822507);
    state = Math.imul(state ^ (state >>> 13), 3266489909);
    state ^= state >>> 16;
    return (state >>> 0) / 4294967296;
  };
}

const INK = "fill-text/8 dark:fill-text/9";
const SOFT = "fill-text/5";
const ACCENT = "fill-accent/35 dark:fill-accent/45";

export function ProjectSketch({ seed, className }: { seed: string; className?: string }) {
  const next = numbers(seed);
  const pick = Math.floor(next() * 4);
  const wide = 60 + next() * 70;
  return (
    <svg viewBox="0 0 320 120" preserveAspectRatio="xMidYMid slice" className={className} aria-hidden>
      <circle cx="22" cy="17" r="5" className={ACCENT} />
      <rect x="34" y="14" width={24 + next() * 30} height="6" rx="3" className={INK} />
      <rect x="262" y="13" width="38" height="8" rx="4" className={SOFT} />
      {pick === 0 && (
        <>
          <rect x={160 - wide / 2 - 20} y="42" width={wide + 40} height="9" rx="4.5" className={INK} />
          <rect x={160 - wide / 2} y="58" width={wide} height="6" rx="3" className={SOFT} />
          <rect x="138" y="75" width="44" height="12" rx="6" className={ACCENT} />
          {[20, 120, 220].map((x) => (
            <rect key={x} x={x} y="100" width="80" height="40" rx="6" className={SOFT} />
          ))}
        </>
      )}
      {pick === 1 &&
        [20, 118, 216].map((x, column) => (
          <g key={x}>
            <rect x={x} y="34" width="84" height="100" rx="6" className={SOFT} />
            {Array.from({ length: 1 + Math.floor(next() * 3) }, (_, row) => (
              <rect key={row} x={x + 7} y={42 + row * 26} width="70" height="19" rx="4" className={column === 1 && row === 0 ? ACCENT : INK} />
            ))}
          </g>
        ))}
      {pick === 2 && (
        <>
          <rect x="20" y="34" width="78" height="100" rx="6" className={SOFT} />
          {[44, 58, 72, 86, 100].map((y, index) => (
            <rect key={y} x="29" y={y} width={30 + next() * 28} height="6" rx="3" className={index === 1 ? ACCENT : INK} />
          ))}
          <rect x="116" y="40" width={wide} height="9" rx="4.5" className={INK} />
          {[62, 76, 90, 104].map((y) => (
            <rect key={y} x="116" y={y} width={110 + next() * 70} height="6" rx="3" className={SOFT} />
          ))}
        </>
      )}
      {pick === 3 && (
        <>
          {[20, 94, 168, 242].map((x, index) => (
            <rect key={x} x={x} y="36" width="60" height="26" rx="6" className={index === 0 ? ACCENT : SOFT} />
          ))}
          <path d={`M20 ${108 - next() * 10} L70 ${92 - next() * 10} L120 ${102 - next() * 14} L170 ${80 + next() * 12} L220 ${90 - next() * 12} L300 ${76 - next() * 4}`} className="fill-none stroke-text/20" strokeWidth="2.5" strokeLinecap="round" strokeLinejoin="round" />
        </>
      )}
    </svg>
  );
}
