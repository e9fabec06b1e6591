import { createElement, Fragment } from "react";

/** A sentence of the server’s, in which names and commands stand between backticks. */
export function WithCode({ children }: { children: string }) {
  const pieces = children.split(/(`[^`]*`)/).map((piece) => (piece.startsWith("`") ? <code className="font-mono select-all">{piece.slice(1, -1)}</code> : piece));
  return createElement(Fragment, null, ...pieces);
}
