// What an agent says, as markdown. It is untrusted: no HTML, no pictures from elsewhere, no links that know where they came from.
import { ImageOff } from "lucide-react";
import { memo, type ReactNode } from "react";
import Markdown, { defaultUrlTransform, type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import remend from "remend";
import { blocksOf } from "./blocks";
import { CopyButton } from "./copy-button";
import { highlight } from "./highlight";

const PLUGINS = [remarkGfm];

function textOf(node: ReactNode): string {
  if (typeof node === "string" || typeof node === "number") return String(node);
  if (Array.isArray(node)) return node.map(textOf).join("");
  return "";
}

function Link({ href, children }: { href?: string | undefined; children?: ReactNode }) {
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow" title={href}>
      {children}
    </a>
  );
}

const COMPONENTS: Components = {
  a: ({ href, children }) => <Link href={href}>{children}</Link>,
  // A picture's address can carry what the agent knows to somebody else: it is opened by a person or not at all.
  img: ({ src, alt }) => (
    <Link href={typeof src === "string" ? src : undefined}>
      <ImageOff className="mr-1 inline size-3.5 align-[-2px]" aria-hidden />
      {alt || "picture"}
    </Link>
  ),
  table: ({ children }) => (
    <div className="table">
      <table>{children}</table>
    </div>
  ),
  pre: ({ children }) => {
    const props = (children as { props?: { className?: string; children?: ReactNode } } | undefined)?.props;
    const language = /language-(\S+)/.exec(props?.className ?? "")?.[1] ?? "";
    return <CodeBlock code={textOf(props?.children).replace(/\n$/, "")} language={language} />;
  },
  input: ({ checked }) => <input type="checkbox" checked={checked ?? false} readOnly disabled />,
};

export function CodeBlock({ code, language }: { code: string; language: string }) {
  return (
    <div className="overflow-hidden rounded-lg border border-line bg-sunken">
      <div className="flex h-7 items-center justify-between border-b border-line pr-1 pl-3 text-xs text-faint">
        <span>{language || "text"}</span>
        <CopyButton text={code} label="Copy this code" />
      </div>
      <pre className="overflow-x-auto px-3 py-2.5 font-mono text-xs leading-5">
        <code>{highlight(code, language)}</code>
      </pre>
    </div>
  );
}

const Block = memo(function Block({ text }: { text: string }) {
  return (
    <Markdown remarkPlugins={PLUGINS} components={COMPONENTS} urlTransform={defaultUrlTransform} skipHtml>
      {text}
    </Markdown>
  );
});

/** `open` says that more is coming: what isn't closed yet in the last block is closed for now. */
export const Prose = memo(function Prose({ text, open }: { text: string; open: boolean }) {
  const blocks = blocksOf(text);
  return (
    <div className="prose">
      {blocks.map((block, index) => (
        // A block's place is its identity: text is only ever appended.
        // oxlint-disable-next-line react/no-array-index-key
        <Block key={index} text={open && index === blocks.length - 1 ? remend(block) : block} />
      ))}
    </div>
  );
});
