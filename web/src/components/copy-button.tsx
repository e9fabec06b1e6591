import { Check, Copy } from "lucide-react";
import { useState } from "react";
import { toast } from "../ui/toast";

const SAID_MS = 1_500;

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), SAID_MS);
    } catch {
      // Browsers give the clipboard to secure pages only.
      toast("This browser doesn’t let the page copy. Select the text instead.", "bad");
    }
  };
  return (
    <button type="button" onClick={() => void copy()} aria-label={label} className="inline-flex items-center gap-1 rounded px-1.5 py-0.5 text-xs text-faint hover:bg-hover hover:text-text">
      {copied ? <Check className="size-3.5 text-green" aria-hidden /> : <Copy className="size-3.5" aria-hidden />}
      <span aria-live="polite">{copied ? "Copied" : "Copy"}</span>
    </button>
  );
}
