import { useQuery } from "@tanstack/react-query";
import { Plus, Plug } from "lucide-react";
import { connectionsQuery } from "../../api/queries";
import { ConnectionRow } from "../../components/connection-row";
import { openDialog } from "../../components/dialogs";
import { PageError } from "../../components/page-error";
import { Button } from "../../ui/button";
import { Skeleton } from "../../ui/skeleton";

export default function Providers() {
  const { data: connections, error, refetch, isPending } = useQuery(connectionsQuery);
  return (
    <section className="grid gap-4">
      <title>Providers · doce</title>
      <header className="flex flex-col items-start gap-3 sm:flex-row">
        <div className="min-w-0 flex-1">
          <h1 className="text-xl font-semibold tracking-tight">Providers</h1>
          <p className="text-muted">Keys are sealed on this server. Each project’s agent is given the ones it uses.</p>
        </div>
        {connections && connections.length > 0 && (
          <Button variant="primary" icon={<Plus className="size-4" aria-hidden />} onClick={() => openDialog({ kind: "connect-provider" })}>
            Connect a provider
          </Button>
        )}
      </header>
      {isPending && (
        <div className="grid gap-px" aria-busy aria-label="Reading your connections">
          <Skeleton className="h-28" />
          <Skeleton className="h-28" />
        </div>
      )}
      {!isPending && connections === undefined && <PageError error={error} onRetry={() => void refetch()} />}
      {connections?.length === 0 && (
        <div className="grid justify-items-center gap-4 rounded-lg border border-dashed border-line-strong px-6 py-12 text-center">
          <Plug className="size-6 text-faint" aria-hidden />
          <div className="grid gap-1">
            <h2 className="text-base font-medium">No provider is connected</h2>
            <p className="max-w-sm text-muted">Connect one once, by its API key. Every project’s agent gets it by itself.</p>
          </div>
          <Button variant="primary" onClick={() => openDialog({ kind: "connect-provider" })}>
            Connect a provider
          </Button>
        </div>
      )}
      {connections && connections.length > 0 && (
        <ul className="divide-y divide-line rounded-lg border border-line bg-surface">
          {[...connections]
            .sort((a, b) => a.provider_name.localeCompare(b.provider_name) || a.created_at.localeCompare(b.created_at))
            .map((connection) => (
              <ConnectionRow key={connection.id} connection={connection} />
            ))}
        </ul>
      )}
    </section>
  );
}
