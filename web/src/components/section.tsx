import type { ReactNode } from "react";

/** A part of a page of settings: what it is on the left, what can be done on the right. */
export function Section({ title, lead, children }: { title: string; lead: ReactNode; children: ReactNode }) {
  return (
    <section className="grid gap-3 border-t border-line pt-5 sm:grid-cols-[14rem_minmax(0,1fr)] sm:gap-6">
      <div>
        <h2 className="text-base font-medium">{title}</h2>
        <p className="text-muted">{lead}</p>
      </div>
      <div className="min-w-0">{children}</div>
    </section>
  );
}
