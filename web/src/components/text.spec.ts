import { describe, expect, it } from "vitest";
import { aTool } from "../../test/nouns";
import { blocksOf } from "./blocks";
import { highlight } from "./highlight";
import { counts, diffLines, folded } from "./line-diff";
import { withoutColours } from "./logs-pane";
import { relative, took } from "./relative-time";
import { viewOf } from "./tool-view";

describe("blocks", () => {
  it("paragraphs_are_blocks", () => {
    expect(blocksOf("a\nb\n\nc")).toEqual(["a\nb", "c"]);
  });
  it("a_blank_line_in_a_fence_does_not_end_it", () => {
    expect(blocksOf("```ts\na\n\nb\n```\n\nafter")).toEqual(["```ts\na\n\nb\n```", "after"]);
  });
  it("a_shorter_fence_inside_a_longer_one_is_text", () => {
    expect(blocksOf("````md\n```\n\n```\n````")).toEqual(["````md\n```\n\n```\n````"]);
  });
  it("a_loose_list_stays_one_block", () => {
    expect(blocksOf("1. a\n\n2. b\n\n   more of b\n\nafter")).toEqual(["1. a\n\n2. b\n\n   more of b", "after"]);
  });
  it("a_fence_that_is_still_open_is_the_last_block", () => {
    expect(blocksOf("text\n\n```ts\nconst a")).toEqual(["text", "```ts\nconst a"]);
  });
});

describe("highlight", () => {
  const textOf = (nodes: ReturnType<typeof highlight>) => nodes.map((node) => (typeof node === "string" ? node : ((node as { props: { children: string } }).props.children))).join("");
  it.each([
    ["tsx", 'const a = "x"; // note\nfoo(`b ${c}`); <Hours today={true} />'],
    ["py", "def a():\n  # note\n  return 'x'"],
    ["html", '<!-- a --><div class="b">c</div>'],
    ["css", ".a { color: red } /* b"],
    ["", "just words"],
  ])("%s_keeps_every_character", (language, code) => {
    expect(textOf(highlight(code, language))).toBe(code);
  });
  it("a_very_long_text_is_left_plain", () => {
    expect(highlight("const a;".repeat(10_000), "ts")).toHaveLength(1);
  });
});

describe("line diff", () => {
  it("a_new_text_is_all_added", () => {
    expect(counts(diffLines("", "a\nb\n"))).toEqual({ added: 2, removed: 0 });
  });
  it("one_changed_line_is_one_removed_and_one_added", () => {
    expect(diffLines("a\nb\nc", "a\nB\nc")).toEqual([
      { kind: "same", text: "a" },
      { kind: "removed", text: "b" },
      { kind: "added", text: "B" },
      { kind: "same", text: "c" },
    ]);
  });
  it("a_moved_line_is_found_once_in_common", () => {
    expect(counts(diffLines("a\nb\nc\nd", "b\nc\na\nd"))).toEqual({ added: 1, removed: 1 });
  });
  it("lines_far_from_a_change_are_folded", () => {
    const long = Array.from({ length: 20 }, (_, index) => `line ${index}`);
    const lines = folded(diffLines(long.join("\n"), [...long, "new"].join("\n")));
    expect(lines[0]).toBeNull();
    expect(lines).toHaveLength(5);
  });
});

describe("tool calls", () => {
  it("a_write_is_a_diff_of_its_content", () => {
    const view = viewOf(aTool({ name: "write", input: { filePath: "/workspace/src/a.ts", content: "x\ny" } }));
    expect(view.subject).toBe("src/a.ts");
    expect(counts(view.diff ?? [])).toEqual({ added: 2, removed: 0 });
  });
  it("several_edits_are_one_diff", () => {
    const view = viewOf(aTool({ name: "multiedit", input: { filePath: "a", edits: [{ oldString: "a", newString: "b" }, { oldString: "c", newString: "" }] } }));
    expect(counts(view.diff ?? [])).toEqual({ added: 1, removed: 2 });
  });
  it("a_patch_is_read_by_its_signs", () => {
    const view = viewOf(aTool({ name: "apply_patch", input: { patchText: "--- a\n+++ b\n-old\n+new\n same" } }));
    expect(counts(view.diff ?? [])).toEqual({ added: 1, removed: 1 });
  });
  it.each([null, undefined, "text", 7, [], { filePath: 3, todos: "x", edits: [null, 1] }])("an_input_of_%j_breaks_nothing", (input) => {
    for (const name of ["write", "edit", "multiedit", "bash", "todowrite", "made_up"]) expect(() => viewOf(aTool({ name, input }))).not.toThrow();
  });
});

describe("times", () => {
  const now = Date.parse("2026-03-10T12:00:00.000Z");
  it.each([
    [10_000, "just now"],
    [5 * 60_000, "5 min ago"],
    [3 * 3_600_000, "3 h ago"],
    [30 * 3_600_000, "yesterday"],
    [-10_000, "just now"],
  ])("%d_ms_ago_is_%s", (ago, words) => {
    expect(relative(new Date(now - ago).toISOString(), now)).toBe(words);
  });
  it.each([
    [420, "0.4 s"],
    [12_300, "12 s"],
    [185_000, "3 min 5 s"],
  ])("%d_ms_took_%s", (ms, words) => {
    expect(took(ms)).toBe(words);
  });
});

it("a_log_is_shown_without_its_terminal_colours", () => {
  expect(withoutColours("\u001B[32mok\u001B[0m\r\n\u001B]0;title\u0007done")).toBe("ok\ndone");
});
