import { useQuery } from "@tanstack/react-query";
import { RotateCw } from "lucide-react";
import { useEffect, useRef } from "react";
import { asApiError } from "../api/client";
import { logsQuery, type LogSource } from "../api/queries";
import type { Project } from "../api/types";
import { Button } from "../ui/button";
import { Segmented } from "../ui/segmented";
import { Skeleton } from "../ui/skeleton";

export function LogsPane({ project, source, onSource }: { project: Project; source: LogSource; onSource: (source: LogSource) => void }) {
  const { data, error, isPending, isFetching, refetch } = useQuery(logsQuery(project.id, source));
  const box = useRef<HTMLPreElement>(null);
  // A log is read again when what it is about changes, not on a timer.
  const about = `${project.state} ${project.preview.state} ${project.session.kind} ${project.instance?.observed ?? ""}`;
  const seen = useRef(about);
  useEffect(() => {
    if (seen.current === about) return;
    seen.current = about;
    void refetch();
  }, [about, refetch]);
  useEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [data]);
  return (
    <div className="flex min-h-0 flex-1 flex-col">
      <div className="flex shrink-0 items-center gap-2 border-b border-line px-3 py-1.5">
        <Segmented<LogSource>
          label="Log of"
          value={source}
          onChange={onSource}
          options={[
            { value: "agent", label: "Agent" },
            { value: "preview", label: "App" },
            { value: "install", label: "Packages" },
          ]}
        />
        <span className="flex-1" />
        <Button size="sm" variant="ghost" busy={isFetching} icon={<RotateCw className="size-3.5" aria-hidden />} onClick={() => void refetch()}>
          Read again
        </Button>
      </div>
      {isPending && (
        <div className="grid gap-2 p-4" aria-busy aria-label="Reading the log">
          <Skeleton className="h-3.5 w-2/3" />
          <Skeleton className="h-3.5 w-1/2" />
        </div>
      )}
      {!isPending && data === undefined && <p className="p-4 text-sm text-red">{asApiError(error).message}</p>}
      {data === "" && <p className="grid flex-1 place-content-center text-sm text-faint">Nothing was written yet.</p>}
      {data && (
        <pre ref={box} tabIndex={0} role="region" aria-label={`Log of the ${source}`} className="min-h-0 flex-1 overflow-auto px-4 py-3 font-mono text-xs leading-5 break-words whitespace-pre-wrap">
          {withoutColours(data)}
        </pre>
      )}
    </div>
  );
}

/** Takes out what a terminal would read as colours and moves. */
export function withoutColours(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/\u001B(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007]*(?:\u0007|\u001B\\)|[@-Z\\-_])/g, "").replaceAll("\r\n", "\n");
}
