import { useQuery, useQueryClient } from "@tanstack/react-query";
import { ArrowDown } from "lucide-react";
import { useMemo, useState } from "react";
import { api, take } from "../api/client";
import { keys, MESSAGES_PAGE, messagesQuery } from "../api/queries";
import type { Message, Project } from "../api/types";
import { withEarlier, type Conversation as State } from "../stream/reducer";
import { useWatchedProject } from "../stream/use-stream";
import { Button } from "../ui/button";
import { Skeleton } from "../ui/skeleton";
import { Notice } from "../ui/notice";
import { useFailureButton, type WorkspaceControls } from "./failure-actions";
import { AgentMessage, AnswerEnd, UserMessage } from "./message-view";
import { PageError } from "./page-error";
import { tell, useProjectActions } from "./project-actions";
import { QueuePaused } from "./queue-pause";
import { clock, RelativeTime } from "./relative-time";
import { jobProgress, waitsForRoom } from "./states";
import { useStickToBottom } from "./use-stick-to-bottom";

type Turn = { prompt: Message | null; answers: Message[] };

/** A prompt and everything the agent said to it. */
export function turnsOf(messages: Message[]): Turn[] {
  const turns: Turn[] = [];
  for (const message of messages) {
    const last = turns.at(-1);
    if (message.role === "user" || last === undefined) turns.push(message.role === "user" ? { prompt: message, answers: [] } : { prompt: null, answers: [message] });
    else last.answers.push(message);
  }
  return turns;
}

/** What a prompt that wasn't sent yet waits for. */
function waitingFor(project: Project): string {
  if (waitsForRoom(project)) return "Waiting in the queue";
  if (project.job?.waits_for) return "Waiting for a key";
  const progress = jobProgress(project.job);
  if (project.state === "failed") return "Not sent: the project failed";
  if (progress && project.job?.state !== "succeeded") return `Waiting for the agent (${progress.at} of ${progress.of}: ${progress.label})`;
  return "Waiting for the agent";
}

export function Conversation({ project, controls }: { project: Project; controls: WorkspaceControls }) {
  useWatchedProject(project.id);
  const { data, error, refetch, isPending } = useQuery(messagesQuery(project.id));
  const { scroller, content, onScroll, atBottom, missed, toBottom, keepPlace } = useStickToBottom(data?.messages);
  const turns = useMemo(() => turnsOf(data?.messages ?? []), [data?.messages]);
  const wait = waitingFor(project);

  return (
    <div className="relative min-h-0 flex-1">
      <div ref={scroller} onScroll={onScroll} tabIndex={-1} className="h-full overflow-y-auto overscroll-contain outline-none [overflow-anchor:none]">
        <div ref={content} className="stack mx-auto max-w-[46rem] gap-6 px-4 py-5" role="log" aria-label="Conversation" aria-live="off">
          {data?.earlier && <Earlier projectId={project.id} before={data.earlier} keepPlace={keepPlace} />}
          {isPending && <Loading />}
          {!isPending && data === undefined && <PageError error={error} onRetry={() => void refetch()} />}
          {turns.map((turn, index) => (
            <TurnView key={turn.prompt?.id ?? turn.answers[0]?.id} turn={turn} project={project} controls={controls} newest={index === turns.length - 1} wait={wait} />
          ))}
          <Working project={project} turn={turns.at(-1)} />
          {project.job?.state === "queued" && project.job.started_at === null && <QueuePaused className={project.state === "running" ? undefined : "md:hidden"} />}
          {(project.state === "failed" || project.job?.waits_for) && <LaunchFailure project={project} controls={controls} />}
        </div>
      </div>
      <div className="pointer-events-none absolute inset-x-0 bottom-2 flex justify-center" aria-live="polite">
        {!atBottom && (
          <button
            type="button"
            onClick={() => toBottom(true)}
            className="pointer-events-auto inline-flex h-7 items-center gap-1.5 rounded-full border border-line-strong bg-surface px-3 text-xs text-muted hover:text-text animate-fade"
          >
            <ArrowDown className="size-3.5" aria-hidden />
            {missed ? "New messages" : "To the end"}
          </button>
        )}
      </div>
    </div>
  );
}

function TurnView({ turn, project, controls, newest, wait }: { turn: Turn; project: Project; controls: WorkspaceControls; newest: boolean; wait: string }) {
  const last = turn.answers.at(-1);
  return (
    <section className="stack gap-3">
      {turn.prompt && <UserMessage message={turn.prompt} waitingFor={wait} />}
      {turn.prompt && <AnswerEnd message={turn.prompt} project={project} controls={controls} newest={newest && turn.answers.length === 0} />}
      {turn.answers.length > 0 && (
        <div className="stack gap-1.5">
          {turn.answers.map((answer) => (
            <AgentMessage key={answer.id} message={answer} />
          ))}
        </div>
      )}
      {last && <AnswerEnd message={last} project={project} controls={controls} newest={newest} />}
      {last?.completed_at && last.state === "complete" && (
        <p className="text-xs text-faint">
          {last.model?.model_id} · <RelativeTime at={last.completed_at} />
        </p>
      )}
    </section>
  );
}

/** Why the project failed, or what it waits for, on a phone: where there is room, it stands beside the conversation. */
function LaunchFailure({ project, controls }: { project: Project; controls: WorkspaceControls }) {
  const waitsFor = project.job?.waits_for ?? null;
  const failure = waitsFor ?? project.job?.error ?? null;
  const button = useFailureButton(project, failure, controls, project.job?.id ?? null);
  if (failure === null) return null;
  return (
    <Notice
      tone={waitsFor ? "amber" : "red"}
      className="md:hidden"
      title={failure.message}
      actions={
        button && (
          <Button size="sm" variant="primary" busy={button.busy} onClick={button.run}>
            {button.label}
          </Button>
        )
      }
    />
  );
}

/** One line at the end that says what the agent is doing while there is nothing to read yet. */
function Working({ project, turn }: { project: Project; turn: Turn | undefined }) {
  const { session } = project;
  const { abort } = useProjectActions(project.id);
  if (project.state !== "running") return null;
  if (session.kind === "retry") {
    return (
      <Notice
        tone="amber"
        role="status"
        title={`Waiting for the provider. Retrying${session.next_at ? ` at ${clock(session.next_at)}` : ""}${session.attempt === null ? "" : ` (attempt ${session.attempt})`}`}
        actions={
          <Button size="sm" busy={abort.isPending} onClick={() => abort.mutate()}>
            Stop
          </Button>
        }
      >
        {session.message}
      </Notice>
    );
  }
  if (session.kind !== "busy") return null;
  const last = turn?.answers.at(-1);
  const writing = last?.state === "streaming" && last.parts.at(-1)?.kind === "text";
  const word = last === undefined ? "Waiting for the first words" : writing ? "Writing" : "Working";
  return (
    <p className="flex items-center gap-2 text-sm text-muted" role="status">
      <span aria-hidden className="size-1.5 rounded-full bg-accent animate-breathe" />
      {word}…
    </p>
  );
}

function Earlier({ projectId, before, keepPlace }: { projectId: string; before: string; keepPlace: (change: () => Promise<void>) => Promise<void> }) {
  const cache = useQueryClient();
  const [busy, setBusy] = useState(false);
  const load = async () => {
    setBusy(true);
    try {
      const page = await take(api.GET("/api/projects/{id}/messages", { params: { path: { id: projectId }, query: { before, limit: MESSAGES_PAGE } } }));
      await keepPlace(async () => {
        cache.setQueryData(keys.messages(projectId), (known: State | undefined) => known && withEarlier(known, page));
      });
    } catch (error) {
      tell(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="flex justify-center">
      <Button size="sm" variant="ghost" busy={busy} onClick={() => void load()}>
        Show earlier messages
      </Button>
    </div>
  );
}

function Loading() {
  return (
    <div className="grid gap-4" aria-busy aria-label="Reading the conversation">
      <Skeleton className="h-16" />
      <Skeleton className="h-4 w-3/4" />
      <Skeleton className="h-4 w-1/2" />
    </div>
  );
}
