import { CircleAlert, CircleCheck, CircleDashed, CirclePause, LoaderCircle, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import type { Project } from "../api/types";
import { TONE_TEXT, type Tone } from "../ui/badge";
import { cn } from "../ui/cn";
import { projectWords } from "./states";

const ICONS: Record<Project["state"], ReactNode> = {
  launching: <LoaderCircle className="animate-spin" aria-hidden />,
  running: <CircleCheck aria-hidden />,
  stopping: <LoaderCircle className="animate-spin" aria-hidden />,
  stopped: <CirclePause aria-hidden />,
  failed: <CircleAlert aria-hidden />,
  deleting: <CircleDashed className="animate-spin" aria-hidden />,
};

/** A project's state as an icon and a word. */
export function StateWord({ project, className }: { project: Project; className?: string }) {
  const { word, tone } = projectWords(project);
  const busy = project.state === "running" && project.session.kind === "busy";
  const icon = busy ? <LoaderCircle className="animate-spin" aria-hidden /> : tone === "amber" ? <TriangleAlert aria-hidden /> : ICONS[project.state];
  return (
    <Word tone={tone} icon={icon} className={className}>
      {word}
    </Word>
  );
}

export function Word({ tone, icon, children, className }: { tone: Tone; icon: ReactNode; children: ReactNode; className?: string | undefined }) {
  return <span className={cn("flex items-center gap-1 whitespace-nowrap [&>svg]:size-3.5", TONE_TEXT[tone], className)}>{icon}{children}</span>;
}
