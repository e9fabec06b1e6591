/**
 * What stands here until the app does. Replace it: render the app in App.tsx and delete this file.
 */
export function Start() {
  return (
    <main className="start relative grid min-h-dvh place-items-center overflow-hidden bg-zinc-50 px-6 py-12 text-zinc-900 dark:bg-zinc-950 dark:text-zinc-100">
      <style>{css}</style>
      <div className="relative flex w-full max-w-md flex-col items-center text-center">
        <Sketch />
        <h1 className="mt-12 text-[22px] leading-tight font-semibold tracking-tight text-balance">Your app will appear here</h1>
        <p className="mt-3 max-w-sm text-[15px] leading-relaxed text-balance text-zinc-500 dark:text-zinc-400">
          The agent is at work on the first version. This page changes by itself as soon as there is something to see.
        </p>
      </div>
    </main>
  )
}

/** A page that sketches itself, one part after the other. */
function Sketch() {
  return (
    <div aria-hidden className="relative w-full max-w-72 sm:max-w-sm">
      <div className="start-glow absolute -inset-x-16 -inset-y-14" />
      <svg
        viewBox="0 0 384 252"
        fill="none"
        strokeLinecap="round"
        strokeLinejoin="round"
        className="start-lift relative mx-auto max-h-[38dvh] w-full overflow-visible text-zinc-300 dark:text-zinc-600"
      >
        <rect x="1" y="1" width="382" height="250" rx="16" className="fill-white stroke-zinc-200 dark:fill-zinc-900 dark:stroke-zinc-800" />
        <path d="M1 38h382" className="stroke-zinc-200 dark:stroke-zinc-800" />
        <g className="fill-zinc-200 dark:fill-zinc-700">
          <circle cx="22" cy="19.5" r="4" />
          <circle cx="36" cy="19.5" r="4" />
          <circle cx="50" cy="19.5" r="4" />
        </g>
        <rect x="122" y="11.5" width="140" height="16" rx="8" className="fill-zinc-100 dark:fill-zinc-800" />

        <g stroke="currentColor">
          <Line delay={0} d="M33 73h118" strokeWidth="9" />
          <Line delay={0.3} d="M32 97h150" strokeWidth="5" />
          <Line delay={0.5} d="M32 112h112" strokeWidth="5" />
        </g>
        <Box delay={0.9} className="start-accent" x="29" y="131" width="76" height="24" rx="12" />
        <Box delay={1.1} className="fill-zinc-100 dark:fill-zinc-800" x="114" y="131" width="56" height="24" rx="12" />

        <Box delay={1.4} className="start-tint" x="226" y="62" width="129" height="93" rx="11" />
        <circle className="start-part start-accent" style={{ animationDelay: '1.8s' }} cx="327" cy="87" r="8" fillOpacity=".7" />
        <Line delay={1.9} className="start-accent-line" d="M240 139l30-34 21 21 15-14 35 27" strokeWidth="3" />

        {[29, 142, 255].map((x, n) => (
          <g key={x}>
            <Box delay={2.4 + n * 0.2} className="fill-zinc-100 dark:fill-zinc-800" x={x} y="181" width="100" height="44" rx="10" />
            <Line delay={2.7 + n * 0.2} stroke="currentColor" d={`M${x + 15} 197h${46 - n * 7}`} strokeWidth="5" />
            <Line delay={2.8 + n * 0.2} stroke="currentColor" d={`M${x + 15} 210h${62 + n * 3}`} strokeWidth="4" strokeOpacity=".55" />
          </g>
        ))}
      </svg>
    </div>
  )
}

function Line({ delay, className = '', ...rest }: { delay: number } & React.SVGProps<SVGPathElement>) {
  return <path {...rest} pathLength="1" className={`start-line ${className}`} style={{ animationDelay: `${delay}s` }} />
}

function Box({ delay, className = '', ...rest }: { delay: number } & React.SVGProps<SVGRectElement>) {
  return <rect {...rest} className={`start-part ${className}`} style={{ animationDelay: `${delay}s` }} />
}

const css = `
.start { --accent: oklch(0.6 0.17 277); --glow: 20%; --tint: 11% }
@media (prefers-color-scheme: dark) { .start { --accent: oklch(0.68 0.15 277); --glow: 30%; --tint: 20% } }
.start-accent { fill: var(--accent) }
.start-accent-line { stroke: var(--accent) }
.start-tint { fill: color-mix(in oklab, var(--accent) var(--tint), transparent) }
.start-glow {
  background: radial-gradient(closest-side, color-mix(in oklab, var(--accent) var(--glow), transparent), transparent);
  animation: start-breathe 8s ease-in-out infinite;
}
@media (prefers-color-scheme: light) { .start-lift { filter: drop-shadow(0 10px 24px rgb(0 0 0 / .05)) } }
.start-line { stroke-dasharray: 1; animation: start-draw 9s cubic-bezier(.4, 0, .2, 1) infinite both }
.start-part { transform-box: fill-box; transform-origin: center; animation: start-rise 9s cubic-bezier(.2, .8, .2, 1) infinite both }
@keyframes start-draw {
  0% { stroke-dashoffset: 1; visibility: hidden }
  .5% { visibility: visible }
  8%, 58% { stroke-dashoffset: 0; opacity: 1 }
  64%, 100% { stroke-dashoffset: 0; opacity: 0 }
}
@keyframes start-rise {
  0% { transform: translateY(6px) scale(.97); opacity: 0 }
  7%, 58% { transform: none; opacity: 1 }
  64%, 100% { transform: none; opacity: 0 }
}
@keyframes start-breathe { 50% { opacity: .5 } }
@media (prefers-reduced-motion: reduce) {
  .start-glow, .start-line, .start-part { animation: none }
}
`
