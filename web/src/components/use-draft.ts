import { useCallback, useState } from "react";

function read(key: string): string {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

/** A text that survives a reload of this tab, until it is sent. */
export function useDraft(name: string): [string, (text: string) => void] {
  const key = `doce.draft.${name}`;
  const [text, setText] = useState(() => read(key));
  const change = useCallback(
    (next: string) => {
      setText(next);
      try {
        if (next === "") sessionStorage.removeItem(key);
        else sessionStorage.setItem(key, next);
      } catch {
        // Kept for as long as the page is.
      }
    },
    [key],
  );
  return [text, change];
}
