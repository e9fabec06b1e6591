import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, take } from "../../api/client";
import { keys, masterKeyQuery, systemQuery } from "../../api/queries";
import { meQuery } from "../../api/session";
import type { MasterKey } from "../../api/types";
import { CopyButton } from "../../components/copy-button";
import { PageError } from "../../components/page-error";
import { tell } from "../../components/project-actions";
import { RelativeTime } from "../../components/relative-time";
import { Section } from "../../components/section";
import { ChangeMasterKey } from "../../forms/change-master-key";
import { ExportKeysForm } from "../../forms/export-keys";
import { Button } from "../../ui/button";
import { Notice } from "../../ui/notice";
import { Progress } from "../../ui/progress";
import { Skeleton } from "../../ui/skeleton";

export default function Keys() {
  const { data: me } = useQuery(meQuery);
  const admin = me?.role === "admin";
  const { data: key, error, refetch } = useQuery({ ...masterKeyQuery, enabled: admin });
  return (
    <div className="grid grid-cols-[minmax(0,1fr)] gap-8">
      <title>Keys and backup · doce</title>
      <header>
        <h1 className="text-xl font-semibold tracking-tight">Keys and backup</h1>
        <p className="text-muted">{admin ? "The key that seals what is connected, and how not to lose any of it." : "Take your own keys along."}</p>
      </header>
      {me === undefined && <Loading />}
      {admin && key === undefined && (error ? <PageError error={error} onRetry={() => void refetch()} /> : <Loading />)}
      {key && <MasterKeySections masterKey={key} />}
      {me && (
        <Section title="Take your keys along" lead="A file encrypted with age, for you alone. It is kept nowhere here.">
          <ExportKeysForm username={me.username} />
        </Section>
      )}
      {key && <Backup masterKey={key} />}
    </div>
  );
}

function Loading() {
  return (
    <div className="grid gap-3" aria-busy aria-label="Reading about the master key">
      <Skeleton className="h-16" />
      <Skeleton className="h-32" />
    </div>
  );
}

function MasterKeySections({ masterKey }: { masterKey: MasterKey }) {
  return (
    <>
      {masterKey.copied_at === null && <NoCopy masterKey={masterKey} />}
      <Section title="Master key" lead="Everything connected is sealed with it.">
        <dl className="grid grid-cols-[7rem_minmax(0,1fr)] gap-y-1.5 [&>dt]:text-muted">
          <dt>Id</dt>
          <dd className="font-mono text-xs leading-5">{masterKey.id}</dd>
          <dt>{masterKey.files.length === 1 ? "File" : "Files"}</dt>
          <dd className="grid font-mono text-xs leading-5 break-all">
            {masterKey.files.map((file) => (
              <span key={file}>{file}</span>
            ))}
          </dd>
          {masterKey.since !== null && (
            <>
              <dt>In force</dt>
              <dd>
                since <RelativeTime at={masterKey.since} />
              </dd>
            </>
          )}
          <dt>Seals</dt>
          <dd className="tabular-nums">{masterKey.values === 1 ? "1 value" : `${masterKey.values} values`}</dd>
          {masterKey.copied_at !== null && (
            <>
              <dt>Copy</dt>
              <dd>
                you said that there is one, <RelativeTime at={masterKey.copied_at} />
              </dd>
            </>
          )}
          {masterKey.old_files.length > 0 && (
            <>
              <dt>Before</dt>
              <dd className="grid gap-0.5">
                {masterKey.old_files.map((file) => (
                  <span key={file} className="font-mono text-xs leading-5 break-all">
                    {file}
                  </span>
                ))}
                <span className="text-xs text-muted">Older backups need them. Delete one when no such backup is left.</span>
              </dd>
            </>
          )}
        </dl>
      </Section>
      <Section title="Change it" lead="If the file may be known to somebody, or by habit once a year.">
        <Rotation masterKey={masterKey} />
      </Section>
    </>
  );
}

function NoCopy({ masterKey }: { masterKey: MasterKey }) {
  const cache = useQueryClient();
  const confirm = useMutation({
    mutationFn: () => take(api.POST("/api/keys/copy", { body: { id: masterKey.id } })),
    onSuccess: (next) => cache.setQueryData(keys.masterKey, next),
    onError: (error) => {
      tell(error);
      void cache.invalidateQueries({ queryKey: keys.masterKey });
    },
  });
  return (
    <Notice
      tone="amber"
      title="Keep a copy of the master key somewhere else"
      actions={
        <Button size="sm" busy={confirm.isPending} onClick={() => confirm.mutate()}>
          I keep a copy
        </Button>
      }
    >
      Without it nothing that is connected can be opened, and doce makes no second one. Copy {masterKey.files.length === 1 ? "this file" : "both files"} from the server to a place of its own, apart from backups:
      {masterKey.files.map((file) => (
        <Command key={file} text={file} />
      ))}
    </Notice>
  );
}

function Rotation({ masterKey }: { masterKey: MasterKey }) {
  const [asking, setAsking] = useState(false);
  const { rotation } = masterKey;
  if (rotation.state === "running") {
    return (
      <div className="grid gap-2">
        <Progress label="Wrapped with the new key" done={rotation.done} total={rotation.total} />
        <p className="text-muted" role="status">
          {rotation.total === 0 ? "Making the new key …" : `${rotation.done} of ${rotation.total} values wrapped with the new key. Everything goes on meanwhile.`}
        </p>
      </div>
    );
  }
  const unfinished = rotation.state === "unfinished";
  return (
    <div className="grid justify-items-start gap-3">
      {unfinished && (
        <Notice tone="amber" role="alert" title="A change of the master key is not finished" className="w-full">
          {rotation.reason ?? "Both files are needed until it is. Nothing is lost: it goes on where it stopped."}
        </Notice>
      )}
      <p className="max-w-prose text-muted">A new key is made beside the old one, everything sealed is wrapped with it, opened once and counted. Only when nothing is missing it takes the old one’s place. Agents and pages go on meanwhile.</p>
      <Button variant={unfinished ? "primary" : "secondary"} onClick={() => setAsking(true)}>
        {unfinished ? "Go on" : "Change the master key"}
      </Button>
      {asking && <ChangeMasterKey unfinished={unfinished} onClose={() => setAsking(false)} />}
    </div>
  );
}

function Backup({ masterKey }: { masterKey: MasterKey }) {
  const { data: system } = useQuery(systemQuery);
  const folder = system?.data_dir ?? "DATA_DIRECTORY";
  const inside = masterKey.files.some((file) => file.startsWith(`${folder}/`));
  return (
    <Section title="Backup" lead="A copy of the data directory, made while doce is stopped.">
      <div className="grid max-w-prose gap-3">
        <ol className="grid list-decimal gap-2 pl-5">
          <li>End doce: what its agents hold in clear is removed then.</li>
          <li>
            Copy the directory{inside && ", and the master key to another place"}:
            <Command text={`tar ${inside ? "--exclude='./master.key*' " : ""}-czf doce-backup.tar.gz -C ${quoted(folder)} .`} />
            {inside && <Command text={`cp -p ${quoted(folder)}/master.key* ELSEWHERE/`} />}
          </li>
          <li>Start doce again.</li>
        </ol>
        <dl className="grid gap-y-1.5 sm:grid-cols-[7rem_minmax(0,1fr)] [&>dt]:text-muted">
          <dt>In it</dt>
          <dd>accounts, connections with their keys sealed, projects with files and conversations, the audit log</dd>
          <dt>Not in it</dt>
          <dd>any key in clear; the master key, if it is kept apart: one without the other is worth nothing</dd>
        </dl>
      </div>
    </Section>
  );
}

/** A path as a shell reads it. */
function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}

function Command({ text }: { text: string }) {
  return (
    <span className="mt-1.5 flex items-start gap-2 rounded-md border border-line bg-sunken px-2 py-1">
      <code className="min-w-0 flex-1 font-mono text-xs leading-5 break-all text-text">{text}</code>
      <CopyButton text={text} label={`Copy ${text}`} />
    </span>
  );
}
