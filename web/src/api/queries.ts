// What the pages read, each under one key. The stream patches what is here, so nothing is read again on a timer.
import { queryOptions } from "@tanstack/react-query";
import { api, take, takeBytes } from "./client";
import type { Connection, Project } from "./types";
import { applyToConnections, applyToProject, applyToProjects } from "../stream/patch";
import { stream } from "../stream/hub";
import { conversationFrom, reduce } from "../stream/reducer";

const LIVE = { staleTime: Infinity, gcTime: 30 * 60_000 } as const;
const PROJECTS_PAGE = 200;
export const MESSAGES_PAGE = 100;
/** A file larger than this is offered as a download instead of being shown. */
export const SHOWN_FILE_BYTES = 400_000;

export const keys = {
  system: ["system"] as const,
  signIns: ["sign-ins"] as const,
  providers: ["providers"] as const,
  models: (providerId: string) => ["models", providerId] as const,
  connections: ["connections"] as const,
  attempt: (id: string) => ["attempt", id] as const,
  projects: ["projects"] as const,
  project: (id: string) => ["project", id] as const,
  messages: (id: string) => ["messages", id] as const,
  files: (id: string) => ["files", id] as const,
  logs: (id: string) => ["logs", id] as const,
};

export const systemQuery = queryOptions({ queryKey: keys.system, queryFn: () => take(api.GET("/api/system")), staleTime: 60_000 });

export const signInsQuery = queryOptions({
  queryKey: keys.signIns,
  queryFn: async () => (await take(api.GET("/api/sign-ins"))).items,
  staleTime: 0,
});

export const providersQuery = queryOptions({
  queryKey: keys.providers,
  queryFn: async () => (await take(api.GET("/api/providers"))).items,
  staleTime: 10 * 60_000,
});

export const modelsQuery = (providerId: string) =>
  queryOptions({
    queryKey: keys.models(providerId),
    queryFn: async () => (await take(api.GET("/api/providers/{id}/models", { params: { path: { id: providerId } } }))).items,
    staleTime: 10 * 60_000,
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

export function fileUrl(id: string, path: string): string {
  return `/api/projects/${encodeURIComponent(id)}/file?path=${encodeURIComponent(path)}`;
}

