import { Brain, ChevronRight, Info, RotateCw } from "lucide-react";
import { memo, useState } from "react";
import type { Failure, Message, Part, Project } from "../api/types";
import { Button } from "../ui/button";
import { cn } from "../ui/cn";
import { Notice } from "../ui/notice";
import { PICK, useFailureButton, type WorkspaceControls } from "./failure-actions";
import { Prose } from "./markdown";
import { clock, RelativeTime, useNow } from "./relative-time";
import { ToolRow } from "./tool-row";

/** What the person said, as they said it. */
export const UserMessage = memo(function UserMessage({ message, waitingFor }: { message: Message; waitingFor: string | null }) {
  const text = message.parts
    .filter((part) => part.kind === "text")
    .map((part) => part.text ?? "")
    .join("\n\n");
  return (
    <article aria-label="Your prompt" className="stack gap-1">
      <div className="rounded-xl border border-line bg-sunken px-3.5 py-2.5 text-md break-words whitespace-pre-wrap dark:bg-surface">{text}</div>
      <p className="flex items-center gap-1.5 px-1 text-xs text-faint">
        <RelativeTime at={message.created_at} className="shrink-0" />
        {waitingFor && message.state === "waiting" && (
          <>
            <span aria-hidden>·</span>
            <span className="text-muted" role="status">
              {waitingFor}
            </span>
          </>
        )}
      </p>
    </article>
  );
});

/** What the agent said and did in one message. */
export const AgentMessage = memo(function AgentMessage({ message }: { message: Message }) {
  const streaming = message.state === "streaming";
  const stopped = message.state === "interrupted" || message.state === "aborted" || message.state === "failed";
  const last = message.parts.length - 1;
  return (
    <article aria-label="The agent’s answer" className="stack gap-1.5">
      {message.parts.map((part, index) => (
        <PartView key={part.id} part={part} open={streaming && index === last} stopped={stopped} />
      ))}
    </article>
  );
});

const PartView = memo(function PartView({ part, open, stopped }: { part: Part; open: boolean; stopped: boolean }) {
  switch (part.kind) {
    case "text":
      return part.text ? <Prose text={part.text} open={open} /> : null;
    case "reasoning":
      return part.text ? <Reasoning text={part.text} open={open} /> : null;
    case "tool":
      return part.tool ? <ToolRow tool={part.tool} stopped={stopped} /> : null;
    case "notice":
      return (
        <p className="flex gap-2 text-sm text-muted">
          <Info className="mt-0.5 size-3.5 shrink-0" aria-hidden />
          <span className="min-w-0 break-words">{part.text}</span>
        </p>
      );
  }
});

function Reasoning({ text, open: thinking }: { text: string; open: boolean }) {
  const [open, setOpen] = useState(false);
  return (
    <div>
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)} className="-mx-1.5 flex h-7 w-[calc(100%+0.75rem)] items-center gap-2 rounded-md px-1.5 text-left text-sm text-muted hover:bg-hover hover:text-text">
        <ChevronRight className={cn("size-3.5 shrink-0 text-faint transition-transform", open && "rotate-90")} aria-hidden />
        <Brain className={cn("size-3.5 shrink-0 text-faint", thinking && "animate-breathe")} aria-hidden />
        <span className="shrink-0">{thinking ? "Thinking" : "Thought"}</span>
        {!open && <span className="min-w-0 truncate text-xs text-faint">{firstLine(text)}</span>}
      </button>
      {open && <p className="border-l border-line py-1 pl-4 text-sm break-words whitespace-pre-wrap text-muted">{text}</p>}
    </div>
  );
}

function firstLine(text: string): string {
  return (text.trimStart().split("\n", 1)[0] ?? "").replaceAll(/[*_`#]/g, "");
}

/** How an answer ended when it didn't end well, with the one thing to do about it. */
export function AnswerEnd({ message, project, controls, newest }: { message: Message; project: Project; controls: WorkspaceControls; newest: boolean }) {
  const failure = message.error;
  const button = useFailureButton(project, failure, controls, null);
  const resume = useFailureButton(project, RESUME, controls, null);
  const now = useNow();
  if (message.state === "failed") {
    return (
      <Notice
        tone="red"
        role={newest ? "alert" : undefined}
        title={failure?.message ?? "The answer failed"}
        actions={
          newest &&
          button && (
            <>
              <Button size="sm" busy={button.busy} onClick={button.run}>
                {button.label}
              </Button>
              {failure?.action.kind === "top_up" && button.label !== PICK && (
                <Button size="sm" variant="ghost" onClick={controls.pickModel}>
                  {PICK}
                </Button>
              )}
              {failure && REPAIRS.has(failure.action.kind) && resume && (
                <Button size="sm" variant="ghost" busy={resume.busy} icon={<RotateCw className="size-3.5" aria-hidden />} onClick={resume.run}>
                  {resume.label}
                </Button>
              )}
            </>
          )
        }
      >
        {failure?.until && Date.parse(failure.until) > now && `It takes requests again from ${clock(failure.until)}.`}
      </Notice>
    );
  }
  if (message.state === "interrupted") {
    const next = button ?? resume;
    return (
      <Notice
        tone="amber"
        title={failure?.message ?? "This answer was interrupted"}
        actions={
          newest &&
          next && (
            <Button size="sm" busy={next.busy} icon={<RotateCw className="size-3.5" aria-hidden />} onClick={next.run}>
              {next.label}
            </Button>
          )
        }
      />
    );
  }
  if (message.state === "aborted") return <p className="text-xs text-faint">Stopped by you.</p>;
  return null;
}

/** What is repaired somewhere else: after that the turn is taken up again here. */
const REPAIRS = new Set<Failure["action"]["kind"]>(["connect_provider", "replace_key", "switch_model", "top_up"]);

const RESUME = { code: "interrupted", message: "", until: null, action: { kind: "continue" as const, label: "Continue", connection_id: null } };
