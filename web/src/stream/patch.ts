// Lists and single nouns as pure functions of the stream's events.
import type { Connection, Job, LiveJob, Project } from "../api/types";
import { isLive } from "../components/job-filter";
import type { StreamEvent } from "./events";

function upsert<T extends { id: string }>(list: T[], item: T): T[] {
  const at = list.findIndex((known) => known.id === item.id);
  return at < 0 ? [item, ...list] : list.with(at, item);
}

function without<T extends { id: string }>(list: T[], id: string): T[] {
  return list.some((item) => item.id === id) ? list.filter((item) => item.id !== id) : list;
}

/** A project shows one job: the live one, or the last one if it failed. */
function withJob(project: Project, job: Job): Project {
  if (job.project_id !== project.id) return project;
  if (project.job !== null && project.job.id !== job.id && project.job.created_at > job.created_at) return project;
  const shown = job.state === "succeeded" || job.state === "cancelled" ? null : job;
  if (shown === null && project.job?.id !== job.id) return project;
  return { ...project, job: shown };
}

export function applyToProject(project: Project, event: StreamEvent): Project {
  if (event.type === "project" && event.project.id === project.id) return event.project;
  if (event.type === "job") return withJob(project, event.job);
  return project;
}

export function applyToProjects(list: Project[], event: StreamEvent): Project[] {
  switch (event.type) {
    case "project":
      return upsert(list, event.project);
    case "project_deleted":
      return without(list, event.project_id);
    case "job": {
      const { job } = event;
      const at = list.findIndex((project) => project.id === job.project_id);
      const project = list[at];
      if (project === undefined) return list;
      const changed = withJob(project, job);
      return changed === project ? list : list.with(at, changed);
    }
    case "connection":
    case "connection_deleted":
    case "message":
    case "part":
    case "delta":
    case "message_deleted":
    case "files":
    case "model_preferences":
    case "oauth_attempt":
    case "import":
    case "key_rotation":
    case "opencode":
    case "queue":
      return list;
  }
}

/** A job that runs or waits is in the list; one that ended isn’t. */
export function applyToLiveJobs(list: LiveJob[], event: StreamEvent): LiveJob[] {
  if (event.type !== "job") return list;
  const { id, state } = event.job;
  return isLive(event.job) ? upsert(list, { id, state }) : without(list, id);
}

export function applyToConnections(list: Connection[], event: StreamEvent): Connection[] {
  switch (event.type) {
    case "connection":
      return list.some((known) => known.id === event.connection.id) ? upsert(list, event.connection) : [...list, event.connection];
    case "connection_deleted":
      return without(list, event.connection_id);
    case "project":
    case "project_deleted":
    case "job":
    case "message":
    case "part":
    case "delta":
    case "message_deleted":
    case "files":
    case "model_preferences":
    case "oauth_attempt":
    case "import":
    case "key_rotation":
    case "opencode":
    case "queue":
      return list;
  }
}
