// A list that is searched by typing and walked with the arrow keys. The dialogs and pickers are made of it.
import { Search } from "lucide-react";
import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { cn } from "./cn";

export type FilterGroup<T> = { label: string | null; items: T[] };

export function FilterList<T>({
  label,
  placeholder,
  query,
  onQuery,
  groups,
  itemKey,
  renderItem,
  onPick,
  isDisabled,
  isCurrent,
  empty,
  footer,
  className,
  onPaste,
  onItemKey,
  step,
}: {
  label: string;
  placeholder: string;
  query: string;
  onQuery: (query: string) => void;
  groups: FilterGroup<T>[];
  itemKey: (item: T) => string;
  renderItem: (item: T, active: boolean) => ReactNode;
  onPick: (item: T) => void;
  isDisabled?: (item: T) => boolean;
  isCurrent?: (item: T) => boolean;
  empty: ReactNode;
  footer?: ReactNode;
  className?: string;
  onPaste?: (text: string) => boolean;
  /** Something else that a key does with the item the list stands at; whether it did. */
  onItemKey?: (event: KeyboardEvent, item: T) => boolean;
  /** How many items are drawn at first, and with each step towards the end; all of them, if absent. */
  step?: number;
}) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const items = groups.flatMap((group) => group.items);
  const [active, setActive] = useState(() => Math.max(0, isCurrent ? items.findIndex(isCurrent) : 0));
  const index = Math.min(active, Math.max(0, items.length - 1));
  const [steps, setSteps] = useState(1);
  const drawn = step === undefined ? items.length : Math.max(steps * step, index + step);
  const optionId = (item: T) => `${id}-${itemKey(item)}`;
  const activeItem = items[index];
  const activeId = activeItem === undefined ? undefined : optionId(activeItem);

  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [activeId]);

  const onKeyDown = (event: KeyboardEvent) => {
    const last = items.length - 1;
    const moves: Record<string, number> = { ArrowDown: index >= last ? 0 : index + 1, ArrowUp: index <= 0 ? last : index - 1, PageDown: Math.min(last, index + 8), PageUp: Math.max(0, index - 8) };
    const to = moves[event.key];
    if (to !== undefined && last >= 0) {
      event.preventDefault();
      setActive(to);
    } else if (activeItem !== undefined && onItemKey?.(event, activeItem)) {
      event.preventDefault();
    } else if (event.key === "Enter" && activeItem !== undefined && !event.nativeEvent.isComposing) {
      event.preventDefault();
      if (!isDisabled?.(activeItem)) onPick(activeItem);
    }
  };

  return (
    <div className={cn("flex min-h-0 flex-col", className)}>
      <div className="flex items-center gap-2 border-b border-line px-3.5">
        <Search className="size-4 shrink-0 text-faint" aria-hidden />
        <input
          // The list was opened to be searched.
          autoFocus
          role="combobox"
          aria-label={label}
          aria-expanded
          aria-controls={`${id}-list`}
          aria-activedescendant={activeId}
          aria-autocomplete="list"
          className="h-11 min-w-0 flex-1 bg-transparent text-base outline-none placeholder:text-faint sm:text-sm"
          placeholder={placeholder}
          value={query}
          spellCheck={false}
          autoComplete="off"
          autoCapitalize="off"
          onChange={(event) => {
            setActive(0);
            setSteps(1);
            onQuery(event.target.value);
          }}
          onPaste={(event) => {
            if (onPaste?.(event.clipboardData.getData("text"))) event.preventDefault();
          }}
          onKeyDown={onKeyDown}
        />
      </div>
      <div ref={list} id={`${id}-list`} role="listbox" aria-label={label} className="min-h-0 flex-1 overflow-y-auto overscroll-contain p-1.5 scroll-py-8" onScroll={(event) => {
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        if (drawn < items.length && scrollTop + clientHeight > scrollHeight - 400) setSteps(Math.ceil(drawn / (step ?? drawn)) + 1);
      }}>
        {items.length === 0 && <div className="px-3 py-8 text-center text-sm text-muted">{empty}</div>}
        {upTo(groups, drawn).map((group) =>
          group.items.length === 0 ? null : (
            <div key={group.label ?? ""} role="group" aria-label={group.label ?? undefined}>
              {group.label && (
                <div aria-hidden className="px-2 pt-2 pb-1 text-xs text-faint">
                  {group.label}
                </div>
              )}
              {group.items.map((item) => {
                const isActive = item === activeItem;
                return (
                  <div
                    key={itemKey(item)}
                    id={optionId(item)}
                    role="option"
                    tabIndex={-1}
                    aria-selected={isActive}
                    aria-disabled={isDisabled?.(item) || undefined}
                    onPointerMove={() => setActive(items.indexOf(item))}
                    onClick={() => onPick(item)}
                    onKeyDown={onKeyDown}
                    className={cn("flex min-h-9 cursor-default items-center gap-2.5 rounded-md px-2 py-1.5 text-sm outline-none aria-disabled:opacity-50 sm:min-h-8 sm:py-1", isActive && "bg-hover")}
                  >
                    {renderItem(item, isActive)}
                  </div>
                );
              })}
            </div>
          ),
        )}
      </div>
      {footer}
    </div>
  );
}

/** The first items of the groups, so many in all. */
function upTo<T>(groups: FilterGroup<T>[], count: number): FilterGroup<T>[] {
  let left = count;
  return groups.map((group) => {
    const items = group.items.slice(0, Math.max(0, left));
    left -= group.items.length;
    return { ...group, items };
  });
}
