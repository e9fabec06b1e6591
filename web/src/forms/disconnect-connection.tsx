import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, asApiError, done } from "../api/client";
import { connectionProjectsQuery, connectionsQuery, projectsQuery } from "../api/queries";
import type { Connection } from "../api/types";
import { isAnswering } from "../components/states";
import { applyEvents } from "../stream/cache";
import { Button } from "../ui/button";
import { cn } from "../ui/cn";
import { Dialog, DialogBody, DialogFooter } from "../ui/dialog";
import { Notice } from "../ui/notice";
import { Skeleton } from "../ui/skeleton";
import { toast } from "../ui/toast";

/** Which of the same provider's connections takes its place: the default, or else the one that was made first. */
function heirOf(leaving: Connection, all: Connection[]): Connection | undefined {
  const others = all.filter((each) => each.provider_id === leaving.provider_id && each.id !== leaving.id && each.status !== "revoked");
  return others.find((each) => each.is_default) ?? others.toSorted((a, b) => (a.created_at < b.created_at ? -1 : a.created_at > b.created_at ? 1 : a.id < b.id ? -1 : 1))[0];
}

export default function DisconnectConnection({ connection, onClose }: { connection: Connection; onClose: () => void }) {
  const cache = useQueryClient();
  const { data: projects } = useQuery(projectsQuery);
  const { data: connections } = useQuery(connectionsQuery);
  const { data: users, isError } = useQuery({ ...connectionProjectsQuery(connection.id), enabled: connection.project_count > 0 });
  const disconnect = useMutation({
    mutationFn: () => done(api.DELETE("/api/connections/{id}", { params: { path: { id: connection.id } } })),
    onSuccess: () => {
      applyEvents(cache, [{ id: "", type: "connection_deleted", connection_id: connection.id }]);
      toast(`${connection.provider_name} is disconnected.`);
      onClose();
    },
  });
  const heir = heirOf(connection, connections ?? []);
  // One that has run out isn't delivered: then nobody pays, and a running answer is not left to end.
  const paying = heir !== undefined && heir.status !== "expired";
  const used = connection.project_count;
  const answering = new Set((projects ?? []).filter(isAnswering).map((project) => project.id));
  return (
    <Dialog open onClose={onClose} title={`Disconnect ${connection.provider_name}?`} width="sm">
      <DialogBody>
        <p className="text-base">
          The {nounOf(connection)} <Named connection={connection} /> is removed from this server{used > 0 ? " and from the agents that hold it." : "."}
          {connections !== undefined && heir === undefined && connection.provider_id.startsWith("custom-") && " The endpoint’s address and models are forgotten with it."}
        </p>
        {used === 0 ? (
          <p className="text-muted">
            No project uses it.
            {heir && connection.is_default && (
              <>
                {" "}
                <Named connection={heir} /> is your default for {connection.provider_name} from then on.
              </>
            )}
          </p>
        ) : (
          <div className="grid gap-1.5">
            <p className="text-muted">
              {used === 1 ? "One project uses it" : `${used} projects use it`}
              {isError ? ". Which could not be read." : ":"}
            </p>
            {users === undefined && !isError && <Skeleton className="h-8" />}
            <ul className={cn("max-h-40 divide-y divide-line overflow-y-auto rounded-md border border-line", users === undefined && "hidden")}>
              {users?.map((project) => (
                <li key={project.project_id} className="flex flex-wrap items-center gap-x-2 px-2.5 py-1.5">
                  <span className="min-w-0 flex-1 truncate">{project.project_name}</span>
                  {connections !== undefined && answering.has(project.project_id) && <span className="text-xs text-amber">{paying ? "is answering: this answer ends first" : "is answering: cut off after a minute at most"}</span>}
                </li>
              ))}
            </ul>
            <p className="text-sm text-muted">
              {connections === undefined ? null : heir === undefined ? (
                <>
                  {used === 1 ? "It keeps its" : "They keep their"} files and conversations. The next prompt to a model of {connection.provider_name} needs another key.
                </>
              ) : (
                <>
                  <Named connection={heir} /> pays in {used === 1 ? "this project" : "these projects"} from then on{paying ? "." : ", once it is renewed: it has run out."}
                </>
              )}
            </p>
          </div>
        )}
        {disconnect.error && (
          <Notice tone="red" role="alert" title={asApiError(disconnect.error).message}>
            {asApiError(disconnect.error).hint}
          </Notice>
        )}
      </DialogBody>
      <DialogFooter>
        <Button autoFocus onClick={onClose}>
          Cancel
        </Button>
        <Button variant="danger-solid" busy={disconnect.isPending} onClick={() => disconnect.mutate()}>
          Disconnect
        </Button>
      </DialogFooter>
    </Dialog>
  );
}

function nounOf(connection: Connection): string {
  if (connection.auth_type === "oauth") return "sign-in";
  return connection.last_four === "" ? "connection" : "key";
}

/** What its owner calls it, and the end of its key if it has one; tokens of a sign-in change by themselves. */
function Named({ connection }: { connection: Connection }) {
  return (
    <>
      <span className="font-medium text-text">{connection.label}</span>
      {connection.auth_type === "api" && connection.last_four !== "" && ` (··${connection.last_four})`}
    </>
  );
}
