// The models of a custom provider: taken from its endpoint's list, or typed.
import { Plus, X } from "lucide-react";
import { useId, useState } from "react";
import type { CustomModel } from "../api/types";
import { Button } from "../ui/button";
import { Input } from "../ui/input";

type Props = {
  models: CustomModel[];
  /** What the endpoint offers. */
  offered: CustomModel[];
  error: string | undefined;
  onModels: (models: CustomModel[]) => void;
};

const NEW: Omit<CustomModel, "id"> = { name: null, context: null, output: null };

export function CustomModels({ models, offered, error, onModels }: Props) {
  const id = useId();
  const [text, setText] = useState("");
  const rest = offered.filter((offer) => !models.some((model) => model.id === offer.id));
  const add = () => {
    const wanted = text.trim();
    if (wanted === "" || models.some((model) => model.id === wanted)) return;
    onModels([...models, rest.find((offer) => offer.id === wanted) ?? { id: wanted, ...NEW }]);
    setText("");
  };
  const change = (index: number, changed: Partial<CustomModel>) => onModels(models.map((model, at) => (at === index ? { ...model, ...changed } : model)));
  return (
    <fieldset className="grid gap-1.5">
      <legend className="mb-1.5 text-sm font-medium">Models</legend>
      {models.length > 0 && (
        <ul className="grid max-h-56 divide-y divide-line overflow-y-auto rounded-md border border-line">
          {models.map((model, index) => (
            <li key={model.id} className="flex flex-wrap items-center gap-x-2 gap-y-1 px-2.5 py-1.5">
              <span className="min-w-0 flex-1 basis-28 truncate font-mono text-sm" title={model.id}>
                {model.id}
              </span>
              <Limit label={`Context of ${model.id}`} placeholder="context" value={model.context} onValue={(context) => change(index, { context })} />
              <Limit label={`Output of ${model.id}`} placeholder="output" value={model.output} onValue={(output) => change(index, { output })} />
              <button type="button" aria-label={`Remove ${model.id}`} onClick={() => onModels(models.filter((_, at) => at !== index))} className="-mr-1 rounded p-1 text-faint hover:bg-hover hover:text-text">
                <X className="size-3.5" aria-hidden />
              </button>
            </li>
          ))}
        </ul>
      )}
      <div className="flex gap-2">
        <Input
          aria-label="Id of another model"
          aria-describedby={`${id}-note`}
          className="font-mono"
          placeholder="model-id"
          list={`${id}-offered`}
          autoComplete="off"
          spellCheck={false}
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter") return;
            event.preventDefault();
            add();
          }}
        />
        <datalist id={`${id}-offered`}>
          {rest.map((offer) => (
            <option key={offer.id} value={offer.id}>
              {offer.name ?? offer.id}
            </option>
          ))}
        </datalist>
        <Button disabled={text.trim() === ""} onClick={add}>
          <Plus className="size-3.5" aria-hidden />
          Add
        </Button>
      </div>
      <p id={`${id}-note`} role={error ? "alert" : undefined} className={error ? "text-xs text-red" : "text-xs text-muted"}>
        {error ?? "How many tokens a model reads and writes is best said for both or for neither."}
      </p>
    </fieldset>
  );
}

function Limit({ label, placeholder, value, onValue }: { label: string; placeholder: string; value: number | null | undefined; onValue: (value: number | null) => void }) {
  return (
    <div className="w-20 shrink-0">
      <Input
        aria-label={label}
        placeholder={placeholder}
        inputMode="numeric"
        autoComplete="off"
        className="text-right tabular-nums"
        value={value ?? ""}
        onChange={(event) => {
          const digits = event.target.value.replaceAll(/\D/g, "").slice(0, 9);
          onValue(digits === "" ? null : Number(digits));
        }}
      />
    </div>
  );
}
