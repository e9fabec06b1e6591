import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "../api/client";
import type { Project } from "../api/types";
import { putProject } from "../components/project-actions";
import { RenameDialog } from "./rename-dialog";

export default function RenameProject({ project, onClose }: { project: Project; onClose: () => void }) {
  const cache = useQueryClient();
  const rename = useMutation({
    mutationFn: (name: string) => take(api.PATCH("/api/projects/{id}", { params: { path: { id: project.id } }, body: { name } })),
    onSuccess: (changed) => {
      putProject(cache, changed);
      onClose();
    },
  });
  return <RenameDialog title="Rename project" label="Name" value={project.name} mutation={rename} onClose={onClose} />;
}
