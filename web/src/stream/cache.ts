// Keeps the query cache equal to what the stream says.
import type { InfiniteData, QueryClient } from "@tanstack/react-query";
import { keys } from "../api/queries";
import type { Connection, Imports, Job, LiveJob, MasterKey, Project, System } from "../api/types";
import { isShown, type JobFilter } from "../components/job-filter";
import type { StreamEvent } from "./events";
import type { Hub } from "./hub";
import { applyToConnections, applyToLiveJobs, applyToProject, applyToProjects } from "./patch";
import { reduce, type Conversation } from "./reducer";

/** In a hidden tab there are no animation frames, and no hurry. */
const HIDDEN_FLUSH_MS = 500;

/** What the stream says nothing about isn’t read again when it was lost. A preview’s ticket opens once. */
const STILL = new Set(["health", "me", "providers", "models", "ticket"]);

/** Applies events to the cache once per frame. Returns what stops it. */
export function followStream(hub: Hub, cache: QueryClient): () => void {
  let waiting: StreamEvent[] = [];
  let frame = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const flush = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    frame = 0;
    timer = undefined;
    const events = waiting;
    waiting = [];
    if (events.length > 0) applyEvents(cache, events);
  };
  const stopListening = hub.listen((event) => {
    waiting.push(event);
    if (frame !== 0 || timer !== undefined) return;
    if (document.visibilityState === "hidden") timer = setTimeout(flush, HIDDEN_FLUSH_MS);
    else frame = requestAnimationFrame(flush);
  });
  const stopResets = hub.onReset(() => {
    flush();
    void cache.invalidateQueries({ predicate: ({ queryKey }) => !STILL.has(String(queryKey[0])) });
  });
  document.addEventListener("visibilitychange", flush);
  return () => {
    flush();
    stopListening();
    stopResets();
    document.removeEventListener("visibilitychange", flush);
  };
}

type JobPages = InfiniteData<{ items: Job[]; next: string | null }, string | null>;

/** Puts a job into the lists that are shown. One that comes into a list, or leaves it, has it read again. */
function applyToJobs(cache: QueryClient, job: Job): void {
  for (const [key, pages] of cache.getQueriesData<JobPages>({ queryKey: keys.jobs })) {
    if (pages === undefined) continue;
    const filter = key[1] as JobFilter;
    const known = pages.pages.some((page) => page.items.some(({ id }) => id === job.id));
    if (known !== isShown(job, filter)) void cache.invalidateQueries({ queryKey: key }, { cancelRefetch: false });
    if (known) {
      const patched = pages.pages.map(({ items, next }) => ({ items: items.map((item) => (item.id === job.id ? job : item)), next }));
      cache.setQueryData<JobPages>(key, { pages: patched, pageParams: pages.pageParams });
    }
  }
  void cache.invalidateQueries({ queryKey: keys.jobLog(job.id) });
}

/** Applies events to everything in the cache that they touch. */
export function applyEvents(cache: QueryClient, events: StreamEvent[]): void {
  const projects = new Set<string>();
  const conversations = new Set<string>();
  let connections = false;
  for (const event of events) {
    switch (event.type) {
      case "project":
        projects.add(event.project.id);
        break;
      case "project_deleted":
        projects.add(event.project_id);
        cache.setQueryData(keys.project(event.project_id), (known: Project | undefined) => known && { ...known, state: "deleting" as const, desired: "deleted" as const });
        break;
      case "job":
        if (event.job.project_id !== null) projects.add(event.job.project_id);
        applyToJobs(cache, event.job);
        cache.setQueryData(keys.liveJobs, (known: LiveJob[] | undefined) => known && applyToLiveJobs(known, event));
        break;
      case "connection":
      case "connection_deleted":
        connections = true;
        break;
      case "message":
      case "part":
      case "delta":
      case "message_deleted":
        conversations.add(event.project_id);
        break;
      case "files":
        void cache.invalidateQueries({ queryKey: keys.files(event.project_id) });
        break;
      case "model_preferences":
        cache.setQueryData(keys.modelPreferences, event.preferences);
        break;
      case "oauth_attempt":
        cache.setQueryData(keys.attempt(event.attempt.id), event.attempt);
        break;
      case "import":
        cache.setQueryData(keys.imports, (known: Imports | undefined) => known && { ...known, run: event.import });
        // What became of each thing is read when it is over.
        if (event.import.ended_at !== null) void cache.invalidateQueries({ queryKey: keys.imports });
        break;
      case "key_rotation":
        cache.setQueryData(keys.masterKey, (known: MasterKey | undefined) => known && { ...known, rotation: event.rotation });
        if (event.rotation.state !== "running") void cache.invalidateQueries({ queryKey: keys.masterKey });
        break;
      case "opencode":
        cache.setQueryData(keys.system, (system: System | undefined) => system && { ...system, opencode: event.opencode });
        // With another try the sandbox was tried again, too.
        if (event.opencode.state !== "installing") void cache.invalidateQueries({ queryKey: keys.system });
        // The catalogue is OpenCode's own: what could not be read without it can be now.
        if (event.opencode.state === "ready") void cache.invalidateQueries({ queryKey: keys.providers });
        break;
      case "queue":
        cache.setQueryData(keys.queue, event.queue);
        break;
    }
  }
  if (projects.size > 0) {
    cache.setQueryData(keys.projects, (list: Project[] | undefined) => list && events.reduce(applyToProjects, list));
    for (const id of projects) {
      cache.setQueryData(keys.project(id), (project: Project | undefined) => project && events.reduce(applyToProject, project));
    }
  }
  if (connections) {
    cache.setQueryData(keys.connections, (list: Connection[] | undefined) => list && events.reduce(applyToConnections, list));
    void cache.invalidateQueries({ queryKey: keys.providers });
    void cache.invalidateQueries({ queryKey: keys.projectConnections });
  }
  for (const id of conversations) {
    const before = cache.getQueryData<Conversation>(keys.messages(id));
    if (before === undefined) continue;
    const after = events.reduce((state, event) => reduce(state, id, event), before);
    if (after === before) continue;
    cache.setQueryData(keys.messages(id), after);
    // A gap is read again once, not once per event that shows it.
    if (after.gap && !before.gap) void cache.invalidateQueries({ queryKey: keys.messages(id) }, { cancelRefetch: false });
  }
}
