// A small highlighter: comments, strings, keywords and names, enough to read code by. It makes text, never markup.
import { memo, type ReactNode } from "react";

const KEYWORDS = new Set(
  "as async await break case catch class const continue def default del delete do elif else enum export extends extern false fn for from func function if impl implements import in interface let loop match mod module move mut new nil none null of package pass pub raise return self static struct super switch this throw trait true try type typeof undefined unsafe use var void where while with yield False None True and not or begin end then fi done echo".split(" "),
);
const HASH_COMMENTS = /^(?:py|python|sh|bash|shell|zsh|ya?ml|toml|rb|ruby|dockerfile|makefile|ini|conf|env|r|pl)$/;
const MARKUP = /^(?:html?|xml|svg|vue|astro|svelte)$/;
const PROSE = /^(?:te?xt|plain|log|md|markdown|diff|output)?$/;
/** Longer texts are shown plain: reading them matters more than their colours. */
const LONGEST = 60_000;

const SLASHES = /(?<note>\/\*[\s\S]*?(?:\*\/|$)|\/\/[^\n]*|<!--[\s\S]*?(?:-->|$))|(?<text>"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|`(?:\\.|[^`\\])*`?)|(?<tag><\/?[A-Za-z][\w.:-]*)|(?<word>[A-Za-z_$][\w$]*)(?<call>\s*\()?/g;
const HASHES = /(?<note>#[^\n]*)|(?<text>"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)|(?<tag>(?!))|(?<word>[A-Za-z_][\w]*)(?<call>\s*\(|(?=\s*[:=]))?/g;
const TAGS = /(?<note><!--[\s\S]*?(?:-->|$)|\/\*[\s\S]*?(?:\*\/|$))|(?<text>"[^"\n]*"?|'[^'\n]*'?)|(?<tag><\/?[A-Za-z!][\w.:-]*)|(?<word>(?!))(?<call>)?/g;

export function languageOf(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1).toLowerCase();
  const dot = name.lastIndexOf(".");
  return dot < 0 ? name : name.slice(dot + 1);
}

/** Cuts code into coloured spans and plain text. */
export function highlight(code: string, language: string): ReactNode[] {
  const lang = language.toLowerCase();
  if (code.length > LONGEST || PROSE.test(lang)) return [code];
  const pattern = HASH_COMMENTS.test(lang) ? HASHES : MARKUP.test(lang) ? TAGS : SLASHES;
  const out: ReactNode[] = [];
  let from = 0;
  const put = (start: number, text: string, kind: string) => {
    if (start > from) out.push(code.slice(from, start));
    out.push(
      <span key={start} className={kind}>
        {text}
      </span>,
    );
    from = start + text.length;
  };
  for (const found of code.matchAll(pattern)) {
    const { note, text, tag, word, call } = found.groups ?? {};
    if (note) put(found.index, note, "tok-note");
    else if (text) put(found.index, text, "tok-text");
    else if (tag) put(found.index, tag, "tok-name");
    else if (word && KEYWORDS.has(word)) put(found.index, word, "tok-key");
    else if (word && call !== undefined) put(found.index, word, "tok-name");
  }
  if (from < code.length) out.push(code.slice(from));
  return out;
}

export const Code = memo(function Code({ code, language }: { code: string; language: string }) {
  return <code>{highlight(code, language)}</code>;
});
