import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { ChevronDown, ChevronLeft, FileText, KeyRound, MessageSquare, MonitorPlay, Pencil, Play, ScrollText, Square, Trash2, Ellipsis } from "lucide-react";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { asApiError } from "../api/client";
import { projectQuery, type LogSource } from "../api/queries";
import type { Project } from "../api/types";
import { ConnectionsPane } from "../components/connections-pane";
import { Conversation } from "../components/conversation";
import { isDialogOpen, openDialog } from "../components/dialogs";
import type { WorkspaceControls } from "../components/failure-actions";
import { FilesPane } from "../components/files-pane";
import { Header } from "../components/header";
import { LogsPane } from "../components/logs-pane";
import { PageError } from "../components/page-error";
import { PreviewControls, PreviewPane, usePreview } from "../components/preview-pane";
import { useProjectActions } from "../components/project-actions";
import { Splitter, useSplit } from "../components/splitter";
import { StateWord } from "../components/state-word";
import { isAnswering, PROJECT_ACTIONS } from "../components/states";
import { useDraft } from "../components/use-draft";
import { SendPromptForm } from "../forms/send-prompt";
import type { WorkspaceTab } from "../router";
import { Button } from "../ui/button";
import { cn } from "../ui/cn";
import { Menu, MenuItem, MenuSeparator } from "../ui/menu";
import { Skeleton } from "../ui/skeleton";
import { TabList, TabPanel, Tabs } from "../ui/tabs";
import { NotFound } from "./not-found";

const route = getRouteApi("/signed-in/projects/$id");

export default function ProjectPage() {
  const { id } = route.useParams();
  const { data: project, error, refetch } = useQuery(projectQuery(id));
  if (project !== undefined) return <Workspace key={project.id} project={project} />;
  if (error && asApiError(error).status === 404) return <NotFound />;
  return (
    <>
      <Header />
      {error ? <PageError error={error} onRetry={() => void refetch()} /> : <Loading />}
    </>
  );
}

/** Which log says why the preview is as it is. */
const LOG_OF: Record<Project["preview"]["state"], LogSource> = {
  off: "agent",
  installing: "install",
  not_installed: "install",
  starting: "preview",
  ready: "agent",
  failed: "preview",
};

function Workspace({ project }: { project: Project }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { share, change } = useSplit();
  const [draft, setDraft] = useDraft(project.id);
  const [pickingModel, setPickingModel] = useState(false);
  const [logSource, setLogSource] = useState<LogSource>("agent");
  const field = useRef<HTMLTextAreaElement>(null);
  const preview = usePreview(project);
  const { abort } = useProjectActions(project.id);
  const tab = search.tab ?? "conversation";
  const right = tab === "files" || tab === "logs" || tab === "connections" ? tab : "preview";
  const goTo = (next: WorkspaceTab) => void navigate({ search: (old) => ({ ...old, tab: next }), replace: true });

  const controls: WorkspaceControls = {
    pickModel: () => {
      goTo("conversation");
      setPickingModel(true);
    },
    openLogs: () => {
      setLogSource(LOG_OF[project.preview.state]);
      goTo("logs");
    },
    suggest: (text) => {
      setDraft(text);
      goTo("conversation");
      requestAnimationFrame(() => field.current?.focus());
    },
  };

  const answering = isAnswering(project);
  const { mutate: stopAnswer } = abort;
  useEffect(() => {
    if (!answering) return;
    const onKeyDown = (event: KeyboardEvent) => {
      // Something that is open closes first; only then does Escape mean the answer.
      const overlay = document.querySelector("[data-radix-popper-content-wrapper]");
      if (event.key === "Escape" && !event.defaultPrevented && !isDialogOpen() && overlay === null) stopAnswer();
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [answering, stopAnswer]);

  return (
    <>
      <title>{`${project.name} · doce`}</title>
      <ProjectHeader project={project} />
      <div className="flex min-h-0 flex-1">
        <section
          aria-label="Conversation"
          className={cn("min-h-0 w-full min-w-0 flex-col md:flex md:w-[var(--share)] md:shrink-0", tab === "conversation" ? "flex" : "hidden")}
          style={{ "--share": `${share}%` }}
        >
          <Conversation project={project} controls={controls} />
          <SendPromptForm project={project} text={draft} onText={setDraft} fieldRef={field} pickingModel={pickingModel} onPickingModel={setPickingModel} />
        </section>
        <Splitter share={share} change={change} />
        <section aria-label="App and files" className={cn("min-h-0 min-w-0 flex-1 flex-col md:flex", tab === "conversation" ? "hidden" : "flex")}>
          <Tabs value={right} onChange={(value) => goTo(value as WorkspaceTab)} className={cn("min-h-0 flex-1 flex-col md:flex", tab === "more" ? "hidden" : "flex")}>
            <div className="flex h-11 shrink-0 items-center gap-2 border-b border-line px-2">
              <div className="hidden md:block">
                <TabList
                  label="Panes"
                  tabs={[
                    { value: "preview", label: "Preview" },
                    { value: "files", label: "Files" },
                    { value: "logs", label: "Logs" },
                    { value: "connections", label: "Connections" },
                  ]}
                />
              </div>
              <h2 className="px-2 text-base font-medium md:hidden">{{ preview: "Preview", files: "Files", logs: "Logs", connections: "Connections" }[right]}</h2>
              <span className="flex-1" />
              {right === "preview" && <PreviewControls preview={preview} />}
            </div>
            <TabPanel value="preview" keep className="flex flex-1 flex-col">
              <PreviewPane project={project} preview={preview} controls={controls} />
            </TabPanel>
            <TabPanel value="files" className="flex flex-1 flex-col">
              <FilesPane
                projectId={project.id}
                file={search.file}
                onFile={(file) => void navigate({ search: { tab: "files", ...(file === undefined ? {} : { file }) }, replace: true })}
              />
            </TabPanel>
            <TabPanel value="logs" className="flex flex-1 flex-col">
              <LogsPane project={project} source={logSource} onSource={setLogSource} />
            </TabPanel>
            <TabPanel value="connections" className="flex flex-1 flex-col">
              <ConnectionsPane project={project} />
            </TabPanel>
          </Tabs>
          {tab === "more" && <More project={project} onLogs={() => goTo("logs")} onConnections={() => goTo("connections")} />}
        </section>
      </div>
      <BottomBar tab={tab} onTab={goTo} answering={answering} />
    </>
  );
}

function ProjectHeader({ project }: { project: Project }) {
  const { start, stop } = useProjectActions(project.id);
  const navigate = route.useNavigate();
  const allowed = PROJECT_ACTIONS[project.state];
  // A failed job has its own button where its reason stands: two would compete.
  const mended = project.state === "failed" && (project.job?.error?.action.kind ?? "none") !== "none";
  return (
    <Header mark={false}>
      <Link to="/" aria-label="Projects" className="-ml-1.5 flex h-8 items-center gap-1 rounded-md pr-2 pl-1 text-sm text-muted hover:bg-hover hover:text-text">
        <ChevronLeft className="size-4" aria-hidden />
        <span className="hidden sm:inline">Projects</span>
      </Link>
      <span aria-hidden className="hidden h-4 w-px bg-line-strong sm:block" />
      <Menu
        align="start"
        trigger={
          <button type="button" className="flex h-8 min-w-0 items-center gap-1 rounded-md px-2 hover:bg-hover data-[state=open]:bg-hover">
            <h1 className="truncate text-base font-semibold">{project.name}</h1>
            <ChevronDown className="size-3.5 shrink-0 text-faint" aria-hidden />
          </button>
        }
      >
        <MenuItem icon={<Pencil aria-hidden />} onSelect={() => openDialog({ kind: "rename-project", project })}>
          Rename
        </MenuItem>
        <MenuItem icon={<Play aria-hidden />} disabled={!allowed.start} onSelect={() => start.mutate()}>
          Start
        </MenuItem>
        <MenuItem icon={<Square aria-hidden />} disabled={!allowed.stop} onSelect={() => stop.mutate()}>
          Stop
        </MenuItem>
        <MenuSeparator />
        <MenuItem danger disabled={!allowed.delete} icon={<Trash2 aria-hidden />} onSelect={() => openDialog({ kind: "delete-project", project, onDeleted: () => void navigate({ to: "/" }) })}>
          Delete
        </MenuItem>
      </Menu>
      <span role="status" className="shrink-0 text-xs">
        <StateWord project={project} />
      </span>
      <span className="flex-1" />
      {allowed.start && !mended && (
        <Button size="sm" busy={start.isPending} icon={<Play className="size-3.5" aria-hidden />} onClick={() => start.mutate()}>
          Start
        </Button>
      )}
      {allowed.stop && (
        <span className="hidden sm:contents">
          <Button size="sm" variant="ghost" busy={stop.isPending} icon={<Square className="size-3" aria-hidden />} onClick={() => stop.mutate()}>
            Stop
          </Button>
        </span>
      )}
    </Header>
  );
}

const BAR: { tab: WorkspaceTab; label: string; icon: ReactNode }[] = [
  { tab: "conversation", label: "Conversation", icon: <MessageSquare aria-hidden /> },
  { tab: "preview", label: "Preview", icon: <MonitorPlay aria-hidden /> },
  { tab: "files", label: "Files", icon: <FileText aria-hidden /> },
  { tab: "more", label: "More", icon: <Ellipsis aria-hidden /> },
];

function BottomBar({ tab, onTab, answering }: { tab: WorkspaceTab; onTab: (tab: WorkspaceTab) => void; answering: boolean }) {
  const current = tab === "logs" || tab === "connections" ? "more" : tab;
  return (
    <nav aria-label="Panes" className="grid shrink-0 grid-cols-4 border-t border-line bg-bg pb-[env(safe-area-inset-bottom)] md:hidden">
      {BAR.map((item) => (
        <button
          key={item.tab}
          type="button"
          aria-current={current === item.tab ? "page" : undefined}
          onClick={() => onTab(item.tab)}
          className="relative grid h-13 content-center justify-items-center gap-0.5 text-xs text-muted aria-[current]:font-medium aria-[current]:text-text [&>svg]:size-5"
        >
          {item.icon}
          {item.label}
          {item.tab === "conversation" && answering && current !== "conversation" && <span aria-label="answering" className="absolute top-2 ml-6 size-1.5 rounded-full bg-accent animate-breathe" />}
        </button>
      ))}
    </nav>
  );
}

function More({ project, onLogs, onConnections }: { project: Project; onLogs: () => void; onConnections: () => void }) {
  const { start, stop } = useProjectActions(project.id);
  const navigate = route.useNavigate();
  const allowed = PROJECT_ACTIONS[project.state];
  const row = "flex h-12 w-full items-center gap-3 px-4 text-left text-base hover:bg-hover disabled:opacity-45 [&>svg]:size-4 [&>svg]:text-muted";
  return (
    <div className="flex-1 divide-y divide-line overflow-y-auto border-b border-line md:hidden">
      <button type="button" className={row} onClick={onLogs}>
        <ScrollText aria-hidden /> Logs
      </button>
      <button type="button" className={row} onClick={onConnections}>
        <KeyRound aria-hidden /> Connections
      </button>
      <button type="button" className={row} onClick={() => openDialog({ kind: "rename-project", project })}>
        <Pencil aria-hidden /> Rename
      </button>
      {allowed.start ? (
        <button type="button" className={row} onClick={() => start.mutate()}>
          <Play aria-hidden /> Start
        </button>
      ) : (
        <button type="button" className={row} disabled={!allowed.stop} onClick={() => stop.mutate()}>
          <Square aria-hidden /> Stop
        </button>
      )}
      <button type="button" className={cn(row, "text-red [&>svg]:text-red")} disabled={!allowed.delete} onClick={() => openDialog({ kind: "delete-project", project, onDeleted: () => void navigate({ to: "/" }) })}>
        <Trash2 aria-hidden /> Delete
      </button>
    </div>
  );
}

function Loading() {
  return (
    <div className="flex min-h-0 flex-1" aria-busy aria-label="Reading the project">
      <div className="grid w-full content-start gap-4 p-4 md:w-[36%]">
        <Skeleton className="h-16" />
        <Skeleton className="h-4 w-3/4" />
        <Skeleton className="h-4 w-1/2" />
      </div>
      <div className="hidden flex-1 border-l border-line md:block" />
    </div>
  );
}
