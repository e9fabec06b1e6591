// What can be asked of a project with one press. Each answer goes into the cache; the stream brings the rest.
import { useMutation, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { createElement } from "react";
import { api, asApiError, take } from "../api/client";
import { keys } from "../api/queries";
import type { Job, Message, Project } from "../api/types";
import { applyEvents } from "../stream/cache";
import { upsertMessage, type Conversation } from "../stream/reducer";
import { toast } from "../ui/toast";
import { Reference } from "./reference";

export function tell(error: unknown): void {
  const { detail, requestId } = asApiError(error);
  toast(detail, "bad", requestId === null ? null : createElement(Reference, { id: requestId }));
}

export function putProject(cache: QueryClient, project: Project): void {
  applyEvents(cache, [{ id: "", type: "project", project }]);
}

export function putJob(cache: QueryClient, job: Job): void {
  applyEvents(cache, [{ id: "", type: "job", job }]);
}

export function putMessage(cache: QueryClient, projectId: string, message: Message): void {
  cache.setQueryData(keys.messages(projectId), (known: Conversation | undefined) => known && upsertMessage(known, message));
}

export function useProjectActions(id: string) {
  const cache = useQueryClient();
  const params = { path: { id } };
  const onError = tell;
  return {
    start: useMutation({ mutationFn: () => take(api.POST("/api/projects/{id}/start", { params })), onSuccess: (job) => putJob(cache, job), onError }),
    stop: useMutation({ mutationFn: () => take(api.POST("/api/projects/{id}/stop", { params })), onSuccess: (job) => putJob(cache, job), onError }),
    abort: useMutation({ mutationFn: () => take(api.POST("/api/projects/{id}/abort", { params })), onSuccess: (project) => putProject(cache, project), onError }),
    resume: useMutation({
      mutationFn: () => take(api.POST("/api/projects/{id}/continue", { params })),
      onSuccess: ({ message, job }) => {
        if (message !== null) putMessage(cache, id, message);
        putJob(cache, job);
      },
      onError,
    }),
    retry: useMutation({
      mutationFn: (jobId: string) => take(api.POST("/api/jobs/{id}/retry", { params: { path: { id: jobId } } })),
      onSuccess: (job) => putJob(cache, job),
      onError,
    }),
    changeModel: useMutation({
      mutationFn: (model: Project["model"]) => take(api.PATCH("/api/projects/{id}", { params, body: { model } })),
      onSuccess: (project) => putProject(cache, project),
      onError,
    }),
    switchConnection: useMutation({
      mutationFn: (connections: Record<string, string | null>) => take(api.PATCH("/api/projects/{id}", { params, body: { connections } })),
      onSuccess: (project) => {
        putProject(cache, project);
        return cache.invalidateQueries({ queryKey: keys.projectConnections });
      },
      onError,
    }),
  };
}
