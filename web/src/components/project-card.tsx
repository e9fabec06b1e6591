import { Link } from "@tanstack/react-router";
import { EllipsisVertical, Pencil, Play, Square, Trash2 } from "lucide-react";
import { memo } from "react";
import type { Project } from "../api/types";
import { Menu, MenuItem, MenuSeparator } from "../ui/menu";
import { openDialog } from "./dialogs";
import { useProjectActions } from "./project-actions";
import { ProjectSketch } from "./project-sketch";
import { RelativeTime } from "./relative-time";
import { StateWord } from "./state-word";
import { PROJECT_ACTIONS } from "./states";

export const ProjectCard = memo(function ProjectCard({ project }: { project: Project }) {
  const reason = project.state === "failed" ? project.job?.error?.message : undefined;
  return (
    <li className="group relative grid overflow-hidden rounded-lg border border-line bg-surface transition-colors hover:border-line-strong has-[a:focus-visible]:outline-2 has-[a:focus-visible]:outline-accent">
      <ProjectSketch seed={project.id} className="h-28 w-full border-b border-line bg-sunken" />
      <div className="grid gap-0.5 px-3 py-2.5">
        <div className="flex items-center gap-2">
          <Link to="/projects/$id" params={{ id: project.id }} className="min-w-0 flex-1 truncate text-base font-medium outline-none after:absolute after:inset-0">
            {project.name}
          </Link>
          <ProjectMenu project={project} />
        </div>
        <p className="flex min-w-0 items-center gap-1.5 text-xs text-muted">
          <StateWord project={project} />
          <span aria-hidden className="text-faint">
            ·
          </span>
          {reason ? (
            <span className="truncate" title={reason}>
              {reason}
            </span>
          ) : (
            <RelativeTime at={project.last_active_at} className="truncate" />
          )}
        </p>
      </div>
    </li>
  );
});

function ProjectMenu({ project }: { project: Project }) {
  const { start, stop } = useProjectActions(project.id);
  const allowed = PROJECT_ACTIONS[project.state];
  return (
    <Menu
      trigger={
        <button type="button" aria-label={`${project.name}: actions`} className="relative z-10 -my-1 -mr-1.5 rounded-md p-1.5 text-faint hover:bg-hover hover:text-text data-[state=open]:bg-hover">
          <EllipsisVertical className="size-4" aria-hidden />
        </button>
      }
    >
      {allowed.start && (
        <MenuItem icon={<Play aria-hidden />} onSelect={() => start.mutate()}>
          Start
        </MenuItem>
      )}
      {allowed.stop && (
        <MenuItem icon={<Square aria-hidden />} onSelect={() => stop.mutate()}>
          Stop
        </MenuItem>
      )}
      <MenuItem icon={<Pencil aria-hidden />} onSelect={() => openDialog({ kind: "rename-project", project })}>
        Rename
      </MenuItem>
      <MenuSeparator />
      <MenuItem danger disabled={!allowed.delete} icon={<Trash2 aria-hidden />} onSelect={() => openDialog({ kind: "delete-project", project })}>
        Delete
      </MenuItem>
    </Menu>
  );
}
