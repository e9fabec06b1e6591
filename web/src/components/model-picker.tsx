import { Check, ChevronDown, Plug, Plus } from "lucide-react";
import { useState } from "react";
import type { ModelRef } from "../api/types";
import { cn } from "../ui/cn";
import { FilterList, type FilterGroup } from "../ui/filter-list";
import { Popover } from "../ui/popover";
import { openDialog } from "./dialogs";
import { dollars, sameModel, tokens, type ModelChoice, type Models } from "./models";
import { ProviderMark } from "./provider-mark";

const CHIP = "inline-flex h-8 max-w-full min-w-0 items-center gap-1.5 rounded-md border px-2 text-sm transition-colors sm:h-7";

/** The chip that says which model answers, and opens the list of those that could. */
export function ModelPicker({ models, value, onChange, open: controlled, onOpenChange }: { models: Models; value: ModelRef | null; onChange: (ref: ModelRef) => void; open?: boolean; onOpenChange?: (open: boolean) => void }) {
  const [own, setOwn] = useState(false);
  const [query, setQuery] = useState("");
  const open = controlled ?? own;
  const setOpen = (next: boolean) => {
    setQuery("");
    setOwn(next);
    onOpenChange?.(next);
  };
  const current = models.choices.find((choice) => sameModel(choice.ref, value));

  if (models.connections !== undefined && models.connections.length === 0) {
    return (
      <button type="button" onClick={() => openDialog({ kind: "connect-provider" })} className={cn(CHIP, "border-accent-line bg-accent-soft font-medium text-accent-text hover:border-accent")}>
        <Plug className="size-3.5 shrink-0" aria-hidden />
        Connect a provider first
      </button>
    );
  }
  const name = current?.model.name ?? value?.model_id ?? (models.loading ? "Reading models…" : "Pick a model");
  return (
    <Popover
      open={open}
      onOpenChange={setOpen}
      trigger={
        <button type="button" aria-label={`Model: ${name}`} className={cn(CHIP, "border-line text-muted hover:border-line-strong hover:text-text data-[state=open]:bg-hover")}>
          {(current ?? value) && <ProviderMark id={current?.ref.provider_id ?? value?.provider_id ?? ""} name={current?.providerName ?? value?.provider_id ?? ""} className="size-4 border-0 bg-hover text-[10px]" />}
          <span className="truncate">{name}</span>
          <ChevronDown className="size-3.5 shrink-0 text-faint" aria-hidden />
        </button>
      }
    >
      <FilterList
        className="max-h-[min(26rem,60dvh)]"
        label="Models"
        placeholder="Search models"
        query={query}
        onQuery={setQuery}
        groups={groupsOf(models.choices, query)}
        itemKey={(choice) => `${choice.ref.provider_id}/${choice.ref.model_id}`}
        isCurrent={(choice) => sameModel(choice.ref, value)}
        onPick={(choice) => {
          onChange(choice.ref);
          setOpen(false);
        }}
        renderItem={(choice) => <ModelRow choice={choice} current={sameModel(choice.ref, value)} />}
        empty={models.loading ? "Reading models…" : query === "" ? "No models to choose from." : `No model matches “${query}”.`}
        footer={
          <button
            type="button"
            onClick={() => {
              setOpen(false);
              openDialog({ kind: "connect-provider" });
            }}
            className="flex h-9 w-full items-center gap-2 border-t border-line px-3.5 text-sm text-muted hover:bg-hover hover:text-text"
          >
            <Plus className="size-4" aria-hidden />
            Connect another provider
          </button>
        }
      />
    </Popover>
  );
}

function ModelRow({ choice, current }: { choice: ModelChoice; current: boolean }) {
  const { model } = choice;
  const cost = model.cost_input !== null && model.cost_output !== null ? (model.cost_input === 0 && model.cost_output === 0 ? "free" : `${dollars(model.cost_input)} / ${dollars(model.cost_output)}`) : null;
  return (
    <>
      <ProviderMark id={choice.ref.provider_id} name={choice.providerName} className="size-5" />
      <span className="min-w-0 flex-1">
        <span className="block truncate">{model.name}</span>
        {!model.tool_call && <span className="block text-xs text-amber">can’t use tools: it can only talk</span>}
      </span>
      <span className="shrink-0 text-right text-xs text-faint tabular-nums" title="Context window · US dollars per million tokens, in / out">
        {[tokens(model.context), cost].filter(Boolean).join(" · ")}
      </span>
      <Check className={cn("size-4 shrink-0 text-accent-text", !current && "invisible")} aria-hidden />
    </>
  );
}

function groupsOf(choices: ModelChoice[], query: string): FilterGroup<ModelChoice>[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = choices.filter(({ model, providerName, ref }) => {
    const text = `${model.name} ${model.id} ${providerName} ${ref.provider_id}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const groups = new Map<string, ModelChoice[]>();
  for (const choice of found) groups.set(choice.providerName, [...(groups.get(choice.providerName) ?? []), choice]);
  return [...groups].map(([label, items]) => ({ label, items }));
}
