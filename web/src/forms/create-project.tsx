import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { ArrowRight } from "lucide-react";
import { useRef, useState, type KeyboardEvent, type SubmitEvent } from "react";
import { api, asApiError, take, type ApiError } from "../api/client";
import { keys } from "../api/queries";
import { openDialog } from "../components/dialogs";
import { GrowingText } from "../components/growing-text";
import { ModelPicker } from "../components/model-picker";
import { ModelTrouble } from "../components/model-trouble";
import { useModels, useStartModel, useTrouble } from "../components/models";
import { Payer } from "../components/payer";
import { useDraft } from "../components/use-draft";
import { applyToProjects } from "../stream/patch";
import { Button } from "../ui/button";
import { ENTER, Kbd, MOD, withMod } from "../ui/kbd";
import { Notice } from "../ui/notice";
import type { ModelRef, Project } from "../api/types";

const IDEAS: { label: string; prompt: string }[] = [
  { label: "a landing page", prompt: "A landing page for a small coffee roastery: a warm hero, three coffees with tasting notes, opening hours and where to find us." },
  { label: "a kanban board", prompt: "A kanban board with three columns. Cards can be added, edited, dragged between columns and deleted, and everything stays after a reload." },
  { label: "a markdown notebook", prompt: "A markdown notebook: a list of notes on the left, an editor with a live preview on the right, search, and notes kept in the browser." },
];

export function CreateProjectForm() {
  const cache = useQueryClient();
  const navigate = useNavigate();
  const field = useRef<HTMLTextAreaElement>(null);
  const [prompt, setPrompt] = useDraft("new-project");
  const models = useModels();
  const [model, choose] = useStartModel(models);
  const [picking, setPicking] = useState(false);
  const [payers, setPayers] = useState<Record<string, string>>({});
  const own = (models.connections ?? []).filter((each) => each.provider_id === model?.provider_id && each.status !== "revoked");
  const chosen = own.find((each) => each.id === payers[each.provider_id]);
  const trouble = useTrouble(models, model, chosen);
  const noProvider = models.connections !== undefined && models.connections.length === 0;

  const create = useMutation({
    mutationFn: (input: { prompt: string; model: ModelRef; connections?: Record<string, string> }) => take(api.POST("/api/projects", { body: input })),
    onSuccess: async ({ project, job }) => {
      const known = { ...project, job: project.job ?? job };
      cache.setQueryData(keys.project(project.id), known);
      cache.setQueryData(keys.projects, (list: Project[] | undefined) => list && applyToProjects(list, { id: "", type: "project", project: known }));
      setPrompt("");
      choose(null);
      await navigate({ to: "/projects/$id", params: { id: project.id } });
    },
  });

  const submit = () => {
    if (noProvider) {
      openDialog({ kind: "connect-provider" });
      return;
    }
    if (prompt.trim() === "") {
      field.current?.focus();
      return;
    }
    if (model === null || trouble !== null || create.isPending) return;
    create.mutate({ prompt: prompt.trim(), model, ...(chosen ? { connections: { [model.provider_id]: chosen.id } } : {}) });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && withMod(event)) {
      event.preventDefault();
      submit();
    }
  };
  const onSubmit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    submit();
  };
  const problem = create.error === null ? null : asApiError(create.error);

  return (
    <div className="stack gap-3">
      <form onSubmit={onSubmit} className="rounded-xl border border-line-strong bg-surface transition-colors focus-within:border-edge">
        <GrowingText
          ref={field}
          aria-label="What are you building?"
          placeholder="Describe the app: what it is for, what is on the page, how it should feel."
          className="min-h-24 px-4 pt-3.5"
          value={prompt}
          onChange={(event) => setPrompt(event.target.value)}
          onKeyDown={onKeyDown}
        />
        <div className="flex items-center gap-2 px-3 pt-1 pb-3">
          <div className="flex min-w-0 flex-1 items-center gap-2">
            <ModelPicker models={models} value={model} onChange={choose} open={picking} onOpenChange={setPicking} trouble={noProvider ? null : trouble} />
            <Payer connections={own} value={(chosen ?? own.find((each) => each.is_default) ?? own[0])?.id} onChange={(id) => model && setPayers({ ...payers, [model.provider_id]: id })} className="max-w-36 min-w-24" />
          </div>
          <span className="hidden items-center gap-1 sm:flex" aria-hidden>
            <Kbd>
              {MOD}
              {ENTER}
            </Kbd>
          </span>
          <Button type="submit" variant={noProvider ? "secondary" : "primary"} busy={create.isPending} disabled={!noProvider && (prompt.trim() === "" || model === null || trouble !== null)}>
            Create
            <ArrowRight className="size-3.5" aria-hidden />
          </Button>
        </div>
      </form>
      {trouble && !noProvider && <ModelTrouble trouble={trouble} onChoose={() => setPicking(true)} />}
      {problem && <CreateProblem problem={problem} />}
      <p className="flex flex-wrap items-center justify-center gap-x-1.5 text-sm text-faint">
        Try:
        {IDEAS.map((idea, index) => (
          <span key={idea.label}>
            <button
              type="button"
              className="rounded text-muted underline decoration-line-strong underline-offset-4 hover:text-text hover:decoration-edge"
              onClick={() => {
                setPrompt(idea.prompt);
                field.current?.focus();
              }}
            >
              {idea.label}
            </button>
            {index < IDEAS.length - 1 && <span aria-hidden className="pl-1.5">·</span>}
          </span>
        ))}
      </p>
    </div>
  );
}

function CreateProblem({ problem }: { problem: ApiError }) {
  const connect = problem.code === "provider_not_connected";
  return (
    <Notice
      tone="red"
      role="alert"
      title={problem.message}
      actions={
        connect && (
          <Button size="sm" onClick={() => openDialog({ kind: "connect-provider" })}>
            Connect a provider
          </Button>
        )
      }
    >
      {problem.hint}
    </Notice>
  );
}
