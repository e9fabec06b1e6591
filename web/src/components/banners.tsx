import { useMutation, useQuery } from "@tanstack/react-query";
import { CircleAlert, Download, LockOpen, ShieldAlert, ShieldX, WifiOff } from "lucide-react";
import { useEffect, useState, type ReactNode } from "react";
import { api, done } from "../api/client";
import { systemQuery } from "../api/queries";
import type { OpenCode } from "../api/types";
import { useStreamStatus } from "../stream/use-stream";
import { cn } from "../ui/cn";
import { WithCode } from "../ui/with-code";

/** A short loss of the stream isn't worth a word. */
const SAY_RECONNECTING_MS = 1_200;

/** Lasting problems of the whole server, on every page. */
export function Banners() {
  const { data: system } = useQuery(systemQuery);
  return (
    <>
      {system?.unsandboxed_warning && (
        <Bar tone="red" icon={<ShieldX aria-hidden />}>
          <b className="font-medium">No sandbox.</b> Agents run with this server’s rights and can read everything it can, keys included. {system.sandbox.detail}
        </Bar>
      )}
      {system && !system.unsandboxed_warning && system.sandbox.state === "unavailable" && (
        <Bar tone="amber" icon={<ShieldAlert aria-hidden />}>
          <b className="font-medium">Projects can’t start:</b> the sandbox doesn’t work here. <OrTryAgain reason={system.sandbox.detail} />
        </Bar>
      )}
      {system && system.sandbox.state !== "unavailable" && <OpenCodeBar opencode={system.opencode} />}
      {system && !system.encrypted && (
        <Bar tone="amber" icon={<LockOpen aria-hidden />}>
          <b className="font-medium">Not encrypted.</b> Anyone on this network can read what you type here, keys included.
        </Bar>
      )}
      <Reconnecting />
    </>
  );
}

const MEGABYTE = 1_000_000;

/** OpenCode is downloaded at the first start; until it is there no agent starts, and there is no catalogue. */
function OpenCodeBar({ opencode }: { opencode: OpenCode }) {
  switch (opencode.state) {
    case "ready":
    case "checking":
      return null;
    case "installing": {
      const got = Math.floor((opencode.downloaded ?? 0) / MEGABYTE);
      const share = opencode.total === null ? null : Math.min(1, (opencode.downloaded ?? 0) / opencode.total);
      return (
        <Bar tone="accent" icon={<Download aria-hidden />}>
          <b className="font-medium">Installing OpenCode {opencode.version}</b>, once: {opencode.total === null ? `${got} MB` : `${got} of ${Math.ceil(opencode.total / MEGABYTE)} MB`}. Agents and the list of providers need it.
          {share !== null && <progress className="sr-only" value={share} aria-label="Installing OpenCode" />}
        </Bar>
      );
    }
    case "failed":
      return (
        <Bar tone="red" icon={<CircleAlert aria-hidden />}>
          <b className="font-medium">Agents can’t start.</b> <OrTryAgain reason={opencode.detail} />
        </Bar>
      );
  }
}

/** Why agents can’t start, and the way to try the sandbox and OpenCode again. */
function OrTryAgain({ reason }: { reason: string | null }) {
  const retry = useMutation({ mutationFn: () => done(api.POST("/api/system/opencode/retry")) });
  return (
    <>
      <WithCode>{retry.error?.message ?? reason ?? ""}</WithCode>{" "}
      <button type="button" className="cursor-pointer font-medium underline underline-offset-2" disabled={retry.isPending} onClick={() => retry.mutate()}>
        Try again
      </button>
    </>
  );
}

const BAR_TONE = {
  red: "border-red-line bg-red-soft text-red",
  amber: "border-amber-line bg-amber-soft text-amber",
  accent: "border-line bg-sunken text-muted",
} as const;

function Bar({ tone, icon, children }: { tone: keyof typeof BAR_TONE; icon: ReactNode; children: ReactNode }) {
  return (
    <div role="status" className={cn("flex shrink-0 items-start gap-2 border-b px-4 py-1.5 text-xs [&>svg]:mt-px [&>svg]:size-3.5 [&>svg]:shrink-0", BAR_TONE[tone])}>
      {icon}
      <div className="min-w-0">{children}</div>
    </div>
  );
}

/** Floats over the page, so that nothing moves when the network does. */
function Reconnecting() {
  const status = useStreamStatus();
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (status === "open") return;
    const timer = setTimeout(() => setLate(true), SAY_RECONNECTING_MS);
    return () => {
      clearTimeout(timer);
      setLate(false);
    };
  }, [status]);
  return (
    <div aria-live="polite" className="pointer-events-none fixed inset-x-0 top-14 z-30 flex justify-center">
      {status !== "open" && late && (
        <span className="flex items-center gap-2 rounded-full border border-amber-line bg-amber-soft px-3 py-1 text-xs text-amber animate-fade">
          <WifiOff className="size-3.5" aria-hidden />
          Reconnecting… what you see may be out of date.
        </span>
      )}
    </div>
  );
}
