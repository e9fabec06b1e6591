// How each state is said and coloured. Colours exist only in these tables, always beside a word.
import type { Connection, ConnectionDelivery, JobStep, Message, Project, Verification } from "../api/types";
import type { Tone } from "../ui/badge";

type Say = { word: string; tone: Tone };

export const PROJECT_STATE: Record<Project["state"], Say> = {
  launching: { word: "Launching", tone: "accent" },
  running: { word: "Running", tone: "green" },
  stopping: { word: "Stopping", tone: "neutral" },
  stopped: { word: "Stopped", tone: "neutral" },
  failed: { word: "Failed", tone: "red" },
  deleting: { word: "Deleting", tone: "neutral" },
};

export const CONNECTION_STATUS: Record<Connection["status"], Say> = {
  connected: { word: "Connected", tone: "green" },
  expired: { word: "Expired", tone: "amber" },
  error: { word: "Error", tone: "red" },
  revoked: { word: "Disconnected", tone: "neutral" },
};

export const VERIFICATION: Record<Verification["outcome"], Say> = {
  valid: { word: "works", tone: "green" },
  limited: { word: "works, limited", tone: "amber" },
  no_credit: { word: "works, but has no credit", tone: "amber" },
  invalid: { word: "rejected", tone: "red" },
  unreachable: { word: "not reachable, not verified", tone: "amber" },
  unsupported: { word: "can’t be verified", tone: "neutral" },
};

export const DELIVERY_STATUS: Record<ConnectionDelivery["status"], Say> = {
  pending: { word: "on its way", tone: "neutral" },
  delivered: { word: "delivered", tone: "green" },
  stale: { word: "applies when idle", tone: "amber" },
  revoked: { word: "revoked", tone: "neutral" },
  failed: { word: "failed", tone: "red" },
};

export const STEP_STATE: Record<JobStep["state"], Say> = {
  pending: { word: "waiting", tone: "neutral" },
  running: { word: "running", tone: "accent" },
  succeeded: { word: "done", tone: "green" },
  failed: { word: "failed", tone: "red" },
  undone: { word: "undone", tone: "neutral" },
  skipped: { word: "skipped", tone: "neutral" },
};

export const MESSAGE_STATE: Record<Message["state"], string | null> = {
  waiting: "Waiting",
  sent: null,
  streaming: null,
  complete: null,
  interrupted: "Interrupted",
  failed: "Failed",
  aborted: "Stopped",
};

type Allowed = { start: boolean; stop: boolean; prompt: boolean; delete: boolean };

/** What may be asked of a project in each state. The server decides; this only keeps useless buttons away. */
export const PROJECT_ACTIONS: Record<Project["state"], Allowed> = {
  launching: { start: false, stop: true, prompt: false, delete: true },
  running: { start: false, stop: true, prompt: true, delete: true },
  stopping: { start: false, stop: false, prompt: false, delete: true },
  stopped: { start: true, stop: false, prompt: true, delete: true },
  failed: { start: true, stop: false, prompt: false, delete: true },
  deleting: { start: false, stop: false, prompt: false, delete: false },
};

/** Whether as many agents run as may, and the project waits for one of them to stop. */
export function waitsForRoom(project: Project): boolean {
  return project.job?.waits_for?.code === "no_room";
}

/** What a project is doing, in a few words: "Answering", "Launching, 2 of 6". */
export function projectWords(project: Project): Say {
  const base = PROJECT_STATE[project.state];
  if (waitsForRoom(project)) return { word: "In the queue", tone: "neutral" };
  if (project.job?.waits_for) return { word: "Needs a key", tone: "amber" };
  if (project.state === "launching") {
    const progress = jobProgress(project.job);
    return progress === null ? base : { ...base, word: `${base.word}, ${progress.at} of ${progress.of}` };
  }
  if (project.state === "failed" && project.job?.error) {
    const { kind } = project.job.error.action;
    if (kind === "connect_provider" || kind === "replace_key") return { word: "Needs a key", tone: "amber" };
  }
  if (project.state === "running") {
    if (project.instance?.observed === "unhealthy") return { word: "Not responding", tone: "amber" };
    if (project.session.kind === "busy") return { word: "Answering", tone: "accent" };
    if (project.session.kind === "retry") return { word: "Retrying", tone: "amber" };
  }
  return base;
}

export function jobProgress(job: Project["job"]): { at: number; of: number; label: string } | null {
  if (job === null || job.steps.length === 0) return null;
  const running = job.steps.findIndex((step) => step.state === "running");
  const finished = job.steps.filter((step) => step.state === "succeeded" || step.state === "skipped").length;
  const index = running >= 0 ? running : Math.min(finished, job.steps.length - 1);
  return { at: index + 1, of: job.steps.length, label: job.steps[index]?.label ?? "" };
}

/** Whether an answer is being written, so that it can be stopped. */
export function isAnswering(project: Project): boolean {
  return project.state === "running" && (project.session.kind === "busy" || project.session.kind === "retry");
}
