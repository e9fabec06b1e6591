import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { FolderOpen } from "lucide-react";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../../api/client";
import { importsQuery, keys, usersQuery } from "../../api/queries";
import { meQuery } from "../../api/session";
import type { ImportPreview, ImportRun, Imports, NewImport } from "../../api/types";
import { ImportLines, importSummary } from "../../components/import-lines";
import { PageError } from "../../components/page-error";
import { RelativeTime } from "../../components/relative-time";
import { Section } from "../../components/section";
import { Button } from "../../ui/button";
import { Field, Input, NativeSelect } from "../../ui/input";
import { Notice } from "../../ui/notice";
import { Progress } from "../../ui/progress";
import { Skeleton } from "../../ui/skeleton";

export default function Import() {
  const { data: me } = useQuery(meQuery);
  const admin = me?.role === "admin";
  const { data: imports, error, refetch } = useQuery({ ...importsQuery, enabled: admin });
  return (
    <div className="grid grid-cols-[minmax(0,1fr)] gap-6">
      <title>Import · doce</title>
      <header>
        <h1 className="text-xl font-semibold tracking-tight">Import</h1>
        <p className="text-muted">Bring over what another program on this machine holds. It is shown first, and nothing there changes.</p>
      </header>
      {me && !admin && <Notice title="Only an admin can bring something over">It reads the server’s disk. Ask one, or connect your keys by hand.</Notice>}
      {imports ? <Assistant imports={imports} /> : error ? <PageError error={error} onRetry={() => void refetch()} /> : (!me || admin) && <Loading />}
    </div>
  );
}

function Loading() {
  return (
    <div className="grid gap-3" aria-busy aria-label="Looking for what could be brought over">
      <Skeleton className="h-28" />
      <Skeleton className="h-20" />
    </div>
  );
}

function Assistant({ imports }: { imports: Imports }) {
  const cache = useQueryClient();
  const { run } = imports;
  const look = useMutation({ mutationFn: (request: NewImport) => take(api.POST("/api/imports/preview", { body: request })) });
  const bring = useMutation({
    mutationFn: (request: NewImport) => take(api.POST("/api/imports", { body: request })),
    onSuccess: (begun) => {
      look.reset();
      cache.setQueryData(keys.imports, (known: Imports | undefined) => known && { ...known, run: begun });
      // It may have been over before this answer came: what the stream said then was about a run that was not known yet.
      void cache.invalidateQueries({ queryKey: keys.imports });
    },
  });
  const request = look.variables;
  if (run !== null && run.ended_at === null) return <UnderWay run={run} />;
  if (look.data && request) {
    return <Plan preview={look.data} request={request} looking={look.isPending} problem={bring.error ?? look.error} busy={bring.isPending} onChange={(next) => look.mutate(next)} onBring={() => bring.mutate(request)} onBack={() => (look.reset(), bring.reset())} />;
  }
  return (
    <div className="grid grid-cols-[minmax(0,1fr)] gap-8">
      {run !== null && <Over run={run} />}
      <Sources imports={imports} looking={look.isPending ? look.variables : undefined} problem={look.error} onLook={(next) => look.mutate(next)} />
    </div>
  );
}

function Sources({ imports, looking, problem, onLook }: { imports: Imports; looking: NewImport | undefined; problem: unknown; onLook: (request: NewImport) => void }) {
  const [directory, setDirectory] = useState("");
  const refused = problem === null || problem === undefined ? null : asApiError(problem);
  const busy = looking !== undefined;
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    onLook({ from: "doce_dev", directory, into: {} });
  };
  return (
    <>
      {refused && refused.field !== "directory" && (
        <Notice tone="red" role="alert" title={refused.message}>
          {refused.hint}
        </Notice>
      )}
      <Section title="From doce.dev" lead="People with their passwords, their keys, and their projects, stopped.">
        <div className="grid gap-4">
          {imports.directories.map((found) => (
            <Notice
              key={found}
              tone="accent"
              title="There is one beside this doce"
              actions={
                <Button size="sm" busy={looking?.directory === found} disabled={busy} onClick={() => onLook({ from: "doce_dev", directory: found, into: {} })}>
                  See what would come over
                </Button>
              }
            >
              <span className="font-mono text-xs break-all">{found}</span>
            </Notice>
          ))}
          <form className="flex flex-wrap items-start gap-2" onSubmit={submit}>
            <Field className="min-w-0 flex-1 basis-64" label="Directory on the server" error={refused?.field === "directory" ? refused.message : undefined} hint="The one that holds doce.dev’s “data”. Stop doce.dev first.">
              {(control) => <Input {...control} required spellCheck={false} autoCapitalize="off" placeholder="/srv/doce" className="font-mono" value={directory} onChange={(event) => setDirectory(event.target.value)} />}
            </Field>
            <Button type="submit" className="mt-[1.625rem]" icon={<FolderOpen className="size-4" aria-hidden />} busy={looking?.directory === directory && directory !== ""} disabled={busy}>
              Look
            </Button>
          </form>
        </div>
      </Section>
      <Section title="From OpenCode" lead="What the user that doce runs as has connected there. It becomes yours.">
        {imports.opencode_file === null ? (
          <p className="text-muted">That user has connected nothing in an OpenCode.</p>
        ) : (
          <div className="grid justify-items-start gap-3">
            <p>
              <span className="font-mono text-xs break-all">{imports.opencode_file}</span>
            </p>
            <Button busy={looking?.from === "opencode"} disabled={busy} onClick={() => onLook({ from: "opencode", into: {} })}>
              See what would come over
            </Button>
          </div>
        )}
      </Section>
    </>
  );
}

function Plan({ preview, request, looking, problem, busy, onChange, onBring, onBack }: { preview: ImportPreview; request: NewImport; looking: boolean; problem: unknown; busy: boolean; onChange: (request: NewImport) => void; onBring: () => void; onBack: () => void }) {
  const { data: users } = useQuery(usersQuery);
  const refused = problem === null || problem === undefined ? null : asApiError(problem);
  const into = request.into ?? {};
  const give = (person: string, account: string) => {
    const { [person]: _, ...others } = into;
    onChange({ ...request, into: account === "" ? others : { ...others, [person]: account } });
  };
  return (
    <section className="grid grid-cols-[minmax(0,1fr)] gap-4" aria-label="What would come over">
      <div>
        <h2 className="text-base font-medium break-words">{preview.title}</h2>
        <p className="text-muted" aria-live="polite">
          {looking ? "Looking again …" : `${importSummary(preview.lines, false)}. Nothing has changed yet.`}
        </p>
      </div>
      {preview.people.length > 0 && (
        <div className="grid gap-3 sm:grid-cols-2">
          {preview.people.map((person) => (
            <Field key={person} label={`What is ${person}’s goes to`}>
              {(control) => (
                <NativeSelect {...control} value={into[person] ?? ""} disabled={looking || busy} onChange={(event) => give(person, event.target.value)}>
                  <option value="">an account of their own</option>
                  {users?.map((user) => (
                    <option key={user.id} value={user.username}>
                      {user.username}
                    </option>
                  ))}
                </NativeSelect>
              )}
            </Field>
          ))}
        </div>
      )}
      <ImportLines lines={preview.lines} over={false} />
      {refused && (
        <Notice tone="red" role="alert" title={refused.message}>
          {refused.hint}
        </Notice>
      )}
      <div className="flex flex-wrap gap-2">
        <Button onClick={onBack} disabled={busy}>
          Back
        </Button>
        {preview.changes ? (
          <Button variant="primary" autoFocus busy={busy} disabled={looking} onClick={onBring}>
            Bring it over
          </Button>
        ) : (
          <p className="self-center text-muted">There is nothing left to bring over.</p>
        )}
      </div>
    </section>
  );
}

function UnderWay({ run }: { run: ImportRun }) {
  return (
    <section className="grid grid-cols-[minmax(0,1fr)] gap-3 rounded-lg border border-line bg-surface px-4 py-4" aria-label="Bringing over">
      <h2 className="text-base font-medium break-words">{run.title}</h2>
      <Progress label="Brought over" done={run.done} total={run.total} />
      <p className="text-muted" role="status">
        {run.done} of {run.total}
        {run.doing !== null && <span className="break-words"> · {run.doing}</span>}
      </p>
      <p className="text-xs text-muted">You can leave this page: it goes on.</p>
    </section>
  );
}

function Over({ run }: { run: ImportRun }) {
  const trouble = run.lines.some((line) => line.outcome === "failed" || line.outcome === "refused" || line.outcome === "unreadable");
  return (
    <section className="grid grid-cols-[minmax(0,1fr)] gap-3" aria-label="The last import">
      <Notice tone={trouble ? "amber" : "green"} role="status" title={`${importSummary(run.lines, true)}.`}>
        <span className="break-words">{run.title}</span>
        {run.ended_at !== null && (
          <>
            , <RelativeTime at={run.ended_at} />
          </>
        )}
        . {trouble ? "What needs a look says why; importing again tries it again." : "Importing again brings only what is new there."}
      </Notice>
      <ImportLines lines={run.lines} over />
    </section>
  );
}
