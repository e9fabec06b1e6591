// What becomes of each thing that an import found: before, as a plan, or after, as what happened.
import type { ImportLine } from "../api/types";
import { Badge, type Tone } from "../ui/badge";

type Outcome = ImportLine["outcome"];

const OUTCOMES: Record<Outcome, { will: string; did: string; tone: Tone }> = {
  new: { will: "comes over", did: "came over", tone: "green" },
  already: { will: "is here already", did: "was here already", tone: "neutral" },
  left: { will: "stays behind", did: "stayed behind", tone: "neutral" },
  refused: { will: "refused", did: "refused", tone: "red" },
  unreadable: { will: "unreadable", did: "unreadable", tone: "red" },
  failed: { will: "fails", did: "failed", tone: "red" },
};

/** "3 come over, 1 stays behind, 1 needs a look" */
export function importSummary(lines: ImportLine[], over: boolean): string {
  const count = (...outcomes: Outcome[]) => lines.filter((line) => outcomes.includes(line.outcome)).length;
  const say = (number: number, one: string, many: string) => (number === 0 ? [] : [`${number} ${number === 1 ? one : many}`]);
  const words = [
    ...(over ? say(count("new"), "came over", "came over") : say(count("new"), "comes over", "come over")),
    ...say(count("already"), "is here already", "are here already"),
    ...say(count("left"), "stays behind", "stay behind"),
    ...say(count("refused", "unreadable", "failed"), "needs a look", "need a look"),
  ];
  return words.length === 0 ? "There is nothing in it" : words.join(", ");
}

export function ImportLines({ lines, over }: { lines: ImportLine[]; over: boolean }) {
  if (lines.length === 0) return null;
  return (
    <ul aria-label={over ? "What became of everything" : "What would become of everything"} className="max-h-[32rem] divide-y divide-line overflow-y-auto rounded-lg border border-line bg-surface" tabIndex={0}>
      {numbered(lines).map(({ line, number }) => {
        const { will, did, tone } = OUTCOMES[line.outcome];
        return (
          <li key={number} className="grid gap-1 px-3 py-2 sm:grid-cols-[8rem_minmax(0,1fr)] sm:gap-3">
            <div>
              <Badge tone={tone}>{over ? did : will}</Badge>
            </div>
            <p className="min-w-0 break-words">
              <span className="text-muted">{line.kind}</span> <span className="font-medium">{line.name}</span>
              <span className="block text-xs text-muted">{line.detail}</span>
            </p>
          </li>
        );
      })}
    </ul>
  );
}

/** Two lines may be the same in every word: their place, which never changes, is all that tells them apart. */
function numbered(lines: ImportLine[]) {
  return lines.map((line, number) => ({ line, number }));
}
