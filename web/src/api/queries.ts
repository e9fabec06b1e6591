// What the pages read, each under one key. The stream patches what is here, so nothing is read again on a timer.
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, take, takeBytes } from "./client";
import { sessionKeys } from "./session";
import type { AuditAction, Connection, LiveJob, Model, Project } from "./types";
import { applyToConnections, applyToLiveJobs, applyToProject, applyToProjects } from "../stream/patch";
import type { JobFilter } from "../components/job-filter";
import { stream } from "../stream/hub";
import { conversationFrom, reduce } from "../stream/reducer";

const LIVE = { staleTime: Infinity, gcTime: 30 * 60_000 } as const;
const PROJECTS_PAGE = 200;
export const MESSAGES_PAGE = 100;
const AUDIT_PAGE = 50;
const JOBS_PAGE = 50;
/** How often a page of the audit log is asked for again from where it ended early, before somebody has to press for more. */
const AUDIT_ROUNDS = 20;
/** A file larger than this is offered as a download instead of being shown. */
export const SHOWN_FILE_BYTES = 400_000;

export const keys = {
  system: sessionKeys.system,
  systemStatus: ["system-status"] as const,
  doctor: ["doctor"] as const,
  signIns: ["sign-ins"] as const,
  tokens: ["tokens"] as const,
  invites: ["invites"] as const,
  providers: ["providers"] as const,
  customProviders: ["custom-providers"] as const,
  localProviders: ["local-providers"] as const,
  models: (providerId: string) => ["models", providerId] as const,
  modelPreferences: sessionKeys.modelPreferences,
  connections: sessionKeys.connections,
  connectionProjects: ["connection-projects"] as const,
  projectConnections: ["project-connections"] as const,
  attempt: (id: string) => ["attempt", id] as const,
  projects: ["projects"] as const,
  project: (id: string) => ["project", id] as const,
  messages: (id: string) => ["messages", id] as const,
  files: (id: string) => ["files", id] as const,
  logs: (id: string) => ["logs", id] as const,
  users: ["users"] as const,
  accountInUse: (id: string) => ["account-in-use", id] as const,
  audit: ["audit"] as const,
  jobs: ["jobs"] as const,
  liveJobs: sessionKeys.liveJobs,
  queue: ["queue"] as const,
  jobLog: (id: string) => ["job-log", id] as const,
  imports: ["imports"] as const,
  masterKey: ["master-key"] as const,
};

export const systemQuery = queryOptions({ queryKey: keys.system, queryFn: () => take(api.GET("/api/system")), staleTime: 60_000 });

/** What runs and what it takes, for admins. Disks are measured once a minute at most, so there is no need to ask more often. */
export const systemStatusQuery = queryOptions({ queryKey: keys.systemStatus, queryFn: () => take(api.GET("/api/system/status")), staleTime: 0 });

/** What is wrong with the server’s machine, for admins. It takes a few seconds. */
export const doctorQuery = queryOptions({ queryKey: keys.doctor, queryFn: async () => (await take(api.GET("/api/system/doctor"))).items, staleTime: 60_000 });

export const signInsQuery = queryOptions({
  queryKey: keys.signIns,
  queryFn: async () => (await take(api.GET("/api/sign-ins"))).items,
  staleTime: 0,
});

/** What scripts hold. When one was last used is worth a question each time. */
export const tokensQuery = queryOptions({ queryKey: keys.tokens, queryFn: async () => (await take(api.GET("/api/tokens"))).items, staleTime: 0 });

/** What of an account is of use at present; only an admin is told. */
export const accountInUseQuery = (id: string) =>
  queryOptions({ queryKey: keys.accountInUse(id), queryFn: () => take(api.GET("/api/users/{id}/in-use", { params: { path: { id } } })), staleTime: 0, gcTime: 0 });

export const invitesQuery = queryOptions({ queryKey: keys.invites, queryFn: async () => (await take(api.GET("/api/invites"))).items, staleTime: 0 });

export const providersQuery = queryOptions({
  queryKey: keys.providers,
  queryFn: async () => (await take(api.GET("/api/providers"))).items,
  staleTime: 10 * 60_000,
});

export const customProvidersQuery = queryOptions({
  queryKey: keys.customProviders,
  queryFn: async () => (await take(api.GET("/api/custom-providers"))).items,
  staleTime: 0,
});

/** Programs on the server’s own machine that offer models; admins only. */
export const localProvidersQuery = queryOptions({
  queryKey: keys.localProviders,
  queryFn: async () => (await take(api.GET("/api/local-providers"))).items,
  staleTime: 30_000,
});

/** The providers whose models are asked for in this moment, and the one answer to all of them. */
let asked: { ids: string[]; answer: Promise<Map<string, Model[]>> } | null = null;

async function readTogether(ids: string[]): Promise<Map<string, Model[]>> {
  // Whoever asks later is not in this request any more.
  await Promise.resolve();
  asked = null;
  if (ids.length === 1) return new Map();
  const { items } = await take(api.GET("/api/models", { params: { query: { providers: ids.join(",") } } }));
  return new Map(items.map(({ provider_id, models }) => [provider_id, models]));
}

/** Reads a provider’s models, in one request with those of others that are asked for in the same moment. */
async function readModels(providerId: string): Promise<Model[]> {
  if (asked === null) {
    const ids: string[] = [];
    asked = { ids, answer: readTogether(ids) };
  }
  asked.ids.push(providerId);
  const found = (await asked.answer).get(providerId);
  // Alone, or not among what was found: the provider’s own route says why.
  return found ?? (await take(api.GET("/api/providers/{id}/models", { params: { path: { id: providerId } } }))).items;
}

export const modelsQuery = (providerId: string) => queryOptions({ queryKey: keys.models(providerId), queryFn: () => readModels(providerId), staleTime: 10 * 60_000 });

/** The preferred model, favourites and the models used last; the stream says when they change. */
export const modelPreferencesQuery = queryOptions({ queryKey: keys.modelPreferences, queryFn: () => take(api.GET("/api/models/preferences")), ...LIVE });

/** Which connection pays in a project, provider by provider. Read again when the stream tells of a connection. */
export const projectConnectionsQuery = (id: string) =>
  queryOptions({
    queryKey: [...keys.projectConnections, id],
    queryFn: async () => (await take(api.GET("/api/projects/{id}/connections", { params: { path: { id } } }))).items,
    staleTime: 0,
  });

/** How a sign-in at a provider goes; the stream says when it is over. */
export const attemptQuery = (id: string) =>
  queryOptions({ queryKey: keys.attempt(id), queryFn: () => take(api.GET("/api/oauth-attempts/{id}", { params: { path: { id } } })), staleTime: Number.POSITIVE_INFINITY });

export const connectionsQuery = queryOptions({
  queryKey: keys.connections,
  queryFn: async (): Promise<Connection[]> => {
    const { result, events } = await stream.during(async () => (await take(api.GET("/api/connections"))).items);
    return events.reduce(applyToConnections, result);
  },
  ...LIVE,
});

/** The projects that use a connection, those that don’t run as well. */
export const connectionProjectsQuery = (id: string) =>
  queryOptions({
    queryKey: [...keys.connectionProjects, id],
    queryFn: async () => (await take(api.GET("/api/connections/{id}/projects", { params: { path: { id } } }))).items,
    staleTime: 0,
    gcTime: 0,
  });

export const projectsQuery = queryOptions({
  queryKey: keys.projects,
  queryFn: async (): Promise<Project[]> => {
    const { result, events } = await stream.during(async () => {
      const all: Project[] = [];
      let cursor: string | undefined;
      do {
        const query = cursor === undefined ? { limit: PROJECTS_PAGE } : { limit: PROJECTS_PAGE, cursor };
        const page = await take(api.GET("/api/projects", { params: { query } }));
        all.push(...page.items);
        cursor = page.next ?? undefined;
      } while (cursor !== undefined);
      return all;
    });
    return events.reduce(applyToProjects, result);
  },
  ...LIVE,
});

export const projectQuery = (id: string) =>
  queryOptions({
    queryKey: keys.project(id),
    queryFn: async (): Promise<Project> => {
      const { result, events } = await stream.during(() => take(api.GET("/api/projects/{id}", { params: { path: { id } } })));
      return events.reduce(applyToProject, result);
    },
    ...LIVE,
  });

/** The newest page of a conversation; `loadEarlier` puts older pages in front of it. */
export const messagesQuery = (id: string) =>
  queryOptions({
    queryKey: keys.messages(id),
    queryFn: async () => {
      // Subscribed first, then read: what happens in between is among the events.
      await stream.watching(id);
      const { result, events } = await stream.during(() =>
        take(api.GET("/api/projects/{id}/messages", { params: { path: { id }, query: { limit: MESSAGES_PAGE } } })),
      );
      return events.reduce((state, event) => reduce(state, id, event), conversationFrom(result));
    },
    ...LIVE,
  });

export const filesQuery = (id: string, path: string) =>
  queryOptions({
    queryKey: [...keys.files(id), "list", path],
    queryFn: async () => (await take(api.GET("/api/projects/{id}/files", { params: { path: { id }, query: { path } } }))).items,
    ...LIVE,
  });

export const fileQuery = (id: string, path: string) =>
  queryOptions({
    queryKey: [...keys.files(id), "file", path],
    queryFn: async ({ signal }) => {
      const { bytes, type } = await takeBytes(fileUrl(id, path), signal);
      const binary = !type.startsWith("text/") || bytes.subarray(0, 4096).includes(0);
      return { size: bytes.length, text: binary || bytes.length > SHOWN_FILE_BYTES ? null : new TextDecoder().decode(bytes), binary };
    },
    ...LIVE,
  });

export type LogSource = "agent" | "preview" | "install";

export const logsQuery = (id: string, source: LogSource) =>
  queryOptions({
    queryKey: [...keys.logs(id), source],
    queryFn: async ({ signal }) => {
      const { bytes } = await takeBytes(`/api/projects/${encodeURIComponent(id)}/logs?source=${source}`, signal);
      return new TextDecoder().decode(bytes);
    },
    staleTime: 0,
  });

/** The accounts; only an admin is told. */
export const usersQuery = queryOptions({ queryKey: keys.users, queryFn: async () => (await take(api.GET("/api/users"))).items, staleTime: 60_000 });

/** Which events of the audit log; all that are given must hold. */
export type AuditFilter = { action?: AuditAction; actor?: string; noun?: string; connection?: string };

/** The audit log from the newest event on, a page at a time. */
export const auditQuery = (filter: AuditFilter) =>
  infiniteQueryOptions({
    queryKey: [...keys.audit, filter],
    initialPageParam: null as string | null,
    queryFn: async ({ pageParam, signal }) => {
      let before = pageParam;
      for (let round = 1; ; round += 1) {
        const query = { ...filter, limit: AUDIT_PAGE, ...(before === null ? {} : { before: Number(before) }) };
        const page = await take(api.GET("/api/audit", { params: { query }, signal }));
        // What is rare may lie so far back that the server stops looking: it then says where to go on.
        if (page.items.length > 0 || page.next === null || round === AUDIT_ROUNDS) return page;
        before = page.next;
      }
    },
    getNextPageParam: (page) => page.next,
    staleTime: 0,
  });

/** Jobs from the newest on, a page at a time. The stream tells what becomes of them. */
export const jobsQuery = (filter: JobFilter) =>
  infiniteQueryOptions({
    queryKey: [...keys.jobs, filter],
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) => {
      const { project, ...only } = filter;
      const query = { ...only, limit: JOBS_PAGE, ...(project === undefined ? {} : { project_id: project }), ...(pageParam === null ? {} : { cursor: pageParam }) };
      return take(api.GET("/api/jobs", { params: { query }, signal }));
    },
    getNextPageParam: (page) => page.next,
    staleTime: 0,
  });

/** The jobs that run or wait. Each page begins with them, and the stream tells what becomes of them. */
export const liveJobsQuery = queryOptions({
  queryKey: keys.liveJobs,
  queryFn: async (): Promise<LiveJob[]> => {
    const { result, events } = await stream.during(async () => (await take(api.GET("/api/start"))).live_jobs);
    return events.reduce(applyToLiveJobs, result);
  },
  ...LIVE,
});

/** Whether jobs may begin. The stream tells when that changes. */
export const queueQuery = queryOptions({ queryKey: keys.queue, queryFn: () => take(api.GET("/api/queue")), ...LIVE });

/** The last lines of a job's log, read again when the stream tells of the job. */
export const jobLogQuery = (id: string) =>
  queryOptions({
    queryKey: keys.jobLog(id),
    queryFn: async () => (await take(api.GET("/api/jobs/{id}/log", { params: { path: { id } } }))).items,
    staleTime: 0,
  });

/** What could be brought over, and what was last; only an admin is told. */
export const importsQuery = queryOptions({ queryKey: keys.imports, queryFn: () => take(api.GET("/api/imports")), staleTime: 0 });

/** The master key, without the key; only an admin is told. */
export const masterKeyQuery = queryOptions({ queryKey: keys.masterKey, queryFn: () => take(api.GET("/api/keys")), staleTime: 0 });

export function auditFileUrl(filter: AuditFilter): string {
  const query = new URLSearchParams(filter).toString();
  return `/api/audit/export${query === "" ? "" : `?${query}`}`;
}

export function fileUrl(id: string, path: string): string {
  return `/api/projects/${encodeURIComponent(id)}/file?path=${encodeURIComponent(path)}`;
}

