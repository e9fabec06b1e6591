import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ArrowUp, Square } from "lucide-react";
import { type KeyboardEvent, type Ref, type SubmitEvent } from "react";
import { api, asApiError, take } from "../api/client";
import { projectConnectionsQuery } from "../api/queries";
import type { Project } from "../api/types";
import { GrowingText } from "../components/growing-text";
import { ModelPicker } from "../components/model-picker";
import { ModelTrouble } from "../components/model-trouble";
import { useModels, useTrouble } from "../components/models";
import { putJob, putMessage, useProjectActions } from "../components/project-actions";
import { clock } from "../components/relative-time";
import { isAnswering, jobProgress, PROJECT_ACTIONS } from "../components/states";
import { Button } from "../ui/button";
import { ENTER, Kbd, MOD, withMod } from "../ui/kbd";

type Props = {
  project: Project;
  text: string;
  onText: (text: string) => void;
  fieldRef: Ref<HTMLTextAreaElement>;
  pickingModel: boolean;
  onPickingModel: (open: boolean) => void;
};

/** Why a prompt can't be sent at the moment, or null when it can. */
export function whyNot(project: Project): string | null {
  if (isAnswering(project)) return "Send when this answer is done, or stop it.";
  if (PROJECT_ACTIONS[project.state].prompt) return null;
  const progress = jobProgress(project.job);
  switch (project.state) {
    case "launching":
      return progress ? `Waiting for the agent (${progress.at} of ${progress.of}: ${progress.label}).` : "Waiting for the agent.";
    case "stopping":
      return "The project is stopping.";
    case "failed":
      return "The project failed to start. Fix that first.";
    case "deleting":
      return "The project is being deleted.";
    case "running":
    case "stopped":
      return null;
  }
}

export function SendPromptForm({ project, text, onText, fieldRef, pickingModel, onPickingModel }: Props) {
  const cache = useQueryClient();
  const models = useModels();
  const { abort, changeModel } = useProjectActions(project.id);
  const answering = isAnswering(project);
  const chosen = project.model.model_id === "" ? null : project.model;
  const { data: used } = useQuery(projectConnectionsQuery(project.id));
  const paying = used?.find((each) => each.provider_id === project.model.provider_id)?.connection_id;
  const payer = models.connections?.find((each) => each.id === paying);
  const trouble = useTrouble(models, chosen, payer);
  const reason = whyNot(project);
  const blocked = reason !== null || trouble !== null;

  const send = useMutation({
    mutationFn: (prompt: string) => take(api.POST("/api/projects/{id}/prompts", { params: { path: { id: project.id } }, body: { text: prompt } })),
    onSuccess: ({ message, job }) => {
      onText("");
      putMessage(cache, project.id, message);
      putJob(cache, job);
    },
  });
  const submit = () => {
    if (!blocked && text.trim() !== "" && !send.isPending) send.mutate(text.trim());
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
  const problem = send.error === null ? null : asApiError(send.error);
  const hint = project.state === "stopped" ? "Stopped. A prompt starts it again." : project.session.kind === "retry" && project.session.next_at ? `Retrying at ${clock(project.session.next_at)}.` : reason;

  return (
    <form onSubmit={onSubmit} className="shrink-0 px-3 pb-3">
      <div className="stack mx-auto max-w-[46rem] gap-1.5">
        {problem && (
          <p role="alert" className="px-1 text-sm text-red">
            {problem.message} {problem.hint}
          </p>
        )}
        {trouble && <ModelTrouble trouble={trouble} onChoose={() => onPickingModel(true)} />}
        <div className="rounded-xl border border-line-strong bg-surface transition-colors focus-within:border-edge">
          <GrowingText
            ref={fieldRef}
            aria-label="Ask for a change"
            placeholder={hint ?? "Ask for a change"}
            rows={1}
            maxHeight={200}
            className="min-h-11 px-3.5 pt-2.5"
            value={text}
            onChange={(event) => onText(event.target.value)}
            onKeyDown={onKeyDown}
          />
          <div className="flex items-center gap-2 px-2 pb-2">
            <div className="min-w-0">
              <ModelPicker models={models} value={chosen} trouble={trouble} onChange={(model) => changeModel.mutate(model)} open={pickingModel} onOpenChange={onPickingModel} />
            </div>
            <p className="min-w-0 flex-1 truncate text-right text-xs text-faint" title={hint ?? undefined}>
              {text !== "" && hint !== null ? (
                hint
              ) : (
                <span className="hidden sm:inline" aria-hidden>
                  <Kbd>
                    {MOD}
                    {ENTER}
                  </Kbd>
                </span>
              )}
            </p>
            {answering ? (
              <Button size="icon" variant="secondary" aria-label="Stop the answer (Esc)" title="Stop the answer (Esc)" busy={abort.isPending} onClick={() => abort.mutate()} icon={<Square className="size-3 fill-current" aria-hidden />} />
            ) : (
              <Button type="submit" size="icon" variant="primary" aria-label="Send" title="Send" busy={send.isPending} disabled={blocked || text.trim() === ""} icon={<ArrowUp className="size-4" aria-hidden />} />
            )}
          </div>
        </div>
      </div>
    </form>
  );
}
