import type { Project } from "../api/types";
import { Button } from "../ui/button";
import { Notice } from "../ui/notice";
import { useFailureButton, type WorkspaceControls } from "./failure-actions";
import { Elapsed, JobSteps } from "./job-steps";
import { QueuePaused } from "./queue-pause";
import { waitsForRoom } from "./states";

const TITLES: Record<string, string> = {
  launch_project: "Launching",
  start_project: "Starting",
  stop_project: "Stopping",
  delete_project: "Deleting",
};

/** The project's job where the app will be, until the app is there. */
export function LaunchPanel({ project, controls }: { project: Project; controls: WorkspaceControls }) {
  const { job } = project;
  const failure = job?.error ?? null;
  const waitsFor = job?.waits_for ?? null;
  const inQueue = waitsForRoom(project);
  const button = useFailureButton(project, waitsFor ?? failure, controls, job?.id ?? null);
  const action = button && (
    <Button variant="primary" size="sm" busy={button.busy} onClick={button.run}>
      {button.label}
    </Button>
  );
  if (job === null) {
    return (
      <div className="grid flex-1 place-content-center p-6 text-muted" role="status">
        {project.state === "failed" ? "The project failed." : "Waiting for its turn…"}
      </div>
    );
  }
  const failedStep = job.steps.some((step) => step.state === "failed");
  const over = job.state === "failed" || job.state === "stuck";
  const title = TITLES[job.kind] ?? "Working";
  return (
    <div className="min-h-0 flex-1 overflow-y-auto">
      <div className="mx-auto grid max-w-md gap-5 px-6 py-[clamp(1.5rem,8vh,5rem)]">
        <header className="grid gap-0.5">
          <h2 className="text-lg font-semibold tracking-tight">
            {over ? `${title} ${project.name} failed` : inQueue ? `${project.name} is in the queue` : waitsFor ? `${project.name} needs a key` : `${title} ${project.name}`}
          </h2>
          <p className="text-sm text-muted tabular-nums" role="status">
            {job.state === "queued" && (inQueue ? "It starts by itself. Your prompt is kept." : waitsFor ? "It goes on by itself as soon as there is one. Your prompt is kept." : "Waiting for its turn")}
            {job.state === "running" && (job.direction === "undo" ? "Undoing what was done" : <>Running{job.started_at && <> for <Elapsed since={job.started_at} /></>}</>)}
            {job.state === "cancelled" && "Cancelled"}
            {over && (job.direction === "undo" ? "What was done has been undone." : "Your prompt and files are kept.")}
          </p>
        </header>
        {job.state === "queued" && job.started_at === null && <QueuePaused />}
        {waitsFor && <Notice tone="amber" title={waitsFor.message} actions={action} />}
        <JobSteps job={job}>{action}</JobSteps>
        {over && !failedStep && <Notice tone="red" role="alert" title={failure?.message ?? "The job failed."} actions={action} />}
        {over && failedStep && (
          <p aria-live="assertive" className="sr-only">
            {failure?.message}
          </p>
        )}
      </div>
    </div>
  );
}
