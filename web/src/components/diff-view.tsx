import { cn } from "../ui/cn";
import { highlight, languageOf } from "./highlight";
import { folded, type DiffLine } from "./line-diff";

const MARKS: Record<DiffLine["kind"], string> = { same: " ", added: "+", removed: "−" };
const ROWS: Record<DiffLine["kind"], string> = { same: "", added: "bg-green-soft", removed: "bg-red-soft" };
const SIGNS: Record<DiffLine["kind"], string> = { same: "text-faint", added: "text-green", removed: "text-red" };

/** The lines that changed, with a sign before each. */
export function DiffView({ lines, path }: { lines: DiffLine[]; path: string }) {
  const language = languageOf(path);
  return (
    <div className="max-h-96 overflow-auto rounded-lg border border-line bg-sunken py-1.5 font-mono text-xs leading-5">
      <div className="w-max min-w-full">
        {folded(lines).map((line, index) => (
          // Lines have no identity but their place.
          // oxlint-disable-next-line react/no-array-index-key
          <div key={index} className={cn("flex pr-3", line && ROWS[line.kind])}>
            <span className={cn("w-7 shrink-0 text-center select-none", line ? SIGNS[line.kind] : "text-faint")}>{line ? MARKS[line.kind] : "⋯"}</span>
            <code className="whitespace-pre">{line ? (line.text === "" ? " " : highlight(line.text, language)) : ""}</code>
          </div>
        ))}
      </div>
    </div>
  );
}
