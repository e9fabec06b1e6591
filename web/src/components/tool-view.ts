// What a tool call is about, read out of its input. The agent's input is untrusted: every field may be missing or of another kind.
import type { Tool } from "../api/types";
import { diffLines, type DiffLine } from "./line-diff";

export type Todo = { content: string; status: string };

export type ToolView = {
  /** The path, command or question: what a person recognises the call by. */
  subject: string | null;
  /** The path of the file it is about, beneath the workspace. */
  path: string | null;
  diff: DiffLine[] | null;
  command: string | null;
  todos: Todo[] | null;
};

type Input = Record<string, unknown>;

function text(input: Input, ...names: string[]): string | null {
  for (const name of names) {
    const value = input[name];
    if (typeof value === "string" && value !== "") return value;
  }
  return null;
}

/** A path as it is seen from the workspace, whatever the agent's sandbox calls its root. */
export function shortPath(path: string): string {
  return path.replace(/^\/(?:workspace|work|home\/[^/]+\/workspace)\//, "").replace(/^\.\//, "");
}

function todosOf(value: unknown): Todo[] | null {
  if (!Array.isArray(value)) return null;
  return value.flatMap((item: unknown) => {
    if (typeof item !== "object" || item === null) return [];
    const { content, status } = item as Input;
    return typeof content === "string" ? [{ content, status: typeof status === "string" ? status : "pending" }] : [];
  });
}

function diffOf(name: string, input: Input): DiffLine[] | null {
  if (name === "write") {
    const content = text(input, "content");
    return content === null ? null : diffLines("", content);
  }
  const edits: unknown[] = Array.isArray(input.edits) ? input.edits : [input];
  const lines = edits.flatMap((edit) => {
    if (typeof edit !== "object" || edit === null) return [];
    const { oldString, newString } = edit as Input;
    return typeof oldString === "string" && typeof newString === "string" ? diffLines(oldString, newString) : [];
  });
  if (lines.length > 0) return lines;
  const patch = text(input, "patchText", "patch", "diff");
  return patch === null ? null : patch.split("\n").map(patchLine);
}

function patchLine(line: string): DiffLine {
  if (line.startsWith("+") && !line.startsWith("+++")) return { kind: "added", text: line.slice(1) };
  if (line.startsWith("-") && !line.startsWith("---")) return { kind: "removed", text: line.slice(1) };
  return { kind: "same", text: line };
}

const CHANGES_FILES = new Set(["write", "edit", "multiedit", "patch", "apply_patch"]);

export function viewOf(tool: Tool): ToolView {
  const input: Input = typeof tool.input === "object" && tool.input !== null && !Array.isArray(tool.input) ? (tool.input as Input) : {};
  const path = text(input, "filePath", "file_path", "path");
  const command = text(input, "command");
  return {
    subject: (path === null ? null : shortPath(path)) ?? command ?? text(input, "pattern", "query", "url", "description", "name") ?? tool.title,
    path: path === null ? null : shortPath(path),
    diff: CHANGES_FILES.has(tool.name) ? diffOf(tool.name, input) : null,
    command,
    todos: tool.name === "todowrite" ? todosOf(input.todos) : null,
  };
}
