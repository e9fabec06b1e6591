import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Plug } from "lucide-react";
import { connectionsQuery, projectConnectionsQuery } from "../api/queries";
import type { Connection, Project, ProjectConnection } from "../api/types";
import { Badge, TONE_TEXT, type Tone } from "../ui/badge";
import { Button } from "../ui/button";
import { cn } from "../ui/cn";
import { Skeleton } from "../ui/skeleton";
import { openDialog } from "./dialogs";
import { PageError } from "./page-error";
import { Payer } from "./payer";
import { useProjectActions } from "./project-actions";
import { ProviderMark } from "./provider-mark";
import { RelativeTime } from "./relative-time";
import { DELIVERY_STATUS } from "./states";

/** Which connection pays in a project, provider by provider, and how far the agent has it. */
export function ConnectionsPane({ project }: { project: Project }) {
  const { data: used, error, refetch, isPending } = useQuery(projectConnectionsQuery(project.id));
  const { data: connections } = useQuery(connectionsQuery);
  return (
    <div className="min-h-0 flex-1 overflow-y-auto p-4">
      {isPending && (
        <div className="grid gap-px" aria-busy aria-label="Reading the connections">
          <Skeleton className="h-16" />
          <Skeleton className="h-16" />
        </div>
      )}
      {!isPending && used === undefined && <PageError error={error} onRetry={() => void refetch()} />}
      {used?.length === 0 && (
        <div className="grid justify-items-center gap-4 px-6 py-12 text-center">
          <Plug className="size-6 text-faint" aria-hidden />
          <p className="max-w-sm text-muted">No provider is connected: nobody can pay for an answer.</p>
          <Button variant="primary" onClick={() => openDialog({ kind: "connect-provider" })}>
            Connect a provider
          </Button>
        </div>
      )}
      {used && used.length > 0 && (
        <div className="mx-auto grid max-w-[46rem] gap-3">
          <p className="text-sm text-muted">The connections this project’s agent is given, one for each provider. Another one takes over when the agent is idle: an answer is paid for by whom it began with.</p>
          <ul className="divide-y divide-line rounded-lg border border-line bg-surface">
            {used.map((each) => (
              <Row key={each.provider_id} project={project} used={each} all={(connections ?? []).filter((one) => one.provider_id === each.provider_id && one.status !== "revoked")} />
            ))}
          </ul>
          <p className="text-sm">
            <Link to="/settings/providers" className="text-muted underline decoration-line-strong underline-offset-4 hover:text-text">
              All connections
            </Link>
          </p>
        </div>
      )}
    </div>
  );
}

function Row({ project, used, all }: { project: Project; used: ProjectConnection; all: Connection[] }) {
  const { switchConnection } = useProjectActions(project.id);
  const take = (id: string) => switchConnection.mutate({ [used.provider_id]: id });
  const said = deliveryWords(used, all);
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-2 px-4 py-3">
      <ProviderMark id={used.provider_id} name={used.provider_name} className="size-7" />
      <div className="grid min-w-0 flex-1 basis-48 gap-0.5">
        <h3 className="flex flex-wrap items-center gap-x-2 gap-y-1 text-sm font-medium">
          {used.provider_name}
          <span className="min-w-0 truncate font-normal text-muted">{used.label}</span>
          {project.model.provider_id === used.provider_id && <Badge tone="accent">this project’s model</Badge>}
          {!used.chosen && all.length > 1 && <Badge title="Nothing was chosen here: it follows the default.">default</Badge>}
        </h3>
        <p role="status" className="text-xs text-muted">
          <span className={TONE_TEXT[said.tone]}>{said.word}</span>
          {said.reason !== null && <>: {said.reason}</>}
          {used.delivery && (
            <span className="text-faint">
              {" · "}
              <RelativeTime at={used.delivery.at} />
            </span>
          )}
        </p>
      </div>
      {used.delivery?.status === "failed" && (
        <Button size="sm" busy={switchConnection.isPending} onClick={() => take(used.connection_id)}>
          Try again
        </Button>
      )}
      <Payer connections={all} value={used.connection_id} onChange={take} onFollow={used.chosen ? () => switchConnection.mutate({ [used.provider_id]: null }) : undefined} busy={switchConnection.isPending} className={cn("max-w-48")} />
    </li>
  );
}

/** How far a project's agent has a connection, in a word and with the reason. */
export function deliveryWords({ delivery, connection_id }: ProjectConnection, all: Connection[]): { word: string; tone: Tone; reason: string | null } {
  if (delivery === null || delivery.status === "revoked") return { word: "when it runs", tone: "neutral", reason: "the agent gets it when it starts" };
  const said = DELIVERY_STATUS[delivery.status];
  if (delivery.status === "failed" || delivery.connection_id === connection_id) return { ...said, reason: delivery.reason };
  const before = all.find((each) => each.id === delivery.connection_id)?.label;
  return { ...DELIVERY_STATUS.stale, reason: before === undefined ? delivery.reason : `until then ${before} pays` };
}
