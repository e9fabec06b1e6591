import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../api/client";
import { keys } from "../api/queries";
import { meQuery } from "../api/session";
import type { ApiToken } from "../api/types";
import { ShownOnce } from "../components/shown-once";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFooter } from "../ui/dialog";
import { Field, Input, NativeSelect } from "../ui/input";

const SCOPES: Record<ApiToken["scope"], string> = {
  read: "Read: look at everything you see",
  build: "Build: make, prompt, start, stop and delete projects, too",
  full: "Full: connect providers, and look after the server, too",
  metrics: "Metrics: only read the server’s figures",
};
const LIVES: [string, number | null][] = [
  ["30 days", 30],
  ["90 days", 90],
  ["1 year", 365],
  ["It doesn’t end", null],
];

export function CreateToken({ onClose }: { onClose: () => void }) {
  const cache = useQueryClient();
  const isAdmin = cache.getQueryData(meQuery.queryKey)?.role === "admin";
  const [name, setName] = useState("");
  const [scope, setScope] = useState<ApiToken["scope"]>("build");
  const [life, setLife] = useState(1);
  const create = useMutation({
    mutationFn: () => {
      const days = LIVES[life]?.[1] ?? null;
      return take(api.POST("/api/tokens", { body: { name: name.trim(), scope, ...(days === null ? {} : { days }) } }));
    },
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.tokens }),
  });
  if (create.data !== undefined) {
    const { secret } = create.data;
    return (
      <Dialog open onClose={onClose} title={`The token ${create.data.token.name}`} width="md">
        <DialogBody>
          <div className="grid gap-3">
            <p>Copy it now: it is not shown again. Keep it like a password.</p>
            <ShownOnce label="the token" text={secret} />
            <p className="text-sm text-muted">
              For the command line: <code className="font-mono text-xs">DOCE_URL={location.origin}</code> and <code className="font-mono text-xs">DOCE_TOKEN</code>. For everything else, send it as <code className="font-mono text-xs">Authorization: Bearer …</code>
            </p>
          </div>
        </DialogBody>
        <DialogFooter>
          <Button variant="primary" autoFocus onClick={onClose}>
            I have it
          </Button>
        </DialogFooter>
      </Dialog>
    );
  }
  const problem = create.error === null ? null : asApiError(create.error);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    create.mutate();
  };
  return (
    <Dialog open onClose={onClose} title="Make a token" width="sm">
      <form onSubmit={submit}>
        <DialogBody>
          <div className="grid gap-3">
            <Field label="Name" hint="What uses it, such as a machine or a script." error={problem?.message}>
              {(control) => <Input {...control} required autoFocus maxLength={60} autoComplete="off" value={name} onChange={(event) => setName(event.target.value)} />}
            </Field>
            <Field label="It may">
              {(control) => (
                <NativeSelect {...control} value={scope} onChange={(event) => setScope(event.target.value as ApiToken["scope"])}>
                  {Object.entries(SCOPES)
                    .filter(([value]) => value !== "metrics" || isAdmin)
                    .map(([value, words]) => (
                      <option key={value} value={value}>
                        {words}
                      </option>
                    ))}
                </NativeSelect>
              )}
            </Field>
            <Field label="It ends after">
              {(control) => (
                <NativeSelect {...control} value={life} onChange={(event) => setLife(Number(event.target.value))}>
                  {LIVES.map(([words], index) => (
                    <option key={words} value={index}>
                      {words}
                    </option>
                  ))}
                </NativeSelect>
              )}
            </Field>
            <p className="text-xs text-muted">No token makes other tokens, changes passwords, or takes keys out of the vault.</p>
          </div>
        </DialogBody>
        <DialogFooter>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="primary" busy={create.isPending}>
            Make it
          </Button>
        </DialogFooter>
      </form>
    </Dialog>
  );
}
