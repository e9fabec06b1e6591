// What components ask of the stream.
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import { keys } from "../api/queries";
import { stream, type Status } from "./hub";

export function useStreamStatus(): Status {
  return useSyncExternalStore(stream.onStatus, stream.status);
}

/** Adds a project's conversation to the stream while the component is shown. */
export function useWatchedProject(projectId: string): void {
  const cache = useQueryClient();
  useEffect(() => {
    const release = stream.watch(projectId);
    return () => {
      release();
      // Nobody keeps it up to date from here on: whoever shows it next reads it again.
      void cache.invalidateQueries({ queryKey: keys.messages(projectId), refetchType: "none" });
    };
  }, [cache, projectId]);
}
