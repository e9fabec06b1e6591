// What an organisation publishes for its people: read by doce, shown, and nothing of it is run.
import { useMutation } from "@tanstack/react-query";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../api/client";
import type { WellKnownEntry } from "../api/types";
import { Button } from "../ui/button";
import { DialogBody, DialogFooter } from "../ui/dialog";
import { Field, Input } from "../ui/input";
import { Notice } from "../ui/notice";

/** `onEntry` gets the provider that was chosen, and what its token is called. */
export function WellKnown({ onBack, onEntry }: { onBack: () => void; onEntry: (entry: WellKnownEntry, token: string) => void }) {
  const [address, setAddress] = useState("");
  const read = useMutation({ mutationFn: () => take(api.POST("/api/custom-providers/well-known", { body: { address: address.trim() } })) });
  const document = read.data;
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    read.mutate();
  };
  return (
    <form onSubmit={submit} className="flex min-h-0 flex-col">
      <DialogBody>
        <Field label="Your organisation’s address" error={read.error ? asApiError(read.error).message : undefined} hint="doce reads /.well-known/opencode there and shows what it says.">
          {(control) => <Input {...control} autoFocus type="url" inputMode="url" required className="font-mono" placeholder="https://acme.example" autoComplete="off" spellCheck={false} value={address} onChange={(event) => setAddress(event.target.value)} />}
        </Field>
        {document && (
          <>
            {document.providers.length === 0 && <Notice tone="amber" title="It describes no provider." />}
            <ul className="grid gap-2" aria-label="What it describes">
              {document.providers.map((entry) => (
                <li key={`${entry.name} ${entry.base_url}`} className="flex items-start gap-3 rounded-md border border-line px-3 py-2">
                  <div className="grid min-w-0 flex-1 gap-0.5">
                    <span className="font-medium">{entry.name}</span>
                    <span className="truncate font-mono text-xs text-muted">{entry.base_url}</span>
                    <span className="text-xs text-muted">{entry.refusal ?? (entry.models.length === 1 ? "1 model" : `${entry.models.length} models`)}</span>
                  </div>
                  <Button size="sm" disabled={entry.refusal !== null} onClick={() => onEntry(entry, document.token_name)}>
                    Use
                  </Button>
                </li>
              ))}
            </ul>
            {document.command.length > 0 && (
              <Notice title={`The token “${document.token_name}” comes from a command`}>
                <code className="block font-mono text-xs break-all select-all">{document.command.join(" ")}</code>
                doce doesn’t run it. If you trust it, run it yourself and paste what it prints.
              </Notice>
            )}
          </>
        )}
      </DialogBody>
      <DialogFooter>
        <Button onClick={onBack}>Back</Button>
        <Button type="submit" variant="primary" busy={read.isPending}>
          Read it
        </Button>
      </DialogFooter>
    </form>
  );
}
