/** How far something is whose end is known. */
export function Progress({ label, done, total }: { label: string; done: number; total: number }) {
  const share = total === 0 ? 0 : Math.min(100, Math.round((done / total) * 100));
  return (
    <div role="progressbar" aria-label={label} aria-valuenow={done} aria-valuemin={0} aria-valuemax={total} className="h-1.5 overflow-hidden rounded-full bg-hover">
      <div className="h-full rounded-full bg-accent transition-[width]" style={{ width: `${share}%` }} />
    </div>
  );
}
