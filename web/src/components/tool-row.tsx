import { ChevronRight, CircleAlert, Check, FilePen, FilePlus, FileSearch, FileText, Globe, ListTodo, LoaderCircle, Search, SquareTerminal, Wrench } from "lucide-react";
import { memo, useState, type ReactNode } from "react";
import type { Tool } from "../api/types";
import { TONE_TEXT, type Tone } from "../ui/badge";
import { cn } from "../ui/cn";
import { CodeBlock } from "./markdown";
import { DiffView } from "./diff-view";
import { counts } from "./line-diff";
import { took } from "./relative-time";
import { viewOf, type Todo } from "./tool-view";

const STATUS: Record<Tool["status"], { word: string; tone: Tone; icon: ReactNode }> = {
  pending: { word: "waiting", tone: "neutral", icon: <LoaderCircle className="animate-spin" aria-hidden /> },
  running: { word: "running", tone: "accent", icon: <LoaderCircle className="animate-spin" aria-hidden /> },
  completed: { word: "done", tone: "neutral", icon: <Check aria-hidden /> },
  error: { word: "failed", tone: "red", icon: <CircleAlert aria-hidden /> },
};

const ICONS: Record<string, ReactNode> = {
  read: <FileText aria-hidden />,
  write: <FilePlus aria-hidden />,
  edit: <FilePen aria-hidden />,
  multiedit: <FilePen aria-hidden />,
  patch: <FilePen aria-hidden />,
  apply_patch: <FilePen aria-hidden />,
  bash: <SquareTerminal aria-hidden />,
  glob: <FileSearch aria-hidden />,
  grep: <Search aria-hidden />,
  list: <FileSearch aria-hidden />,
  webfetch: <Globe aria-hidden />,
  todowrite: <ListTodo aria-hidden />,
};

/** More of an output than this is cut: the page has to stay quick. */
const SHOWN_OUTPUT = 16_000;

/** One tool call: a line that says what it did, and everything about it when it is opened. */
export const ToolRow = memo(function ToolRow({ tool, stopped }: { tool: Tool; stopped: boolean }) {
  const [open, setOpen] = useState(false);
  const view = viewOf(tool);
  const unfinished = tool.status === "running" || tool.status === "pending";
  // A call whose answer was cut off stays "running" in the agent for ever.
  const status = unfinished && stopped ? { word: "interrupted", tone: "amber" as const, icon: <CircleAlert aria-hidden /> } : STATUS[tool.status];
  const change = view.diff ? counts(view.diff) : null;
  return (
    <div className="-my-0.5">
      {view.todos && view.todos.length > 0 ? (
        <Todos todos={view.todos} />
      ) : (
        <button type="button" aria-expanded={open} onClick={() => setOpen(!open)} className="group -mx-1.5 flex h-7 w-[calc(100%+0.75rem)] items-center gap-2 rounded-md px-1.5 text-left text-sm text-muted hover:bg-hover hover:text-text">
          <ChevronRight className={cn("size-3.5 shrink-0 text-faint transition-transform", open && "rotate-90")} aria-hidden />
          <span className="shrink-0 text-faint [&>svg]:size-3.5">{ICONS[tool.name] ?? <Wrench aria-hidden />}</span>
          <span className="shrink-0">{tool.name}</span>
          <span className="min-w-0 truncate font-mono text-xs text-text">{view.subject}</span>
          {change && (change.added > 0 || change.removed > 0) && (
            <span className="shrink-0 font-mono text-xs tabular-nums">
              {change.added > 0 && <span className="text-green">+{change.added}</span>} {change.removed > 0 && <span className="text-red">−{change.removed}</span>}
            </span>
          )}
          <span className={cn("ml-auto flex shrink-0 items-center gap-1 pl-2 text-xs [&>svg]:size-3.5", TONE_TEXT[status.tone])}>
            {tool.status === "completed" ? <Duration tool={tool} /> : status.word}
            {tool.status === "completed" && <span className="sr-only">{status.word}</span>}
            {status.icon}
          </span>
        </button>
      )}
      {open && (
        <div className="stack gap-2 py-1.5 pl-5">
          {view.diff ? <DiffView lines={view.diff} path={view.path ?? ""} /> : view.command ? <CodeBlock code={view.command} language="bash" /> : <Input input={tool.input} />}
          {tool.output && <Output label="Output" text={tool.output} />}
          {tool.error && <Output label="Error" text={tool.error} tone="red" />}
        </div>
      )}
    </div>
  );
});

function Duration({ tool }: { tool: Tool }) {
  if (tool.started_at === null || tool.ended_at === null) return null;
  const ms = Date.parse(tool.ended_at) - Date.parse(tool.started_at);
  return ms < 1000 ? null : <span className="text-faint tabular-nums">{took(ms)}</span>;
}

function Input({ input }: { input: unknown }) {
  if (input === null || input === undefined) return null;
  if (typeof input === "object" && Object.keys(input).length === 0) return null;
  return <CodeBlock code={typeof input === "string" ? input : JSON.stringify(input, null, 2)} language="json" />;
}

function Output({ label, text, tone }: { label: string; text: string; tone?: "red" }) {
  const cut = text.length > SHOWN_OUTPUT;
  return (
    <div className="stack gap-1">
      <p className={cn("text-xs", tone === "red" ? "text-red" : "text-faint")}>{label}</p>
      <pre className="max-h-80 overflow-auto rounded-lg border border-line bg-sunken px-3 py-2 font-mono text-xs leading-5 break-words whitespace-pre-wrap">
        {cut ? `${text.slice(0, SHOWN_OUTPUT)}\n…` : text}
      </pre>
      {cut && <p className="text-xs text-faint">{(text.length - SHOWN_OUTPUT).toLocaleString()} more characters are not shown.</p>}
    </div>
  );
}

const TODO_WORDS: Record<string, string> = { completed: "done", in_progress: "in progress", cancelled: "dropped" };

function Todos({ todos }: { todos: Todo[] }) {
  const done = todos.filter((todo) => todo.status === "completed").length;
  return (
    <div className="my-1 grid gap-1 rounded-lg border border-line bg-sunken px-3 py-2">
      <p className="flex items-center gap-1.5 text-xs text-faint">
        <ListTodo className="size-3.5" aria-hidden /> Plan · {done} of {todos.length} done
      </p>
      <ul className="grid gap-0.5 text-sm">
        {todos.map((todo) => (
          <li key={todo.content} className={cn("flex gap-2", (todo.status === "completed" || todo.status === "cancelled") && "text-faint")}>
            <span aria-hidden className="w-3.5 shrink-0 text-center">
              {todo.status === "completed" ? "✓" : todo.status === "in_progress" ? "▸" : "○"}
            </span>
            <span className={cn("min-w-0", todo.status === "in_progress" && "font-medium", todo.status === "cancelled" && "line-through")}>{todo.content}</span>
            <span className="sr-only">{TODO_WORDS[todo.status] ?? "to do"}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
