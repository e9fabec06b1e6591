import { Check, ChevronDown, Keyboard, Plug, Plus, Star, TriangleAlert } from "lucide-react";
import { useDeferredValue, useState } from "react";
import type { ModelRef } from "../api/types";
import { cn } from "../ui/cn";
import { FilterList, type FilterGroup } from "../ui/filter-list";
import { Kbd, MOD, withMod } from "../ui/kbd";
import { Popover } from "../ui/popover";
import { openDialog } from "./dialogs";
import { ModelFacts } from "./model-facts";
import { sameModel, useModelPreferences, type ModelChoice, type Models, type Trouble } from "./models";
import { ProviderMark } from "./provider-mark";

const CHIP = "inline-flex h-8 max-w-full min-w-0 items-center gap-1.5 rounded-md border px-2 text-sm transition-colors sm:h-7";
/** How many rows are drawn at a time: some providers have hundreds of models. */
const STEP = 60;

type Item = ModelChoice | { ref: ModelRef; model: null; providerName: string };

/** The chip that says which model answers, and opens the list of those that could. */
export function ModelPicker({ models, value, onChange, open: controlled, onOpenChange, trouble = null }: { models: Models; value: ModelRef | null; onChange: (ref: ModelRef) => void; open?: boolean; onOpenChange?: (open: boolean) => void; trouble?: Trouble | null }) {
  const [own, setOwn] = useState(false);
  const [query, setQuery] = useState("");
  const searched = useDeferredValue(query);
  const prefer = useModelPreferences();
  const open = controlled ?? own;
  const setOpen = (next: boolean) => {
    setQuery("");
    setOwn(next);
    onOpenChange?.(next);
  };
  const current = models.choices.find((choice) => sameModel(choice.ref, value));
  const favourites = models.preferences?.favourites ?? [];
  const isFavourite = (ref: ModelRef) => favourites.some((each) => sameModel(each, ref));
  const star = (ref: ModelRef) => prefer.mutate({ model: ref, favourite: !isFavourite(ref) });

  if (models.connections !== undefined && models.connections.length === 0 && trouble === null) {
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
      className="w-[min(27rem,calc(100vw-1rem))]"
      trigger={
        <button
          type="button"
          aria-label={`Model: ${name}${trouble ? `. ${trouble.title}` : ""}`}
          className={cn(CHIP, trouble ? "border-amber-line bg-amber-soft text-amber" : "border-line text-muted hover:border-line-strong hover:text-text data-[state=open]:bg-hover")}
        >
          {trouble ? <TriangleAlert className="size-3.5 shrink-0" aria-hidden /> : value && <ProviderMark id={value.provider_id} name={current?.providerName ?? value.provider_id} className="size-4 border-0 bg-hover text-[10px]" />}
          <span className="truncate">{name}</span>
          <ChevronDown className="size-3.5 shrink-0 text-faint" aria-hidden />
        </button>
      }
    >
      {trouble && (
        <p className="border-b border-amber-line bg-amber-soft px-3.5 py-2 text-sm">
          <span className="font-medium">{trouble.title}.</span> <span className="text-muted">{trouble.detail}</span>
        </p>
      )}
      <FilterList<Item>
        className="max-h-[min(28rem,60dvh)]"
        label="Models"
        placeholder="Search models, or type an id"
        query={query}
        onQuery={setQuery}
        step={STEP}
        groups={groupsOf(models, searched)}
        itemKey={({ ref, model }) => `${model === null ? "typed:" : ""}${ref.provider_id}/${ref.model_id}`}
        isCurrent={(item) => sameModel(item.ref, value)}
        onPick={(item) => {
          onChange(item.ref);
          setOpen(false);
        }}
        onItemKey={(event, item) => {
          if (event.key.toLowerCase() !== "d" || !withMod(event)) return false;
          star(item.ref);
          return true;
        }}
        renderItem={(item) => <ModelRow item={item} current={sameModel(item.ref, value)} favourite={isFavourite(item.ref)} onStar={() => star(item.ref)} />}
        empty={models.loading ? "Reading models…" : query === "" ? "No models to choose from." : `No model matches “${query}”.`}
        footer={
          <div className="border-t border-line text-sm text-muted">
            {models.retry && (
              <p className="flex items-center gap-2 border-b border-line px-3.5 py-1.5 text-xs text-amber">
                <span className="flex-1">Some models could not be read.</span>
                <button type="button" className="underline underline-offset-4" onClick={models.retry}>
                  Read again
                </button>
              </p>
            )}
            <div className="flex items-center">
              <button
                type="button"
                onClick={() => {
                  setOpen(false);
                  openDialog({ kind: "connect-provider" });
                }}
                className="flex h-9 flex-1 items-center gap-2 px-3.5 hover:bg-hover hover:text-text"
              >
                <Plus className="size-4" aria-hidden />
                Connect another provider
              </button>
              <span className="hidden items-center gap-1 pr-3.5 text-xs text-faint sm:flex">
                <Kbd>{MOD}</Kbd>
                <Kbd>D</Kbd> favourite
              </span>
            </div>
          </div>
        }
      />
    </Popover>
  );
}

function ModelRow({ item, current, favourite, onStar }: { item: Item; current: boolean; favourite: boolean; onStar: () => void }) {
  const { model, ref } = item;
  return (
    <>
      {model === null ? <Keyboard className="size-5 shrink-0 text-faint" aria-hidden /> : <ProviderMark id={ref.provider_id} name={item.providerName} className="size-5" />}
      <span className="grid min-w-0 flex-1 gap-0.5">
        <span className="truncate" title={ref.model_id}>
          {model === null ? `Use “${ref.model_id}” at ${item.providerName}` : model.name}
          {favourite && <span className="sr-only">, favourite</span>}
        </span>
        {model !== null && <ModelFacts model={model} />}
        {model !== null && !model.tool_call && <span className="text-xs text-amber">can’t use tools: it can only talk</span>}
      </span>
      {/* With the keyboard it is the shortcut that the footer names: an option of a list holds no buttons. */}
      <span
        aria-hidden
        title={favourite ? "No favourite any more" : "Make it a favourite"}
        className="-my-1 grid size-8 shrink-0 place-content-center rounded-md text-faint hover:text-text"
        onClick={(event) => {
          event.stopPropagation();
          onStar();
        }}
      >
        <Star className={cn("size-4", favourite && "fill-current text-amber")} />
      </span>
      <Check className={cn("size-4 shrink-0 text-accent-text", !current && "invisible")} aria-hidden />
    </>
  );
}

/** Favourites, the models used last, and the rest by provider; each model once. At the end what was typed, where any id can be asked for. */
function groupsOf({ choices, preferences, typed }: Models, query: string): FilterGroup<Item>[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = choices.filter(({ model, providerName, ref }) => {
    const text = `${model.name} ${model.id} ${providerName} ${ref.provider_id}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const left = new Map(found.map((choice) => [`${choice.ref.provider_id}/${choice.ref.model_id}`, choice]));
  const those = (refs: ModelRef[]) =>
    refs.flatMap((ref) => {
      const key = `${ref.provider_id}/${ref.model_id}`;
      const choice = left.get(key);
      left.delete(key);
      return choice === undefined ? [] : [choice];
    });
  const first: FilterGroup<Item>[] = [
    { label: "Favourites", items: those(preferences?.favourites ?? []) },
    { label: "Used last", items: those(preferences?.recents ?? []) },
  ];
  const groups = new Map<string, Item[]>();
  for (const choice of left.values()) {
    const group = groups.get(choice.providerName);
    if (group === undefined) groups.set(choice.providerName, [choice]);
    else group.push(choice);
  }
  const id = query.trim();
  // What the server takes for a model's id.
  const asTyped = /^[!#-[\]-z|}~]{1,200}$/.test(id) ? typed.filter((provider) => !choices.some(({ ref }) => ref.provider_id === provider.id && ref.model_id === id)).map((provider): Item => ({ ref: { provider_id: provider.id, model_id: id }, model: null, providerName: provider.name })) : [];
  return [...first, ...[...groups].map(([label, items]) => ({ label, items })), { label: "As typed", items: asTyped }];
}
