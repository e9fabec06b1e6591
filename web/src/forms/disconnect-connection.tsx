import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, asApiError, done } from "../api/client";
import { projectsQuery } from "../api/queries";
import type { Connection } from "../api/types";
import { isAnswering } from "../components/states";
import { applyEvents } from "../stream/cache";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFooter } from "../ui/dialog";
import { Notice } from "../ui/notice";
import { toast } from "../ui/toast";

export default function DisconnectConnection({ connection, onClose }: { connection: Connection; onClose: () => void }) {
  const cache = useQueryClient();
  const { data: projects } = useQuery(projectsQuery);
  const disconnect = useMutation({
    mutationFn: () => done(api.DELETE("/api/connections/{id}", { params: { path: { id: connection.id } } })),
    onSuccess: () => {
      applyEvents(cache, [{ id: "", type: "connection_deleted", connection_id: connection.id }]);
      toast(`${connection.provider_name} is disconnected.`);
      onClose();
    },
  });
  const answering = new Set((projects ?? []).filter(isAnswering).map((project) => project.id));
  return (
    <Dialog open onClose={onClose} title={`Disconnect ${connection.provider_name}?`} width="sm">
      <DialogBody>
        <p className="text-base">
          The key <span className="font-medium">{connection.label}</span> (··{connection.last_four}) is removed from this server
          {connection.projects.length > 0 ? " and from the agents that hold it." : "."}
        </p>
        {connection.projects.length === 0 ? (
          <p className="text-muted">No project uses it.</p>
        ) : (
          <div className="grid gap-1.5">
            <p className="text-muted">{connection.projects.length === 1 ? "One project uses it" : `${connection.projects.length} projects use it`}:</p>
            <ul className="max-h-40 divide-y divide-line overflow-y-auto rounded-md border border-line">
              {connection.projects.map((project) => (
                <li key={project.project_id} className="flex items-center gap-2 px-2.5 py-1.5">
                  <span className="min-w-0 flex-1 truncate">{project.project_name}</span>
                  {answering.has(project.project_id) && <span className="text-xs text-amber">is answering: it loses the key at once</span>}
                </li>
              ))}
            </ul>
            <p className="text-xs text-muted">They keep their files and conversations, and need another key for the next prompt.</p>
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
