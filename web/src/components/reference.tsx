import { CopyButton } from "./copy-button";

/** The number of a request that failed: the server’s log and the audit log have it, too. */
export function Reference({ id }: { id: string }) {
  return (
    <span className="flex flex-wrap items-center gap-x-1 text-xs text-faint">
      Reference <span className="font-mono break-all">{id}</span>
      <CopyButton text={id} label="Copy the reference" />
    </span>
  );
}
