// Cuts markdown into blocks that can be drawn one by one, so that a growing text redraws only its last block.

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const LIST_ITEM = /^ {0,3}(?:[-*+]|\d{1,9}[.)])\s/;

export function blocksOf(markdown: string): string[] {
  const blocks: string[] = [];
  let lines: string[] = [];
  let fence: string | null = null;
  let inList = false;
  let blank = false;

  const close = () => {
    if (lines.length > 0) blocks.push(lines.join("\n"));
    lines = [];
    inList = false;
  };
  for (const line of markdown.split("\n")) {
    const marker = FENCE.exec(line)?.[1];
    if (fence !== null) {
      lines.push(line);
      if (marker !== undefined && marker[0] === fence[0] && marker.length >= fence.length && line.trim() === marker) fence = null;
      continue;
    }
    if (line.trim() === "") {
      blank = true;
      continue;
    }
    if (blank) {
      // What is indented, or the next item, still belongs to the list before it.
      const goesOn = inList && (LIST_ITEM.test(line) || /^\s{2,}/.test(line));
      if (goesOn) lines.push("");
      else close();
      blank = false;
    }
    if (lines.length === 0) inList = LIST_ITEM.test(line);
    if (marker !== undefined) fence = marker;
    lines.push(line);
  }
  close();
  return blocks;
}
