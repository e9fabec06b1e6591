import type { ReactNode } from "react";
import { Mark } from "./logo";

/** The frame of the pages before somebody is signed in. */
export function Entry({ title, lead, children, foot }: { title: string; lead: ReactNode; children: ReactNode; foot?: ReactNode }) {
  return (
    <main className="grid min-h-dvh content-center justify-items-center px-4 py-10">
      <title>{`${title} · doce`}</title>
      <div className="grid w-full max-w-[22rem] gap-6">
        <div className="grid gap-3">
          <Mark className="size-9" />
          <div className="grid gap-1">
            <h1 className="text-xl font-semibold tracking-tight">{title}</h1>
            <p className="text-base text-muted">{lead}</p>
          </div>
        </div>
        {children}
        {foot && <p className="text-xs text-faint">{foot}</p>}
      </div>
    </main>
  );
}
