import { Check, CircleAlert, CircleDashed, CircleSlash, LoaderCircle, Undo2 } from "lucide-react";
import { useEffect, useState, type ReactNode } from "react";
import type { Job, JobStep } from "../api/types";
import { TONE_TEXT } from "../ui/badge";
import { cn } from "../ui/cn";
import { clock, exact, took, useNow } from "./relative-time";
import { STEP_STATE } from "./states";

const ICONS: Record<JobStep["state"], ReactNode> = {
  pending: <CircleDashed aria-hidden />,
  running: <LoaderCircle className="animate-spin" aria-hidden />,
  succeeded: <Check aria-hidden />,
  failed: <CircleAlert aria-hidden />,
  undone: <Undo2 aria-hidden />,
  skipped: <CircleSlash aria-hidden />,
};

/** A job, step by step: what each does, how long it took, and why it failed. */
export function JobSteps({ job, children }: { job: Job; children?: ReactNode }) {
  const now = useNow();
  const failed = job.steps.findLast((step) => step.state === "failed");
  return (
    <ol className="grid" aria-label="Steps">
      {job.steps.map((step, index) => (
        <li key={step.name} className="flex gap-3">
          <div className="grid grid-rows-[auto_1fr] justify-items-center">
            <span className={cn("grid size-6 place-content-center rounded-full border bg-surface [&>svg]:size-3.5", STEP_TONE[step.state])}>{ICONS[step.state]}</span>
            {index < job.steps.length - 1 && <span aria-hidden className={cn("w-px", step.state === "succeeded" ? "bg-edge" : "bg-line-strong")} />}
          </div>
          <div className="min-w-0 flex-1 pb-4">
            <div className="flex min-h-6 items-center gap-2">
              <span className={cn("min-w-0 flex-1 truncate text-base", step.state === "pending" || step.state === "undone" ? "text-faint" : "text-text", step.state === "running" && "font-medium")}>{step.label}</span>
              <span className={cn("shrink-0 text-xs tabular-nums", TONE_TEXT[STEP_STATE[step.state].tone])}>
                <StepTime step={step} />
              </span>
            </div>
            {step.attempts > 1 &&
              (step.state === "running" ? (
                <p className="text-xs text-amber">
                  Attempt {step.attempts}
                  {job.next_attempt_at !== null && Date.parse(job.next_attempt_at) > now ? `, next at ${clock(job.next_attempt_at)}` : ""}
                </p>
              ) : (
                <p className="text-xs text-muted">{step.attempts} attempts</p>
              ))}
            {step.detail && step.state !== "failed" && step.detail !== job.waits_for?.message && <p className="text-xs break-words text-muted">{step.detail}</p>}
            {step === failed && (
              <div className="mt-1 grid gap-2 rounded-lg border border-red-line bg-red-soft px-3 py-2.5 text-sm">
                <p className="break-words">{job.error?.message ?? step.detail}</p>
                {job.error && step.detail && step.detail !== job.error.message && <p className="font-mono text-xs break-words text-muted">{step.detail}</p>}
                {children && <div>{children}</div>}
              </div>
            )}
          </div>
        </li>
      ))}
    </ol>
  );
}

const STEP_TONE: Record<JobStep["state"], string> = {
  pending: "border-line text-faint",
  running: "border-accent-line text-accent-text",
  succeeded: "border-green-line text-green",
  failed: "border-red-line text-red",
  undone: "border-line text-faint",
  skipped: "border-line text-faint",
};

function StepTime({ step }: { step: JobStep }) {
  if (step.state === "pending") return null;
  if (step.started_at === null) return STEP_STATE[step.state].word;
  if (step.ended_at === null) return step.state === "running" ? <Elapsed since={step.started_at} /> : STEP_STATE[step.state].word;
  const time = took(Date.parse(step.ended_at) - Date.parse(step.started_at));
  return (
    <span title={exact(step.ended_at)}>
      {step.state === "succeeded" ? time : `${STEP_STATE[step.state].word} after ${time}`}
      {step.state === "succeeded" && <span className="sr-only"> {STEP_STATE[step.state].word}</span>}
    </span>
  );
}

const TICK_MS = 1_000;

/** Seconds since something started, counted up. */
export function Elapsed({ since }: { since: string }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(0, Math.floor((now - Date.parse(since)) / 1000));
  return <>{seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`}</>;
}
