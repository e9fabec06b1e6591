import { Link, useNavigate } from "@tanstack/react-router";
import { CircleAlert, CircleCheck, CalendarClock, CircleSlash, EllipsisVertical, Eye, History, Pencil, Server, ShieldCheck, Star, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import type { Connection, ConnectionDelivery } from "../api/types";
import { Badge, TONE_TEXT, type Tone } from "../ui/badge";
import { Button } from "../ui/button";
import { cn } from "../ui/cn";
import { Menu, MenuItem, MenuSeparator } from "../ui/menu";
import { openReplace, useConnectionActions } from "./connection-actions";
import { openDialog } from "./dialogs";
import { ageWords, daysLeft } from "./key-age";
import { ProviderMark } from "./provider-mark";
import { exact, RelativeTime, useNow } from "./relative-time";
import { Word } from "./state-word";
import { CONNECTION_STATUS, DELIVERY_STATUS, VERIFICATION } from "./states";

const ICONS: Record<Connection["status"], ReactNode> = {
  connected: <CircleCheck aria-hidden />,
  expired: <TriangleAlert aria-hidden />,
  error: <CircleAlert aria-hidden />,
  revoked: <CircleSlash aria-hidden />,
};

export function ConnectionRow({ connection }: { connection: Connection }) {
  const { verify, makeDefault } = useConnectionActions(connection);
  const navigate = useNavigate();
  const status = CONNECTION_STATUS[connection.status];
  const { verification } = connection;
  const left = daysLeft(connection, useNow());
  const broken = connection.status === "error" || connection.status === "expired" || verification?.outcome === "invalid";
  return (
    <li className="stack gap-2.5 px-4 py-3.5">
      <div className="flex items-start gap-3">
        <ProviderMark id={connection.provider_id} name={connection.provider_name} className="mt-0.5 size-8 rounded-md text-sm" />
        <div className="grid min-w-0 flex-1 gap-0.5">
          <div className="flex flex-wrap items-center gap-x-2 gap-y-1">
            <h2 className="text-base font-medium">{connection.provider_name}</h2>
            <span className="min-w-0 truncate text-muted">{connection.label}</span>
            {connection.is_default && <Badge>default</Badge>}
            <Badge icon={<Eye aria-hidden />} title={connection.delivery.reason}>
              {connection.delivery.mode}
            </Badge>
            {connection.last_four !== "" && (
              <span className="font-mono text-xs text-faint" title={`Fingerprint ${connection.fingerprint}, version ${connection.version}`}>
                ··&thinsp;{connection.last_four}
              </span>
            )}
          </div>
          <p className="flex flex-wrap items-center gap-x-2.5 text-xs text-muted sm:gap-x-1.5">
            <Word tone={status.tone} icon={ICONS[connection.status]}>
              {status.word}
            </Word>
            <Dot />
            {verification ? (
              <span>
                checked <RelativeTime at={verification.at} />
                {": "}
                <span className={TONE_TEXT[VERIFICATION[verification.outcome].tone]} title={verification.detail}>
                  {VERIFICATION[verification.outcome].word}
                </span>
              </span>
            ) : (
              <span>never checked</span>
            )}
            <Dot />
            {connection.last_used_at ? (
              <span>
                used <RelativeTime at={connection.last_used_at} />
              </span>
            ) : (
              <span>not used yet</span>
            )}
            {connection.renews && (
              <>
                <Dot />
                <span title={connection.expires_at === null ? undefined : exact(connection.expires_at)}>renews by itself</span>
              </>
            )}
            {connection.replace_by && left === null && (
              <>
                <Dot />
                <span title={exact(connection.replace_by)}>{connection.status === "expired" ? "ran out" : `${connection.auth_type === "oauth" ? "sign in again on" : "good until"} ${day(connection.replace_by)}`}</span>
              </>
            )}
            {connection.replace_by && left !== null && (
              <>
                <Dot />
                <Word tone="amber" icon={<CalendarClock aria-hidden />}>
                  <span title={exact(connection.replace_by)}>{ageWords(connection, left)}</span>
                </Word>
              </>
            )}
            {connection.base_url && (
              <>
                <Dot />
                <span className="max-w-64 truncate font-mono" title={connection.base_url}>
                  {connection.base_url}
                </span>
              </>
            )}
          </p>
          {connection.error_message && <p className="text-sm text-red">{connection.error_message}</p>}
        </div>
        <Menu
          trigger={
            <button type="button" aria-label={`${connection.provider_name} ${connection.label}: more`} className="-mt-1 -mr-2 rounded-md p-2 text-faint hover:bg-hover hover:text-text data-[state=open]:bg-hover">
              <EllipsisVertical className="size-4" aria-hidden />
            </button>
          }
        >
          <MenuItem icon={<Star aria-hidden />} disabled={connection.is_default} onSelect={() => makeDefault.mutate()}>
            Make default
          </MenuItem>
          <MenuItem icon={<Pencil aria-hidden />} onSelect={() => openDialog({ kind: "rename-connection", connection })}>
            Rename label
          </MenuItem>
          {connection.provider_id.startsWith("custom-") && (
            <MenuItem icon={<Server aria-hidden />} onSelect={() => openDialog({ kind: "edit-custom-provider", providerId: connection.provider_id })}>
              Address and models
            </MenuItem>
          )}
          {connection.auth_type === "api" && (
            <MenuItem icon={<CalendarClock aria-hidden />} onSelect={() => openDialog({ kind: "connection-age", connection })}>
              How long it is good
            </MenuItem>
          )}
          <MenuItem icon={<History aria-hidden />} onSelect={() => void navigate({ to: "/settings/audit", search: { connection: connection.id } })}>
            Where was this key used
          </MenuItem>
          <MenuSeparator />
          <MenuItem danger icon={<CircleSlash aria-hidden />} onSelect={() => openDialog({ kind: "disconnect-connection", connection })}>
            Disconnect
          </MenuItem>
        </Menu>
      </div>
      <div className="stack gap-2.5 sm:pl-11">
        <Deliveries connection={connection} />
        <div className="flex flex-wrap gap-2">
          <Button size="sm" variant={broken || left !== null ? "primary" : "secondary"} onClick={() => openReplace(connection)}>
            {connection.auth_type === "oauth" ? "Sign in again" : "Replace key"}
          </Button>
          <Button size="sm" busy={verify.isPending} icon={<ShieldCheck className="size-3.5" aria-hidden />} onClick={() => verify.mutate()}>
            Verify
          </Button>
          <Button size="sm" variant="danger" onClick={() => openDialog({ kind: "disconnect-connection", connection })}>
            Disconnect
          </Button>
        </div>
      </div>
    </li>
  );
}

function Dot() {
  return (
    <span aria-hidden className="hidden text-faint sm:inline">
      ·
    </span>
  );
}

const DOTS: Record<Tone, string> = { neutral: "bg-edge", accent: "bg-accent", green: "bg-green", amber: "bg-amber", red: "bg-red" };

/** Where a connection’s key is, agent by agent, and why where that needs saying. Projects that don’t run are only counted. */
function Deliveries({ connection }: { connection: Connection }) {
  const { deliveries, project_count: projects } = connection;
  if (projects === 0) return <p className="text-xs text-muted">Not used by a project yet.</p>;
  const others = projects - deliveries.length;
  return (
    <div className="grid gap-1.5 text-xs">
      <div className="flex flex-wrap items-center gap-1.5">
        <span className="text-muted">{deliveries.length > 0 ? `${inProjects(projects)}:` : `${inProjects(projects)}, ${notRunning(projects)}.`}</span>
        {deliveries.map((delivery) => {
          const said = DELIVERY_STATUS[delivery.status];
          return (
            <Link
              key={delivery.project_id}
              to="/projects/$id"
              params={{ id: delivery.project_id }}
              title={[delivery.reason, exact(delivery.at)].filter(Boolean).join(" · ")}
              className="inline-flex h-6 max-w-full items-center gap-1.5 rounded-md border border-line bg-sunken px-2 hover:border-line-strong"
            >
              <span aria-hidden className={cn("size-1.5 shrink-0 rounded-full", DOTS[said.tone])} />
              <span className="truncate">{delivery.project_name}</span>
              <span className={cn("whitespace-nowrap", TONE_TEXT[said.tone])}>{said.word}</span>
            </Link>
          );
        })}
        {deliveries.length > 0 && others > 0 && (
          <span className="text-muted" title="An agent gets the key when it starts.">
            and {others === 1 ? "1 that isn’t running" : `${others} that aren’t running`}
          </span>
        )}
      </div>
      {deliveries.map((delivery) => (
        <Reason key={delivery.project_id} connection={connection} delivery={delivery} />
      ))}
    </div>
  );
}

const inProjects = (count: number) => (count === 1 ? "In 1 project" : `In ${count} projects`);

const notRunning = (count: number) => (count === 1 ? "which isn’t running: its agent gets the key when it starts" : "none of which is running: an agent gets the key when it starts");

/** What holds a delivery up; one that waits for an answer’s end can be applied now, at the cost of that answer. */
function Reason({ connection, delivery }: { connection: Connection; delivery: ConnectionDelivery }) {
  if (delivery.reason === null || delivery.status === "revoked") return null;
  const waits = delivery.status === "stale" || delivery.status === "pending";
  return (
    <p className="flex flex-wrap items-center gap-x-2 gap-y-1 text-muted">
      <span className="min-w-0 break-words">
        {delivery.project_name}: {delivery.reason}
      </span>
      {waits && (
        <Button size="sm" variant="ghost" aria-label={`Apply now in ${delivery.project_name}`} onClick={() => openDialog({ kind: "apply-now", connection, delivery })}>
          Apply now
        </Button>
      )}
    </p>
  );
}

function day(iso: string): string {
  return new Date(iso).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
}
