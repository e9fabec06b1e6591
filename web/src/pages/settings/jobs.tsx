import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { ChevronRight, CircleAlert, CircleCheck, CircleDashed, CircleSlash, ListChecks, LoaderCircle } from "lucide-react";
import { useId, useState, type KeyboardEvent, type ReactNode } from "react";
import { api, take } from "../../api/client";
import { jobLogQuery, jobsQuery, projectsQuery } from "../../api/queries";
import type { Job, Project } from "../../api/types";
import { isLive, jobFilter, JOB_KINDS, JOB_STATES, kindWords, type JobFilter } from "../../components/job-filter";
import { Elapsed, JobSteps } from "../../components/job-steps";
import { PageError } from "../../components/page-error";
import { putJob, tell } from "../../components/project-actions";
import { PauseQueue, QueuePaused } from "../../components/queue-pause";
import { clock, exact, RelativeTime, took } from "../../components/relative-time";
import { jobProgress } from "../../components/states";
import { Word } from "../../components/state-word";
import { Button } from "../../ui/button";
import { cn } from "../../ui/cn";
import { NativeSelect } from "../../ui/input";
import { Skeleton } from "../../ui/skeleton";

const route = getRouteApi("/signed-in/settings/jobs");

export default function Jobs() {
  const filter = route.useSearch();
  const navigate = route.useNavigate();
  return <JobList filter={filter} onFilter={(next) => void navigate({ search: next })} />;
}

export function JobList({ filter, onFilter }: { filter: JobFilter; onFilter: (filter: JobFilter) => void }) {
  const list = useInfiniteQuery(jobsQuery(filter));
  const { data: projects } = useQuery(projectsQuery);
  const jobs = list.data?.pages.flatMap((page) => page.items);
  const filtered = Object.keys(filter).length > 0;
  return (
    <section className="grid grid-cols-[minmax(0,1fr)] gap-4">
      <title>Jobs · doce</title>
      <header>
        <h1 className="text-xl font-semibold tracking-tight">Jobs</h1>
        <p className="text-muted">What doce does for you, step by step. A job that ended is kept for 30 days.</p>
      </header>
      <QueuePaused />
      <PauseQueue />
      <Filters filter={filter} projects={projects ?? []} onFilter={onFilter} />
      {list.isPending && <Loading />}
      {!list.isPending && jobs === undefined && <PageError error={list.error} onRetry={() => void list.refetch()} />}
      {jobs?.length === 0 && (
        <div className="grid justify-items-center gap-4 rounded-lg border border-dashed border-line-strong px-6 py-12 text-center">
          <ListChecks className="size-6 text-faint" aria-hidden />
          <p className="text-muted">{filtered ? "No job is like this." : "There was nothing to do yet."}</p>
          {filtered && <Button onClick={() => onFilter({})}>Show all jobs</Button>}
        </div>
      )}
      {jobs !== undefined && jobs.length > 0 && (
        <>
          <div className="overflow-hidden rounded-lg border border-line bg-surface">
            <div aria-hidden className="hidden border-b border-line px-3 py-1.5 text-xs text-faint sm:flex">
              <span className="flex-1 pl-7">What</span>
              <span className={COLUMNS}>
                <span>State</span>
                <span>Started</span>
                <span>Took</span>
              </span>
            </div>
            <ul aria-label="Jobs, newest first" className="divide-y divide-line">
              {jobs.map((job) => (
                <JobRow key={job.id} job={job} project={projects?.find((project) => project.id === job.project_id)} onFilter={onFilter} />
              ))}
            </ul>
          </div>
          {list.isFetchNextPageError && <p className="justify-self-center text-red">The next page couldn’t be read.</p>}
          {list.hasNextPage && (
            <Button className="justify-self-center" busy={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
              Load older
            </Button>
          )}
        </>
      )}
    </section>
  );
}

function Filters({ filter, projects, onFilter }: { filter: JobFilter; projects: Project[]; onFilter: (filter: JobFilter) => void }) {
  // An empty choice is none.
  const change = (more: Record<string, string>) => onFilter(jobFilter({ ...filter, ...more }));
  const known = filter.project === undefined || projects.some((project) => project.id === filter.project);
  return (
    <div role="search" aria-label="Filter the jobs" className="grid grid-cols-2 gap-2 sm:flex sm:flex-wrap sm:items-end">
      <label className="grid gap-1 text-xs text-muted sm:w-40">
        State
        <NativeSelect value={filter.state ?? ""} onChange={(event) => change({ state: event.target.value })}>
          <option value="">Any</option>
          {Object.entries(JOB_STATES).map(([state, { word }]) => (
            <option key={state} value={state}>
              {word}
            </option>
          ))}
        </NativeSelect>
      </label>
      <label className="grid gap-1 text-xs text-muted sm:w-44">
        What
        <NativeSelect value={filter.kind ?? ""} onChange={(event) => change({ kind: event.target.value })}>
          <option value="">Anything</option>
          {Object.entries(JOB_KINDS).map(([kind, word]) => (
            <option key={kind} value={kind}>
              {word}
            </option>
          ))}
        </NativeSelect>
      </label>
      <label className="col-span-2 grid gap-1 text-xs text-muted sm:w-56">
        Project
        <NativeSelect value={filter.project ?? ""} onChange={(event) => change({ project: event.target.value })}>
          <option value="">Any</option>
          {!known && <option value={filter.project}>{filter.project}</option>}
          {projects.map((project) => (
            <option key={project.id} value={project.id}>
              {project.name}
            </option>
          ))}
        </NativeSelect>
      </label>
      {Object.keys(filter).length > 0 && (
        <Button variant="ghost" className="col-span-2 justify-self-start" onClick={() => onFilter({})}>
          Show all jobs
        </Button>
      )}
    </div>
  );
}

/** A row's last columns, where the page is wide enough for some. */
const COLUMNS = "sm:grid sm:grid-cols-[5.5rem_6.5rem_5rem] sm:items-baseline sm:justify-items-start sm:gap-x-2";

const ICONS: Record<Job["state"], ReactNode> = {
  queued: <CircleDashed aria-hidden />,
  running: <LoaderCircle className="animate-spin" aria-hidden />,
  succeeded: <CircleCheck aria-hidden />,
  failed: <CircleAlert aria-hidden />,
  cancelled: <CircleSlash aria-hidden />,
  stuck: <CircleAlert aria-hidden />,
};

/** The arrow keys go from row to row. */
function walk(event: KeyboardEvent<HTMLButtonElement>) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const buttons = [...(event.currentTarget.closest("ul")?.querySelectorAll<HTMLButtonElement>("[data-job-row]") ?? [])];
  if (step === undefined) return;
  event.preventDefault();
  buttons[buttons.indexOf(event.currentTarget) + step]?.focus();
}

function JobRow({ job, project, onFilter }: { job: Job; project: Project | undefined; onFilter: (filter: JobFilter) => void }) {
  const [open, setOpen] = useState(false);
  const id = useId();
  const { word, tone } = JOB_STATES[job.state];
  const progress = isLive(job) ? jobProgress(job) : null;
  const said = job.waits_for?.message ?? job.error?.message ?? (progress && `Step ${progress.at} of ${progress.of}: ${progress.label}`);
  return (
    <li>
      <button type="button" data-job-row aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)} onKeyDown={walk} className="flex w-full items-start gap-3 px-3 py-2.5 text-left hover:bg-hover">
        <ChevronRight className={cn("mt-0.5 size-4 shrink-0 text-faint transition-transform", open && "rotate-90")} aria-hidden />
        <span className="grid min-w-0 flex-1 grid-cols-[minmax(0,1fr)] gap-0.5">
          <span className="flex flex-wrap items-baseline gap-x-2">
            <span className="font-medium">{kindWords(job.kind)}</span>
            {project && <span className="max-w-full truncate text-muted">{project.name}</span>}
          </span>
          {said && <span className="text-xs break-words text-muted">{said}</span>}
        </span>
        <span className={cn("grid shrink-0 justify-items-end gap-0.5 text-xs", COLUMNS)}>
          <Word tone={job.waits_for ? "amber" : tone} icon={ICONS[job.state]}>
            {job.waits_for ? "Waiting" : job.state === "running" && job.direction === "undo" ? "Taking back" : word}
          </Word>
          <span className="flex gap-x-1.5 text-muted tabular-nums sm:contents">
            <span className="max-sm:text-faint">
              {job.started_at === null ? "asked " : <span className="sr-only">started </span>}
              <RelativeTime at={job.started_at ?? job.created_at} />
            </span>
            <Took job={job} />
          </span>
        </span>
      </button>
      {open && <Details id={id} job={job} project={project} onFilter={onFilter} />}
    </li>
  );
}

/** How long it took, or takes so far. What waits for somebody takes none of doce’s time. */
function Took({ job }: { job: Job }) {
  if (job.started_at === null || job.waits_for !== null) return null;
  return (
    <span>
      <span className="sr-only">{job.finished_at === null ? "running for " : "took "}</span>
      {job.finished_at === null ? <Elapsed since={job.started_at} /> : took(Date.parse(job.finished_at) - Date.parse(job.started_at))}
    </span>
  );
}

function Details({ id, job, project, onFilter }: { id: string; job: Job; project: Project | undefined; onFilter: (filter: JobFilter) => void }) {
  const log = useQuery(jobLogQuery(job.id));
  return (
    <div id={id} className="grid grid-cols-[minmax(0,1fr)] gap-4 border-t border-line bg-sunken px-3 py-3 sm:pl-10">
      <dl className="grid grid-cols-[5.5rem_minmax(0,1fr)] gap-x-3 gap-y-1 text-xs [&>dt]:text-muted">
        <dt>Asked for</dt>
        <dd>{exact(job.created_at)}</dd>
        {job.started_at !== null && (
          <>
            <dt>Started</dt>
            <dd>{exact(job.started_at)}</dd>
          </>
        )}
        {job.next_attempt_at !== null && (
          <>
            <dt>Next try</dt>
            <dd title={exact(job.next_attempt_at)}>{clock(job.next_attempt_at)}</dd>
          </>
        )}
        <dt>Job</dt>
        <dd className="font-mono break-all">{job.id}</dd>
      </dl>
      <JobSteps job={job} />
      <Log log={log.data} failed={log.isError} onRetry={() => void log.refetch()} />
      <div className="flex flex-wrap gap-2">
        <Actions job={job} />
        {project && (
          <>
            <Link to="/projects/$id" params={{ id: project.id }} className="inline-flex h-7 items-center px-1 text-xs link">
              Open {project.name}
            </Link>
            <Button size="sm" variant="ghost" onClick={() => onFilter({ project: project.id })}>
              All of this project
            </Button>
          </>
        )}
      </div>
    </div>
  );
}

const LEVEL_TONE: Record<string, string> = { warn: "text-amber", error: "text-red" };

function Log({ log, failed, onRetry }: { log: { sequence: number; at: string; level: string; text: string }[] | undefined; failed: boolean; onRetry: () => void }) {
  if (failed) {
    return (
      <p className="text-xs text-red">
        The log couldn’t be read.{" "}
        <button type="button" className="link" onClick={onRetry}>
          Try again
        </button>
      </p>
    );
  }
  if (log === undefined || log.length === 0) return null;
  return (
    <ol aria-label="Log" className="grid max-h-64 gap-0.5 overflow-y-auto rounded-md border border-line bg-surface px-2.5 py-2 font-mono text-xs">
      {log.map((line) => (
        <li key={line.sequence} className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-3">
          <time dateTime={line.at} title={exact(line.at)} className="text-faint tabular-nums">
            {clock(line.at)}
          </time>
          <span className={cn("break-words whitespace-pre-wrap", LEVEL_TONE[line.level])}>{line.text}</span>
        </li>
      ))}
    </ol>
  );
}

function Actions({ job }: { job: Job }) {
  const cache = useQueryClient();
  const [asks, setAsks] = useState(false);
  const params = { path: { id: job.id } };
  const onSuccess = (changed: Job) => putJob(cache, changed);
  const cancel = useMutation({ mutationFn: () => take(api.POST("/api/jobs/{id}/cancel", { params })), onSuccess, onError: tell, onSettled: () => setAsks(false) });
  const retry = useMutation({ mutationFn: () => take(api.POST("/api/jobs/{id}/retry", { params })), onSuccess, onError: tell });
  if (isLive(job) && job.direction === "forward") {
    if (!asks) {
      return (
        <Button size="sm" onClick={() => setAsks(true)}>
          Cancel
        </Button>
      );
    }
    return (
      <span role="group" aria-label="Cancel this job" className="flex flex-wrap items-center gap-2">
        <span className="text-xs">What it did so far is taken back.</span>
        <Button size="sm" variant="danger" autoFocus busy={cancel.isPending} onClick={() => cancel.mutate()}>
          Cancel the job
        </Button>
        <Button size="sm" variant="ghost" onClick={() => setAsks(false)}>
          Keep it
        </Button>
      </span>
    );
  }
  if (job.state === "failed" || job.state === "cancelled" || job.state === "stuck") {
    return (
      <Button size="sm" busy={retry.isPending} onClick={() => retry.mutate()}>
        Do it again
      </Button>
    );
  }
  return null;
}

function Loading() {
  return (
    <div role="status" aria-label="Reading the jobs" className="grid gap-2">
      {[0, 1, 2, 3].map((row) => (
        <Skeleton key={row} className="h-12" />
      ))}
    </div>
  );
}
