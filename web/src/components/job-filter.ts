// Which jobs a page shows, as it stands in the address, and what each kind of job is called.
import type { Job } from "../api/types";

export const JOB_KINDS: Record<string, string> = {
  launch_project: "Launch",
  start_project: "Start",
  stop_project: "Stop",
  delete_project: "Delete",
  send_prompt: "Send a prompt",
  apply_delivery: "Hand over keys",
  refresh_credential: "Renew a sign-in",
  verify_connection: "Verify a key",
};

export const JOB_STATES: Record<Job["state"], { word: string; tone: "neutral" | "accent" | "green" | "red" }> = {
  queued: { word: "Queued", tone: "neutral" },
  running: { word: "Running", tone: "accent" },
  succeeded: { word: "Done", tone: "green" },
  failed: { word: "Failed", tone: "red" },
  cancelled: { word: "Cancelled", tone: "neutral" },
  stuck: { word: "Stuck", tone: "red" },
};

export type JobFilter = { state?: Job["state"]; kind?: string; project?: string };

const isState = (text: unknown): text is Job["state"] => typeof text === "string" && Object.hasOwn(JOB_STATES, text);

/** Reads a filter from an address; what isn't one is left out. */
export function jobFilter(search: Record<string, unknown>): JobFilter {
  const { state, kind, project } = search;
  return {
    ...(isState(state) ? { state } : {}),
    ...(typeof kind === "string" && Object.hasOwn(JOB_KINDS, kind) ? { kind } : {}),
    ...(typeof project === "string" && project !== "" ? { project } : {}),
  };
}

/** Whether a list that is filtered like this has the job. */
export function isShown(job: Job, { state, kind, project }: JobFilter): boolean {
  return (state === undefined || job.state === state) && (kind === undefined || job.kind === kind) && (project === undefined || job.project_id === project);
}

export const isLive = (job: Job): boolean => job.state === "queued" || job.state === "running";

/** What a job is called that this client doesn't know: its kind, as words. */
export function kindWords(kind: string): string {
  return JOB_KINDS[kind] ?? kind.replaceAll("_", " ");
}
