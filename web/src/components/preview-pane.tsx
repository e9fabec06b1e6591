import { useQuery } from "@tanstack/react-query";
import { CircleAlert, ExternalLink, LoaderCircle, MonitorPlay, RotateCw, Smartphone } from "lucide-react";
import { useState, type ReactNode } from "react";
import { api, asApiError, take } from "../api/client";
import type { Project } from "../api/types";
import { Button } from "../ui/button";
import { cn } from "../ui/cn";
import { toast } from "../ui/toast";
import { IconButton } from "../ui/tooltip";
import type { WorkspaceControls } from "./failure-actions";
import { LaunchPanel } from "./launch-panel";
import { useProjectActions } from "./project-actions";
import { WithCode } from "../ui/with-code";

function ticket(id: string) {
  return take(api.POST("/api/projects/{id}/preview-ticket", { params: { path: { id } } }));
}

/** A ticket lets one browser in once, so each load of the frame takes a new one. */
function useTicket(project: Project, load: number, ready: boolean) {
  const { id } = project;
  return useQuery({
    // An app that was restarted has forgotten who was let in.
    queryKey: ["ticket", id, project.instance?.id, load],
    queryFn: () => ticket(id),
    enabled: ready,
    staleTime: Infinity,
    gcTime: 0,
    refetchOnMount: false,
  });
}

export function usePreview(project: Project) {
  const [load, setLoad] = useState(0);
  const [phone, setPhone] = useState(false);
  const ready = project.preview.state === "ready" && project.state === "running";
  const openApart = async () => {
    // Opened by the press itself, or the browser blocks it.
    const tab = window.open("", "_blank");
    if (tab === null) return;
    tab.opener = null;
    try {
      tab.location.replace((await ticket(project.id)).url);
    } catch (error) {
      tab.close();
      toast(asApiError(error).message, "bad");
    }
  };
  return { load, reload: () => setLoad(load + 1), phone, setPhone, ready, openApart };
}

export type Preview = ReturnType<typeof usePreview>;

export function PreviewControls({ preview }: { preview: Preview }) {
  return (
    <>
      <IconButton size="icon-sm" label="Phone width" aria-pressed={preview.phone} disabled={!preview.ready} onClick={() => preview.setPhone(!preview.phone)} className={preview.phone ? "bg-hover text-text" : ""} icon={<Smartphone className="size-4" aria-hidden />} />
      <IconButton size="icon-sm" label="Reload the app" disabled={!preview.ready} onClick={preview.reload} icon={<RotateCw className="size-4" aria-hidden />} />
      <IconButton size="icon-sm" label="Open in a new tab" disabled={!preview.ready} onClick={() => void preview.openApart()} icon={<ExternalLink className="size-4" aria-hidden />} />
    </>
  );
}

export function PreviewPane({ project, preview, controls }: { project: Project; preview: Preview; controls: WorkspaceControls }) {
  const { start } = useProjectActions(project.id);
  switch (project.state) {
    case "launching":
    case "stopping":
    case "failed":
    case "deleting":
      return <LaunchPanel project={project} controls={controls} />;
    case "stopped":
      return (
        <State
          icon={<MonitorPlay aria-hidden />}
          title="The project is stopped"
          actions={
            <Button variant="primary" busy={start.isPending} onClick={() => start.mutate()}>
              Start
            </Button>
          }
        >
          Its files and its conversation are here. A prompt starts it too.
        </State>
      );
    case "running":
      return <RunningPreview project={project} preview={preview} controls={controls} />;
  }
}

function RunningPreview({ project, preview, controls }: { project: Project; preview: Preview; controls: WorkspaceControls }) {
  const { reason } = project.preview;
  const { start } = useProjectActions(project.id);
  switch (project.preview.state) {
    case "off":
      return (
        <State icon={<MonitorPlay aria-hidden />} title="The app isn’t running">
          {reason ?? "It starts by itself once the agent is up."}
        </State>
      );
    case "installing":
      return (
        <State icon={<LoaderCircle className="animate-spin" aria-hidden />} title="Installing packages" actions={<Button size="sm" onClick={controls.openLogs}>Open the log</Button>}>
          {reason ?? "The agent works meanwhile."}
        </State>
      );
    case "starting":
      return (
        <State icon={<LoaderCircle className="animate-spin" aria-hidden />} title="Starting the app">
          {reason ?? "A few seconds."}
        </State>
      );
    case "not_installed":
      return (
        <State
          tone="red"
          icon={<CircleAlert aria-hidden />}
          title="The app’s packages couldn’t be installed"
          actions={
            <>
              <Button variant="primary" size="sm" busy={start.isPending} onClick={() => start.mutate()}>
                Try again
              </Button>
              <Button size="sm" onClick={controls.openLogs}>
                Open the log
              </Button>
            </>
          }
        >
          <WithCode>{reason ?? "The log says more."}</WithCode> The agent works meanwhile.
        </State>
      );
    case "failed":
      return (
        <State
          tone="red"
          icon={<CircleAlert aria-hidden />}
          title="The app doesn’t run"
          actions={
            <>
              <Button variant="primary" size="sm" onClick={() => controls.suggest(`The preview doesn’t start: ${reason ?? "see its log"}\nPlease find out why and fix it.`)}>
                Ask the agent to fix it
              </Button>
              <Button size="sm" onClick={controls.openLogs}>
                Open the log
              </Button>
            </>
          }
        >
          <WithCode>{reason ?? "Its server ended. The log says more."}</WithCode>
        </State>
      );
    case "ready":
      return <Frame project={project} preview={preview} />;
  }
}

function Frame({ project, preview }: { project: Project; preview: Preview }) {
  const { data, error } = useTicket(project, preview.load, preview.ready);
  const [shown, setShown] = useState<string | null>(null);
  if (error) {
    const problem = asApiError(error);
    return (
      <State tone="red" icon={<CircleAlert aria-hidden />} title={problem.message} actions={<Button size="sm" onClick={preview.reload}>Try again</Button>}>
        {problem.hint}
      </State>
    );
  }
  return (
    <div className={cn("relative flex min-h-0 flex-1 justify-center", preview.phone && "bg-sunken py-4")}>
      {data?.url !== shown && (
        <p role="status" className="absolute inset-0 grid place-content-center text-sm text-faint">
          Loading the app…
        </p>
      )}
      {data && (
        <iframe
          key={data.url}
          title={`${project.name}, running`}
          src={data.url}
          onLoad={() => setShown(data.url)}
          // The app is another origin's: it may be itself, and may not take this window elsewhere.
          sandbox="allow-scripts allow-same-origin allow-forms allow-modals allow-popups allow-popups-to-escape-sandbox allow-downloads"
          allow="clipboard-write; fullscreen"
          referrerPolicy="no-referrer"
          className={cn("h-full bg-white", preview.phone ? "w-[390px] max-w-full rounded-xl border border-line-strong" : "w-full", data.url !== shown && "opacity-0")}
        />
      )}
    </div>
  );
}

function State({ icon, title, children, actions, tone }: { icon: ReactNode; title: string; children?: ReactNode; actions?: ReactNode; tone?: "red" }) {
  return (
    <div className="grid min-h-0 flex-1 content-center justify-items-center gap-3 overflow-y-auto p-6 text-center">
      <span className={cn("[&>svg]:size-6", tone === "red" ? "text-red" : "text-faint")}>{icon}</span>
      <div className="grid max-w-md gap-1" role="status">
        <h2 className="text-base font-medium">{title}</h2>
        <p className="break-words text-muted">{children}</p>
      </div>
      {actions && <div className="flex flex-wrap justify-center gap-2">{actions}</div>}
    </div>
  );
}
