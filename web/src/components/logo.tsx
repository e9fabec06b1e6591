/** The mark: a d with a drop in it. */
export function Mark({ className = "size-5" }: { className?: string }) {
  return (
    <svg viewBox="0 0 24 24" className={className} aria-hidden>
      <rect width="24" height="24" rx="6.5" className="fill-accent" />
      <path d="M6.5 6.2h4.7c3.6 0 6.1 2.3 6.1 5.8s-2.5 5.8-6.1 5.8H6.5z" fill="#fff" />
      <circle cx="11.2" cy="12" r="2.35" className="fill-accent" />
    </svg>
  );
}

export function Wordmark() {
  return (
    <span className="flex items-center gap-2">
      <Mark />
      <span className="text-[15px] font-semibold tracking-tight">doce</span>
    </span>
  );
}
