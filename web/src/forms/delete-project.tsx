import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, asApiError, take } from "../api/client";
import type { Project } from "../api/types";
import { putProject } from "../components/project-actions";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFooter } from "../ui/dialog";
import { Notice } from "../ui/notice";
import { toast } from "../ui/toast";

export default function DeleteProject({ project, onClose, onDeleted }: { project: Project; onClose: () => void; onDeleted?: () => void }) {
  const cache = useQueryClient();
  const remove = useMutation({
    mutationFn: () => take(api.DELETE("/api/projects/{id}", { params: { path: { id: project.id } } })),
    onSuccess: (job) => {
      putProject(cache, { ...project, state: "deleting", desired: "deleted", job });
      toast(`Deleting ${project.name}.`);
      onClose();
      onDeleted?.();
    },
  });
  return (
    <Dialog open onClose={onClose} title={`Delete ${project.name}?`} width="sm">
      <DialogBody>
        <p className="text-base">Its files, its conversation and everything its agent made are removed from this server. This can’t be undone.</p>
        {project.state === "running" && <p className="text-muted">The agent is running and is stopped first.</p>}
        {remove.error && (
          <Notice tone="red" role="alert" title={asApiError(remove.error).message}>
            {asApiError(remove.error).hint}
          </Notice>
        )}
      </DialogBody>
      <DialogFooter>
        <Button autoFocus onClick={onClose}>
          Cancel
        </Button>
        <Button variant="danger-solid" busy={remove.isPending} onClick={() => remove.mutate()}>
          Delete project
        </Button>
      </DialogFooter>
    </Dialog>
  );
}
