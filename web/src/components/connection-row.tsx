import { Link, useNavigate } from "@tanstack/react-router";
import { CircleAlert, CircleCheck, CircleSlash, EllipsisVertical, Eye, History, Pencil, ShieldCheck, Star, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import type { Connection, ConnectionProject } from "../api/types";
import { Badge, TONE_TEXT, type Tone } from "../ui/badge";
import { Button } from "../ui/button";
import { cn } from "../ui/cn";
import { Menu, MenuItem, MenuSeparator } from "../ui/menu";
import { openReplace, useConnectionActions } from "./connection-actions";
import { openDialog } from "./dialogs";
import { ProviderMark } from "./provider-mark";
import { exact, RelativeTime } from "./relative-time";
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
            {connection.expires_at && (
              <>
                <Dot />
                <span title={exact(connection.expires_at)}>
                  {connection.renews ? "renews by itself" : connection.status === "expired" ? "ran out" : <>sign in again <RelativeTime at={connection.expires_at} /></>}
                </span>
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
        <Deliveries projects={connection.projects} />
        <div className="flex flex-wrap gap-2">
          <Button size="sm" variant={broken ? "primary" : "secondary"} onClick={() => openReplace(connection)}>
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

/** Where a connection's key is, project by project. */
function Deliveries({ projects }: { projects: ConnectionProject[] }) {
  if (projects.length === 0) return <p className="text-xs text-muted">Not used by a project yet.</p>;
  return (
    <div className="flex flex-wrap items-center gap-1.5 text-xs">
      <span className="text-muted">In {projects.length === 1 ? "1 project" : `${projects.length} projects`}:</span>
      {projects.map((project) => {
        const said = project.delivery ? DELIVERY_STATUS[project.delivery.status] : { word: "when it runs", tone: "neutral" as const };
        const title = project.delivery ? [project.delivery.reason, exact(project.delivery.at)].filter(Boolean).join(" · ") : "The agent isn’t running: it gets the key when it starts.";
        return (
          <Link
            key={project.project_id}
            to="/projects/$id"
            params={{ id: project.project_id }}
            title={title}
            className="inline-flex h-6 max-w-full items-center gap-1.5 rounded-md border border-line bg-sunken px-2 hover:border-line-strong"
          >
            <span aria-hidden className={cn("size-1.5 shrink-0 rounded-full", DOTS[said.tone])} />
            <span className="truncate">{project.project_name}</span>
            <span className={cn("whitespace-nowrap", TONE_TEXT[said.tone])}>{said.word}</span>
          </Link>
        );
      })}
    </div>
  );
}
