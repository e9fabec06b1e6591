import { Brain, Image } from "lucide-react";
import type { Model } from "../api/types";
import { cn } from "../ui/cn";
import { price, tokens } from "./models";

/** What a model can and costs, in columns that stand under each other from row to row. */
export function ModelFacts({ model, className }: { model: Model; className?: string }) {
  const context = tokens(model.context);
  const output = tokens(model.output);
  return (
    <span className={cn("grid grid-cols-[5.5rem_4rem_minmax(0,1fr)_2.5rem] items-center gap-x-1.5 text-xs text-faint tabular-nums", className)}>
      <span title="Tokens that it can read">{context && `${context} context`}</span>
      <span title="Most tokens of an answer">{output && `${output} out`}</span>
      <span className="truncate" title="US dollars per million tokens, in / out">
        {price(model)}
      </span>
      <span className="flex justify-end gap-1 [&>svg]:size-3.5">
        {model.image_input && <Image role="img" aria-label="takes pictures" />}
        {model.reasoning && <Brain role="img" aria-label="reasons" />}
      </span>
    </span>
  );
}
