import { useQuery } from "@tanstack/react-query";
import { ArrowLeft, ChevronRight, Download, File, Folder, FolderOpen, Link2 } from "lucide-react";
import { useState } from "react";
import { asApiError } from "../api/client";
import { fileQuery, filesQuery, fileUrl } from "../api/queries";
import type { FileEntry } from "../api/types";
import { buttonClass } from "../ui/button";
import { cn } from "../ui/cn";
import { Skeleton } from "../ui/skeleton";
import { CopyButton } from "./copy-button";
import { highlight, languageOf } from "./highlight";

type Props = { projectId: string; file: string | undefined; onFile: (path: string | undefined) => void };

/** The workspace as a tree, and the file that was picked. */
export function FilesPane({ projectId, file, onFile }: Props) {
  return (
    <div className="flex min-h-0 flex-1">
      <nav aria-label="Files" className={cn("w-full shrink-0 overflow-y-auto border-line p-1.5 md:w-56 md:border-r", file !== undefined && "hidden md:block")}>
        <Directory projectId={projectId} path="" depth={0} file={file} onFile={onFile} />
      </nav>
      <div className={cn("min-w-0 flex-1 flex-col", file === undefined ? "hidden md:flex" : "flex")}>
        {file === undefined ? <p className="grid flex-1 place-content-center text-sm text-faint">Pick a file to read it.</p> : <FileView projectId={projectId} path={file} onBack={() => onFile(undefined)} />}
      </div>
    </div>
  );
}

/** Indents by depth with whole classes: the stylesheet is made from the words in the source. */
const INDENT = ["pl-1.5", "pl-5", "pl-8.5", "pl-12", "pl-15.5", "pl-19", "pl-22.5", "pl-26"];

function indent(depth: number): string {
  return INDENT[Math.min(depth, INDENT.length - 1)] ?? "pl-1.5";
}

/** Entries that the server lists of one directory, the first by name. */
const LISTED_MOST = 5000;

/** Directories that are there, and that nobody reads by hand. */
const QUIET = new Set(["node_modules", ".git", "dist"]);

function Directory({ projectId, path, depth, file, onFile }: Props & { path: string; depth: number }) {
  const { data, error, isPending } = useQuery(filesQuery(projectId, path));
  if (isPending) return depth === 0 ? <TreeLoading /> : <p className={cn("py-1 text-xs text-faint", indent(depth))}>Reading…</p>;
  if (data === undefined) return <p className={cn("py-1 text-xs text-red", indent(depth))}>{asApiError(error).message}</p>;
  if (data.length === 0) return <p className={cn("py-1 text-xs text-faint", indent(depth))}>Nothing here{depth === 0 ? " yet" : ""}.</p>;
  const sorted = [...data].sort((a, b) => Number(QUIET.has(a.name)) - Number(QUIET.has(b.name)) || Number(b.kind === "directory") - Number(a.kind === "directory") || a.name.localeCompare(b.name));
  return (
    <ul>
      {sorted.map((entry) => (
        <Entry key={entry.path} entry={entry} projectId={projectId} depth={depth} file={file} onFile={onFile} />
      ))}
      {data.length >= LISTED_MOST && <li className={cn("py-1 text-xs text-faint", indent(depth))}>Only the first {LISTED_MOST} are shown.</li>}
    </ul>
  );
}

const ROW = "flex h-8 w-full items-center gap-1.5 rounded-md pr-2 text-left text-sm hover:bg-hover md:h-7 [&>svg]:size-4 [&>svg]:shrink-0 [&>svg]:text-faint";

function Entry({ entry, projectId, depth, file, onFile }: Props & { entry: FileEntry; depth: number }) {
  const [toggled, setToggled] = useState<boolean | null>(null);
  const open = toggled ?? (file?.startsWith(`${entry.path}/`) ?? false);
  if (entry.kind === "directory") {
    return (
      <li>
        <button type="button" aria-expanded={open} onClick={() => setToggled(!open)} className={cn(ROW, indent(depth), QUIET.has(entry.name) && "text-faint")}>
          <ChevronRight className={cn("!size-3 transition-transform", open && "rotate-90")} aria-hidden />
          {open ? <FolderOpen aria-hidden /> : <Folder aria-hidden />}
          <span className="truncate">{entry.name}</span>
        </button>
        {open && <Directory projectId={projectId} path={entry.path} depth={depth + 1} file={file} onFile={onFile} />}
      </li>
    );
  }
  const readable = entry.kind === "file";
  return (
    <li>
      <button
        type="button"
        disabled={!readable}
        aria-current={file === entry.path ? "true" : undefined}
        title={readable ? undefined : "Links and devices are not followed."}
        onClick={() => onFile(entry.path)}
        className={cn(ROW, indent(depth), "disabled:cursor-default disabled:text-faint aria-[current]:bg-hover aria-[current]:font-medium")}
      >
        <span className="w-3 shrink-0" aria-hidden />
        {entry.kind === "link" ? <Link2 aria-hidden /> : <File aria-hidden />}
        <span className="truncate">{entry.name}</span>
      </button>
    </li>
  );
}

export function sizeOf(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(1)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

function FileView({ projectId, path, onBack }: { projectId: string; path: string; onBack: () => void }) {
  const { data, error, isPending } = useQuery(fileQuery(projectId, path));
  return (
    <>
      <header className="flex h-9 shrink-0 items-center gap-2 border-b border-line px-3 text-xs">
        <button type="button" aria-label="Back to the files" onClick={onBack} className="-ml-1.5 rounded-md p-1.5 text-faint hover:bg-hover md:hidden">
          <ArrowLeft className="size-4" aria-hidden />
        </button>
        <span className="min-w-0 flex-1 truncate font-mono" title={path}>
          {path}
        </span>
        {data && <span className="shrink-0 text-faint tabular-nums">{sizeOf(data.size)}</span>}
        {data?.text && <CopyButton text={data.text} label="Copy the file" />}
      </header>
      {isPending && (
        <div className="grid gap-2 p-4" aria-busy aria-label="Reading the file">
          <Skeleton className="h-3.5 w-2/3" />
          <Skeleton className="h-3.5 w-1/2" />
          <Skeleton className="h-3.5 w-3/5" />
        </div>
      )}
      {!isPending && data === undefined && <p className="p-4 text-sm text-red">{asApiError(error).message}</p>}
      {data && data.text === null && (
        <div className="grid flex-1 place-content-center justify-items-center gap-3 text-center text-sm text-muted">
          <p>{data.binary ? "This file isn’t text." : "This file is too long to show."}</p>
          <a className={buttonClass("secondary", "sm")} href={fileUrl(projectId, path)} download={path.slice(path.lastIndexOf("/") + 1)}>
            <Download className="size-3.5" aria-hidden />
            Download
          </a>
        </div>
      )}
      {data && data.text !== null && <Source text={data.text} path={path} />}
    </>
  );
}

function Source({ text, path }: { text: string; path: string }) {
  const lines = text.replace(/\n$/, "").split("\n").length;
  if (text === "") return <p className="p-4 text-sm text-faint">The file is empty.</p>;
  return (
    <div className="min-h-0 flex-1 overflow-auto font-mono text-xs leading-5" tabIndex={0} role="region" aria-label={path}>
      <div className="flex w-max min-w-full">
        <pre aria-hidden className="sticky left-0 bg-bg py-3 pr-3 pl-4 text-right text-faint select-none">
          {Array.from({ length: lines }, (_, index) => index + 1).join("\n")}
        </pre>
        <pre className="py-3 pr-6">
          <code>{highlight(text, languageOf(path))}</code>
        </pre>
      </div>
    </div>
  );
}

function TreeLoading() {
  return (
    <div className="grid gap-1.5 p-1.5" aria-busy aria-label="Reading the files">
      {[0, 1, 2, 3, 4].map((key) => (
        <Skeleton key={key} className="h-5" />
      ))}
    </div>
  );
}
