import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Pause, Play } from "lucide-react";
import { useState } from "react";
import { api, take } from "../api/client";
import { keys, queueQuery } from "../api/queries";
import { meQuery } from "../api/session";
import { Button } from "../ui/button";
import { Notice } from "../ui/notice";
import { tell } from "./project-actions";
import { RelativeTime } from "./relative-time";

function useQueueChange(onSettled?: () => void) {
  const cache = useQueryClient();
  return useMutation({
    mutationFn: (paused: boolean) => take(api.PUT("/api/queue", { body: { paused } })),
    onSuccess: (queue) => cache.setQueryData(keys.queue, queue),
    onError: tell,
    onSettled,
  });
}

/** Says that no job begins, while that is so; an admin can end it. */
export function QueuePaused({ className }: { className?: string }) {
  const { data: me } = useQuery(meQuery);
  const { data: queue } = useQuery(queueQuery);
  const change = useQueueChange();
  if (!queue?.paused_at) return null;
  return (
    <Notice
      tone="amber"
      role="status"
      className={className}
      title="The queue is paused"
      actions={
        me?.role === "admin" && (
          <Button size="sm" variant="primary" icon={<Play className="size-3.5" aria-hidden />} busy={change.isPending} onClick={() => change.mutate(false)}>
            Resume
          </Button>
        )
      }
    >
      No job begins since <RelativeTime at={queue.paused_at} />; those that had begun go on.{me?.role !== "admin" && " An admin of this server can end that."}
    </Notice>
  );
}

/** Lets an admin pause a queue that isn’t, after saying what that means. */
export function PauseQueue() {
  const { data: me } = useQuery(meQuery);
  const { data: queue } = useQuery(queueQuery);
  const [asks, setAsks] = useState(false);
  const change = useQueueChange(() => setAsks(false));
  if (me?.role !== "admin" || queue === undefined || queue.paused_at !== null) return null;
  if (!asks) {
    return (
      <Button className="justify-self-start" icon={<Pause className="size-4" aria-hidden />} onClick={() => setAsks(true)}>
        Pause
      </Button>
    );
  }
  return (
    <div role="group" aria-label="Pause the queue" className="grid gap-2 rounded-lg border border-line bg-sunken px-3 py-2.5">
      <p className="max-w-prose">Jobs that have begun go on to their end, and no other begins, for anybody: projects neither start nor stop, prompts are not sent, keys are neither handed over nor taken back. It lasts until somebody resumes, over restarts too.</p>
      <div className="flex flex-wrap gap-2">
        <Button size="sm" variant="primary" autoFocus busy={change.isPending} onClick={() => change.mutate(true)}>
          Pause the queue
        </Button>
        <Button size="sm" variant="ghost" onClick={() => setAsks(false)}>
          Let it go on
        </Button>
      </div>
    </div>
  );
}
