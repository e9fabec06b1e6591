import { Link } from "@tanstack/react-router";
import { Bot, ChevronRight, CircleUserRound, KeyRound, LayoutGrid, Server, Terminal } from "lucide-react";
import { useId, useState, type KeyboardEvent, type ReactNode } from "react";
import type { AuditFilter } from "../api/queries";
import type { AuditEvent, AuditNoun } from "../api/types";
import { Badge } from "../ui/badge";
import { Button } from "../ui/button";
import { cn } from "../ui/cn";
import { ACTIONS } from "./audit-actions";
import { nounWords, outcomeWords, sentence } from "./audit-words";
import { exact, RelativeTime } from "./relative-time";

const ICONS = {
  Keys: <KeyRound aria-hidden />,
  Projects: <LayoutGrid aria-hidden />,
  People: <CircleUserRound aria-hidden />,
  Server: <Server aria-hidden />,
};

/** The arrow keys go from row to row. */
function walk(event: KeyboardEvent<HTMLButtonElement>) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const buttons = [...(event.currentTarget.closest("ul")?.querySelectorAll<HTMLButtonElement>("[data-audit-row]") ?? [])];
  if (step === undefined) return;
  event.preventDefault();
  buttons[buttons.indexOf(event.currentTarget) + step]?.focus();
}

export function AuditRow({ event, me, onFilter }: { event: AuditEvent; me: string | undefined; onFilter: (filter: AuditFilter) => void }) {
  const [open, setOpen] = useState(false);
  const id = useId();
  const outcome = outcomeWords(event.outcome);
  // A newer server may know more actions.
  const group = (ACTIONS as Partial<typeof ACTIONS>)[event.action]?.group ?? "Server";
  return (
    <li>
      <div className="flex items-start gap-2.5 py-1.5 pr-1 pl-3">
        <span className="mt-1.5 text-faint [&>svg]:size-4">{ICONS[group]}</span>
        <div className="flex min-w-0 flex-1 flex-col gap-x-3 py-0.5 sm:flex-row sm:py-1 sm:items-baseline">
          <p className="min-w-0 flex-1 break-words">
            {sentence(event, me).map((piece) => (typeof piece === "string" ? piece : <Noun key={piece.id} noun={piece} event={event} me={me} />))}
            {outcome && (
              <>
                {" "}
                <Badge tone={outcome.tone}>{outcome.word}</Badge>
              </>
            )}
          </p>
          <RelativeTime at={event.at} className="shrink-0 text-xs whitespace-nowrap text-faint tabular-nums" />
        </div>
        <button
          type="button"
          data-audit-row
          aria-expanded={open}
          aria-controls={id}
          aria-label={`Details of event ${event.seq}`}
          onClick={() => setOpen(!open)}
          onKeyDown={walk}
          className="rounded-md p-1.5 text-faint hover:bg-hover hover:text-text"
        >
          <ChevronRight className={cn("size-4 transition-transform", open && "rotate-90")} aria-hidden />
        </button>
      </div>
      {open && <Details id={id} event={event} me={me} onFilter={onFilter} />}
    </li>
  );
}

function Noun({ noun, event, me }: { noun: AuditNoun; event: AuditEvent; me: string | undefined }) {
  const words = nounWords(noun, event, me);
  const look = cn("font-medium", noun.name === null && "font-normal text-muted");
  if (noun.open && noun.kind === "project") {
    return (
      <Link to="/projects/$id" params={{ id: noun.id }} className={cn(look, "link")}>
        {words}
      </Link>
    );
  }
  if (noun.open && noun.kind === "connection") {
    return (
      <Link to="/settings/providers" className={cn(look, "link")}>
        {words}
      </Link>
    );
  }
  return (
    <span className={look} title={noun.id}>
      {words}
    </span>
  );
}

const ACTOR_ICONS: Partial<Record<AuditNoun["kind"], ReactNode>> = { cli: <Terminal aria-hidden />, job: <Bot aria-hidden />, doce: <Bot aria-hidden /> };

function Details({ id, event, me, onFilter }: { id: string; event: AuditEvent; me: string | undefined; onFilter: (filter: AuditFilter) => void }) {
  const { actor, noun, project } = event;
  const mono = "font-mono text-xs break-all";
  return (
    <div id={id} className="grid gap-3 border-t border-line bg-sunken px-3 py-3 sm:pl-10">
      <dl className="grid grid-cols-[5.5rem_minmax(0,1fr)] gap-x-3 gap-y-1 text-xs [&>dt]:text-muted">
        <dt>When</dt>
        <dd>{exact(event.at)}</dd>
        <dt>By</dt>
        <dd className="flex flex-wrap items-center gap-x-1.5 [&>svg]:size-3.5">
          {ACTOR_ICONS[actor.kind]}
          {actor.kind === "user" && <span>{actor.name ?? "somebody who is gone"}</span>}
          <span className={mono}>{actor.id}</span>
        </dd>
        <dt>About</dt>
        <dd className={mono}>{noun.id}</dd>
        {project !== null && project.id !== noun.id && (
          <>
            <dt>Project</dt>
            <dd className={mono}>{project.id}</dd>
          </>
        )}
        <dt>Outcome</dt>
        <dd>{event.outcome}</dd>
        {event.detail !== null && (
          <>
            <dt>Detail</dt>
            <dd className="break-words">{event.detail}</dd>
          </>
        )}
        {event.fingerprint !== null && (
          <>
            <dt>Fingerprint</dt>
            <dd className={mono}>{event.fingerprint}</dd>
          </>
        )}
        <dt>Request</dt>
        <dd className={mono}>{event.request_id}</dd>
        <dt>Address</dt>
        <dd className={event.address === null ? undefined : mono}>{event.address ?? "none: it did not come over the network"}</dd>
        <dt>Event</dt>
        <dd className={mono}>
          {event.seq}:{event.hash}
        </dd>
      </dl>
      <div className="flex flex-wrap gap-2">
        {noun.kind === "connection" && (
          <Button size="sm" onClick={() => onFilter({ connection: noun.id })}>
            Where was this key used
          </Button>
        )}
        {project !== null && (
          <Button size="sm" onClick={() => onFilter({ noun: project.id })}>
            All in this project
          </Button>
        )}
        {actor.kind === "user" && (
          <Button size="sm" onClick={() => onFilter({ actor: actor.id })}>
            {actor.id === me ? "All that you did" : "All by this person"}
          </Button>
        )}
      </div>
    </div>
  );
}
