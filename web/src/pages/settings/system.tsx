import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CircleAlert, CircleCheck, RefreshCw, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { doctorQuery, keys, systemQuery, systemStatusQuery } from "../../api/queries";
import { meQuery } from "../../api/session";
import type { Finding, System, SystemStatus } from "../../api/types";
import { CopyButton } from "../../components/copy-button";
import { PageError } from "../../components/page-error";
import { RelativeTime, took } from "../../components/relative-time";
import { Section } from "../../components/section";
import { TONE_TEXT, type Tone } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Notice } from "../../ui/notice";
import { Skeleton } from "../../ui/skeleton";

export default function SystemPage() {
  const { data: me } = useQuery(meQuery);
  const cache = useQueryClient();
  const admin = me?.role === "admin";
  const { data: system, error: systemError } = useQuery({ ...systemQuery, enabled: admin });
  const { data: status, error: statusError, isFetching } = useQuery({ ...systemStatusQuery, enabled: admin });
  const again = () => {
    for (const queryKey of [keys.system, keys.systemStatus, keys.doctor]) void cache.invalidateQueries({ queryKey });
  };
  const error = systemError ?? statusError;
  return (
    <div className="grid grid-cols-[minmax(0,1fr)] gap-8">
      <title>System · doce</title>
      <header className="flex flex-wrap items-start gap-3">
        <div className="min-w-0 flex-1 basis-64">
          <h1 className="text-xl font-semibold tracking-tight">System</h1>
          <p className="text-muted">What this server runs with, what it is doing, and what is left of its machine.</p>
        </div>
        {admin && (
          <Button busy={isFetching && status !== undefined} onClick={again}>
            <RefreshCw className="size-4" aria-hidden />
            Look again
          </Button>
        )}
      </header>
      {me !== undefined && !admin && <Notice tone="neutral" title="This page is for admins." />}
      {me === undefined || (admin && (system === undefined || status === undefined)) ? error ? <PageError error={error} onRetry={again} /> : <Loading what="Reading about the server" /> : null}
      {system && status && (
        <>
          <Versions system={system} status={status} />
          <Agents status={status} />
          <Projects status={status} />
          <Doctor />
        </>
      )}
    </div>
  );
}

function Loading({ what }: { what: string }) {
  return (
    <div className="grid gap-3" aria-busy aria-label={what} role="status">
      <Skeleton className="h-16" />
      <Skeleton className="h-32" />
    </div>
  );
}

function Facts({ children }: { children: ReactNode }) {
  return <dl className="grid grid-cols-[7rem_minmax(0,1fr)] gap-y-1.5 [&>dd]:min-w-0 [&>dt]:text-muted">{children}</dl>;
}

const SANDBOX: Record<System["sandbox"]["state"], { word: string; tone: Tone }> = {
  active: { word: "Active", tone: "green" },
  unavailable: { word: "Unavailable", tone: "red" },
  overridden: { word: "Switched off", tone: "red" },
};

const OPENCODE: Record<System["opencode"]["state"], string> = {
  checking: "being looked for",
  installing: "being downloaded",
  ready: "ready",
  failed: "not there",
};

/** How each agent and each preview is run. */
const RUNTIME: Record<SystemStatus["runtime"]["kind"], string> = { process: "Processes of this machine" };

function ceilings({ memory_ceiling, process_ceiling }: SystemStatus["runtime"]): string {
  if (memory_ceiling && process_ceiling) return "The kernel holds the ceilings on their memory and their number.";
  if (memory_ceiling) return "The kernel holds the ceiling on their memory, and takes none on their number.";
  if (process_ceiling) return "The kernel holds the ceiling on their number, and takes none on their memory.";
  return "The kernel takes no ceiling on their memory or their number here.";
}

function Versions({ system, status }: { system: System; status: SystemStatus }) {
  const sandbox = SANDBOX[system.sandbox.state];
  const { database, disk, runtime } = status;
  return (
    <Section title="Versions and place" lead={<>Started <RelativeTime at={status.started_at} />.</>}>
      <Facts>
        <dt>doce</dt>
        <dd>{system.version}</dd>
        <dt>OpenCode</dt>
        <dd>
          {system.opencode.version}, {OPENCODE[system.opencode.state]}
          {system.opencode.detail !== null && <span className="block text-xs text-muted">{system.opencode.detail}</span>}
        </dd>
        {status.tools.map((tool) => (
          <Fact key={tool.name} name={tool.name}>
            {tool.version ?? <span className={TONE_TEXT.amber}>not found: previews don’t start without it</span>}
          </Fact>
        ))}
        <dt>Database</dt>
        <dd>
          {database.kind} {database.version}, {bytes(database.bytes)}
        </dd>
        <dt>Runtime</dt>
        <dd>
          {RUNTIME[runtime.kind]}
          {runtime.sandbox !== null && (
            <>
              , locked in by <code className="font-mono text-xs break-all">{runtime.sandbox}</code>
            </>
          )}
          <span className="block text-xs text-muted">{ceilings(runtime)}</span>
        </dd>
        <dt>Sandbox</dt>
        <dd>
          <span className={TONE_TEXT[sandbox.tone]}>{sandbox.word}</span>
          <span className="block text-xs text-muted">{system.sandbox.detail}</span>
        </dd>
        {system.data_dir !== null && (
          <>
            <dt>Data</dt>
            <dd className="font-mono text-xs leading-5 break-all">{system.data_dir}</dd>
          </>
        )}
        {disk !== null && (
          <>
            <dt>Disk</dt>
            <dd className="tabular-nums">
              {bytes(disk.free)} free of {bytes(disk.total)}
            </dd>
          </>
        )}
      </Facts>
    </Section>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function Agents({ status: { agents, queue } }: { status: SystemStatus }) {
  const most = agents.most === null ? "there may be as many as the memory holds" : `there may be ${agents.most}`;
  const jobs = [
    [queue.running, "at work"],
    [queue.due, "due"],
    [queue.later, "later"],
    [queue.waiting, "waiting for somebody or for room"],
  ].filter(([number]) => number !== 0);
  return (
    <Section title="Agents and jobs" lead="One agent for each project that runs.">
      <Facts>
        <dt>Agents</dt>
        <dd className="tabular-nums">
          {agents.running} running
          {agents.starting > 0 && `, ${agents.starting} starting`}
          {agents.waiting > 0 && <span className={TONE_TEXT.amber}>, {agents.waiting} waiting for room</span>}; {most}
        </dd>
        {agents.memory_total !== null && agents.memory_available !== null && (
          <>
            <dt>Memory</dt>
            <dd className="tabular-nums">
              {bytes(agents.memory_available)} free of {bytes(agents.memory_total)}
            </dd>
          </>
        )}
        <dt>Jobs</dt>
        <dd className="tabular-nums">
          {jobs.length === 0 ? "nothing to do" : jobs.map(([number, word]) => `${number} ${word}`).join(", ")}
          {queue.oldest_due_seconds > 0 && <span className="text-muted">; the oldest has been due for {took(queue.oldest_due_seconds * 1000)}</span>}
        </dd>
      </Facts>
    </Section>
  );
}

function Projects({ status: { projects, measured_at } }: { status: SystemStatus }) {
  return (
    <Section title="Projects" lead={<>What each takes, its agent and its preview together. Disks were measured <RelativeTime at={measured_at} />.</>}>
      {projects.length === 0 ? (
        <p className="text-muted">There is no project yet.</p>
      ) : (
        <ul aria-label="What each project takes" className="divide-y divide-line rounded-lg border border-line bg-surface">
          {projects.map((project) => (
            <li key={project.id} className="flex flex-wrap items-baseline gap-x-4 gap-y-0.5 px-3 py-2">
              <span className="min-w-0 flex-1 basis-40 truncate">
                {project.name === null ? (
                  <span className="text-muted">A project of {project.owner}</span>
                ) : (
                  <Link to="/projects/$id" params={{ id: project.id }} className="hover:underline">
                    {project.name}
                  </Link>
                )}
              </span>
              <span className="text-xs text-muted tabular-nums">{project.memory === null ? "nothing runs" : `${bytes(project.memory)} of memory`}</span>
              <span className="text-xs text-muted tabular-nums">
                {project.disk === null ? "disk not measured yet" : `${project.disk_at_least ? "more than " : ""}${bytes(project.disk)} on the disk`}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

const HEALTH: Record<Finding["health"], { word: string; tone: Tone; icon: ReactNode; order: number }> = {
  problem: { word: "Problem", tone: "red", icon: <CircleAlert aria-hidden />, order: 0 },
  warning: { word: "Warning", tone: "amber", icon: <TriangleAlert aria-hidden />, order: 1 },
  ok: { word: "Fine", tone: "green", icon: <CircleCheck aria-hidden />, order: 2 },
};

function Doctor() {
  const { data: findings, error, refetch } = useQuery(doctorQuery);
  return (
    <Section title="Doctor" lead="What doce doctor finds on this machine, and what repairs it.">
      {findings === undefined ? (
        error ? (
          <PageError error={error} onRetry={() => void refetch()} />
        ) : (
          <Loading what="Looking at the machine" />
        )
      ) : (
        <ul aria-label="Findings" className="divide-y divide-line rounded-lg border border-line bg-surface">
          {findings
            .toSorted((a, b) => HEALTH[a.health].order - HEALTH[b.health].order)
            .map((finding) => {
              const { word, tone, icon } = HEALTH[finding.health];
              return (
                <li key={`${finding.check} ${finding.text}`} className="grid grid-cols-[1rem_minmax(0,1fr)] gap-x-2.5 px-3 py-2">
                  <span className={`mt-0.5 [&>svg]:size-4 ${TONE_TEXT[tone]}`}>{icon}</span>
                  <div className="min-w-0">
                    <p>
                      <span className="sr-only">{word}: </span>
                      <span className="font-medium">{finding.check}</span> <span className="break-words text-muted">{finding.text}</span>
                    </p>
                    {finding.repair !== null && (
                      <p className="mt-1 flex flex-wrap items-center gap-1">
                        <code className="min-w-0 rounded bg-hover px-1.5 py-0.5 font-mono text-xs break-all">{finding.repair}</code>
                        <CopyButton text={finding.repair} label={`Copy what repairs ${finding.check}`} />
                      </p>
                    )}
                  </div>
                </li>
              );
            })}
        </ul>
      )}
    </Section>
  );
}

const UNITS = ["B", "KB", "MB", "GB", "TB"];

/** A number of bytes as a person reads it: `412 MB`, `1.5 GB`. */
export function bytes(number: number): string {
  let value = number;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}
