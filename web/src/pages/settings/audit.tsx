import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Download, RotateCw, ScrollText } from "lucide-react";
import { useId } from "react";
import { auditFileUrl, auditQuery, connectionsQuery, projectsQuery, usersQuery, type AuditFilter } from "../../api/queries";
import { meQuery } from "../../api/session";
import type { AuditAction, AuditEvent, Connection, Project, User } from "../../api/types";
import { ACTIONS, auditFilter } from "../../components/audit-actions";
import { AuditRow } from "../../components/audit-row";
import { PageError } from "../../components/page-error";
import { Button, buttonClass } from "../../ui/button";
import { NativeSelect } from "../../ui/input";
import { Skeleton } from "../../ui/skeleton";
import { IconButton } from "../../ui/tooltip";

const route = getRouteApi("/signed-in/settings/audit");

export default function Audit() {
  const filter = auditFilter(route.useSearch());
  const navigate = route.useNavigate();
  return <AuditLog filter={filter} onFilter={(next) => void navigate({ search: next })} />;
}

export function AuditLog({ filter, onFilter }: { filter: AuditFilter; onFilter: (filter: AuditFilter) => void }) {
  const { data: me } = useQuery(meQuery);
  const log = useInfiniteQuery(auditQuery(filter));
  const events = log.data?.pages.flatMap((page) => page.items);
  const filtered = Object.keys(filter).length > 0;
  const about = filter.connection && events?.find((event) => event.noun.id === filter.connection)?.noun.name;
  return (
    <section className="grid grid-cols-[minmax(0,1fr)] gap-4">
      <title>Audit · doce</title>
      <header className="flex flex-wrap items-start gap-3">
        <div className="min-w-0 flex-1 basis-64">
          <h1 className="text-xl font-semibold tracking-tight">Audit</h1>
          <p className="text-muted" aria-live="polite">
            {about ? `Where the key of ${about} was used, and all else that was done with it.` : "Who did what, when and from where. Nothing here can be changed."}
          </p>
        </div>
        <div className="flex items-center gap-2">
          <IconButton label="Read again" onClick={() => void log.refetch()} busy={log.isRefetching && !log.isFetchingNextPage} icon={<RotateCw className="size-4" aria-hidden />} />
          <a href={auditFileUrl(filter)} download className={buttonClass("secondary")}>
            <Download className="size-4" aria-hidden />
            Download
          </a>
        </div>
      </header>
      <Filters filter={filter} me={me} events={events ?? []} onFilter={onFilter} />
      {log.isPending && <Loading />}
      {!log.isPending && events === undefined && <PageError error={log.error} onRetry={() => void log.refetch()} />}
      {events?.length === 0 && !log.hasNextPage && (
        <div className="grid justify-items-center gap-4 rounded-lg border border-dashed border-line-strong px-6 py-12 text-center">
          <ScrollText className="size-6 text-faint" aria-hidden />
          <p className="text-muted">{filtered ? "No event is about this." : "Nothing has happened yet."}</p>
          {filtered && <Button onClick={() => onFilter({})}>Show everything</Button>}
        </div>
      )}
      {events !== undefined && (events.length > 0 || log.hasNextPage) && (
        <>
          <ul aria-label="Events, newest first" className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-surface empty:hidden">
            {events.map((event) => (
              <AuditRow key={event.seq} event={event} me={me?.id} onFilter={onFilter} />
            ))}
          </ul>
          <div className="grid justify-items-center gap-2">
            {log.isFetchNextPageError && <p className="text-red">The next page couldn’t be read.</p>}
            {log.hasNextPage ? (
              <Button busy={log.isFetchingNextPage} onClick={() => void log.fetchNextPage()}>
                Load older
              </Button>
            ) : (
              <p className="text-xs text-faint">That is everything{filtered ? " that matches" : ""}.</p>
            )}
          </div>
        </>
      )}
    </section>
  );
}

const GROUPS = ["Keys", "Projects", "People", "Server"] as const;

function Filters({ filter, me, events, onFilter }: { filter: AuditFilter; me: User | undefined; events: AuditEvent[]; onFilter: (filter: AuditFilter) => void }) {
  const { data: connections } = useQuery(connectionsQuery);
  const { data: projects } = useQuery(projectsQuery);
  const { data: users } = useQuery({ ...usersQuery, enabled: me?.role === "admin" });
  const filtered = Object.keys(filter).length > 0;
  // An empty choice is none.
  const change = (more: Record<string, string>) => onFilter(auditFilter({ ...filter, ...more }));
  return (
    <div role="search" aria-label="Filter the events" className="grid grid-cols-2 gap-2 sm:flex sm:flex-wrap sm:items-end">
      <label className="grid gap-1 text-xs text-muted sm:w-44">
        What
        <NativeSelect value={filter.action ?? ""} onChange={(event) => change({ action: event.target.value })}>
          <option value="">Anything</option>
          {GROUPS.map((group) => (
            <optgroup key={group} label={group}>
              {(Object.keys(ACTIONS) as AuditAction[])
                .filter((action) => ACTIONS[action].group === group)
                .map((action) => (
                  <option key={action} value={action}>
                    {ACTIONS[action].word}
                  </option>
                ))}
            </optgroup>
          ))}
        </NativeSelect>
      </label>
      <label className="grid gap-1 text-xs text-muted sm:w-44">
        By
        <NativeSelect value={filter.actor ?? ""} onChange={(event) => change({ actor: event.target.value })}>
          <option value="">Anybody</option>
          {actors(filter, me, users, events).map(([id, word]) => (
            <option key={id} value={id}>
              {word}
            </option>
          ))}
        </NativeSelect>
      </label>
      <About filter={filter} connections={connections ?? []} projects={projects ?? []} events={events} onChange={change} />
      {filtered && (
        <Button variant="ghost" className="col-span-2 justify-self-start" onClick={() => onFilter({})}>
          Show everything
        </Button>
      )}
    </div>
  );
}

function actors(filter: AuditFilter, me: User | undefined, users: User[] | undefined, events: AuditEvent[]): [string, string][] {
  const known: [string, string][] = [
    ...(me ? [[me.id, `${me.username} (you)`] as [string, string]] : []),
    ...(users ?? []).filter((user) => user.id !== me?.id).map((user): [string, string] => [user.id, user.username]),
    ["cli", "The command line"],
    ["nobody", "Somebody not signed in"],
  ];
  const { actor } = filter;
  if (actor === undefined || known.some(([id]) => id === actor)) return known;
  const seen = events.find((event) => event.actor.id === actor)?.actor;
  return [...known, [actor, seen?.name ?? actor]];
}

/** Connections and projects by name. What is asked for by its id alone is called as the events call it. */
function About({ filter, connections, projects, events, onChange }: { filter: AuditFilter; connections: Connection[]; projects: Project[]; events: AuditEvent[]; onChange: (more: Record<string, string>) => void }) {
  const id = useId();
  const asked = filter.connection ?? filter.noun ?? "";
  const known = connections.some((connection) => connection.id === asked) || projects.some((project) => project.id === asked);
  const seen = events.flatMap((event) => [event.noun, event.project]).find((noun) => noun?.id === asked);
  return (
    <div className="col-span-2 grid gap-1 text-xs text-muted sm:w-60">
      <label htmlFor={id}>About</label>
      <NativeSelect
        id={id}
        value={asked}
        onChange={({ target: { value } }) => onChange(value.startsWith("con_") ? { connection: value, noun: "" } : { connection: "", noun: value })}
      >
        <option value="">Everything</option>
        {asked !== "" && !known && <option value={asked}>{seen?.name ?? asked}</option>}
        {connections.length > 0 && (
          <optgroup label="Connections">
            {connections.map((connection) => (
              <option key={connection.id} value={connection.id}>
                {connection.provider_name} ({connection.label})
              </option>
            ))}
          </optgroup>
        )}
        {projects.length > 0 && (
          <optgroup label="Projects">
            {projects.map((project) => (
              <option key={project.id} value={project.id}>
                {project.name}
              </option>
            ))}
          </optgroup>
        )}
      </NativeSelect>
    </div>
  );
}

function Loading() {
  return (
    <div className="grid gap-px" aria-busy aria-label="Reading the events">
      {[0, 1, 2, 3, 4, 5].map((key) => (
        <Skeleton key={key} className="h-9" />
      ))}
    </div>
  );
}
