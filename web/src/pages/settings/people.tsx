import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { CircleUserRound, Link, UserRoundPlus } from "lucide-react";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../../api/client";
import { accountInUseQuery, keys, usersQuery } from "../../api/queries";
import { meQuery } from "../../api/session";
import type { User } from "../../api/types";
import { PageError } from "../../components/page-error";
import { Invites } from "../../components/invites";
import { tell } from "../../components/project-actions";
import { RelativeTime } from "../../components/relative-time";
import { InviteSomebody } from "../../forms/invite-somebody";
import { RoleField } from "../../forms/role-field";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Dialog, DialogBody, DialogFooter } from "../../ui/dialog";
import { Field, Input, NativeSelect, SecretInput } from "../../ui/input";
import { Skeleton } from "../../ui/skeleton";
import { toast } from "../../ui/toast";

type Asked = { kind: "add" | "invite" } | { kind: "disable" | "password"; user: User };

export default function People() {
  const { data: me } = useQuery(meQuery);
  const { data: users, error, isPending, refetch } = useQuery(usersQuery);
  const [asked, setAsked] = useState<Asked | null>(null);
  const close = () => setAsked(null);
  return (
    <section className="grid grid-cols-[minmax(0,1fr)] gap-4">
      <title>People · doce</title>
      <header className="flex flex-wrap items-start gap-3">
        <div className="min-w-0 flex-1 basis-64">
          <h1 className="text-xl font-semibold tracking-tight">People</h1>
          <p className="text-muted">Who may sign in here. Nobody sees somebody else’s projects, conversations or keys, not even an admin.</p>
        </div>
        <Button onClick={() => setAsked({ kind: "invite" })}>
          <Link className="size-4" aria-hidden />
          Invite by link
        </Button>
        <Button variant="primary" onClick={() => setAsked({ kind: "add" })}>
          <UserRoundPlus className="size-4" aria-hidden />
          Add somebody
        </Button>
      </header>
      {isPending && <Skeleton className="h-32" />}
      {!isPending && users === undefined && <PageError error={error} onRetry={() => void refetch()} />}
      {users !== undefined && (
        <ul aria-label="Accounts" className="divide-y divide-line rounded-lg border border-line bg-surface">
          {users.map((user) => (
            <PersonRow key={user.id} user={user} isMe={user.id === me?.id} onAsk={(kind) => setAsked({ kind, user })} />
          ))}
        </ul>
      )}
      {users?.length === 1 && <p className="text-sm text-muted">You are the only one so far. Somebody you add gets their own projects and connects their own providers.</p>}
      <Invites />
      {asked?.kind === "invite" && <InviteSomebody onClose={close} />}
      {asked?.kind === "add" && <AddSomebody onClose={close} />}
      {asked?.kind === "disable" && <Disable user={asked.user} onClose={close} />}
      {asked?.kind === "password" && <ResetPassword user={asked.user} onClose={close} />}
    </section>
  );
}

function usePut() {
  const cache = useQueryClient();
  return (changed: User) => cache.setQueryData(keys.users, (known: User[] | undefined) => known?.map((user) => (user.id === changed.id ? changed : user)));
}

function PersonRow({ user, isMe, onAsk }: { user: User; isMe: boolean; onAsk: (kind: "disable" | "password") => void }) {
  const put = usePut();
  const change = useMutation({
    mutationFn: (body: { role: User["role"] } | { disabled: false }) => take(api.PATCH("/api/users/{id}", { params: { path: { id: user.id } }, body })),
    onSuccess: put,
    onError: tell,
  });
  const disabled = user.disabled_at !== null;
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-2 px-3 py-2.5">
      <CircleUserRound className="size-4 shrink-0 text-faint" aria-hidden />
      <div className="min-w-0 flex-1 basis-40">
        <p className="flex flex-wrap items-center gap-2">
          <span className={disabled ? "truncate text-muted" : "truncate font-medium"}>{user.username}</span>
          {isMe && <Badge tone="green">you</Badge>}
          {disabled && <Badge tone="amber">disabled</Badge>}
        </p>
        <p className="text-xs text-muted">
          since <RelativeTime at={user.created_at} />
          {user.disabled_at !== null && (
            <>
              {" "}
              · disabled <RelativeTime at={user.disabled_at} />
            </>
          )}
        </p>
      </div>
      <div className="flex flex-wrap items-center gap-2">
        {isMe ? (
          <Badge>{user.role}</Badge>
        ) : (
          <>
            <label>
              <span className="sr-only">Role of {user.username}</span>
              <NativeSelect value={user.role} disabled={change.isPending} onChange={(event) => change.mutate({ role: event.target.value as User["role"] })}>
                <option value="member">Member</option>
                <option value="admin">Admin</option>
              </NativeSelect>
            </label>
            <Button size="sm" onClick={() => onAsk("password")}>
              New password
            </Button>
            {disabled ? (
              <Button size="sm" busy={change.isPending} onClick={() => change.mutate({ disabled: false })}>
                Enable
              </Button>
            ) : (
              <Button size="sm" variant="danger" onClick={() => onAsk("disable")}>
                Disable
              </Button>
            )}
          </>
        )}
      </div>
    </li>
  );
}

function AddSomebody({ onClose }: { onClose: () => void }) {
  const cache = useQueryClient();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState<User["role"]>("member");
  const add = useMutation({
    mutationFn: () => take(api.POST("/api/users", { body: { username: username.trim(), password, role } })),
    onSuccess: async (user) => {
      await cache.invalidateQueries({ queryKey: keys.users });
      toast(`${user.username} can sign in. Tell them the password; they change it under Account.`);
      onClose();
    },
  });
  const problem = add.error === null ? null : asApiError(add.error);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    add.mutate();
  };
  return (
    <Dialog open onClose={onClose} title="Add somebody" width="sm">
      <form onSubmit={submit}>
        <DialogBody>
          <div className="grid gap-3">
            <Field label="Username" error={problem && problem.field !== "password" ? problem.message : undefined}>
              {(control) => <Input {...control} required autoFocus autoComplete="off" value={username} onChange={(event) => setUsername(event.target.value)} />}
            </Field>
            <Field label="First password" hint="At least 8 characters." error={problem?.field === "password" ? problem.message : undefined}>
              {(control) => <SecretInput {...control} required autoComplete="new-password" value={password} onChange={(event) => setPassword(event.target.value)} />}
            </Field>
            <RoleField value={role} onChange={setRole} />
          </div>
        </DialogBody>
        <DialogFooter>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="primary" busy={add.isPending}>
            Add
          </Button>
        </DialogFooter>
      </form>
    </Dialog>
  );
}

function Disable({ user, onClose }: { user: User; onClose: () => void }) {
  const put = usePut();
  const disable = useMutation({
    mutationFn: () => take(api.PATCH("/api/users/{id}", { params: { path: { id: user.id } }, body: { disabled: true } })),
    onSuccess: (changed) => {
      put(changed);
      toast(`${changed.username} is signed out and can’t sign in.`);
      onClose();
    },
  });
  const { data: used, isError } = useQuery(accountInUseQuery(user.id));
  return (
    <Dialog open onClose={onClose} title={`Disable ${user.username}`} width="sm">
      <DialogBody>
        <dl aria-label="What it takes along" aria-busy={used === undefined && !isError} className="mb-4 grid grid-cols-2 gap-px overflow-hidden rounded-lg border border-line bg-line text-center">
          <Taken number={used?.projects} isError={isError} one="running project" many="running projects" />
          <Taken number={used?.sign_ins} isError={isError} one="signed-in browser" many="signed-in browsers" />
          <Taken number={used?.api_tokens} isError={isError} one="API token" many="API tokens" />
          <Taken number={used?.invites} isError={isError} one="open invite" many="open invites" />
        </dl>
        <ul className="grid list-disc gap-1.5 pl-5">
          <li>{user.username} is signed out everywhere, at once.</li>
          <li>Their running projects stop, an answer under way with them.</li>
          <li>Their API tokens and the links of their invites stop working, until the account is enabled again.</li>
          <li>Their sign-ins at providers are not renewed meanwhile: some may have to be made again.</li>
          <li>Nothing is deleted: their projects and conversations stay, and the keys they connected stay sealed on this server. You can enable the account again.</li>
        </ul>
        {disable.error && (
          <p role="alert" className="mt-3 text-red">
            {asApiError(disable.error).message}
          </p>
        )}
      </DialogBody>
      <DialogFooter>
        <Button onClick={onClose}>Cancel</Button>
        <Button variant="danger-solid" autoFocus busy={disable.isPending} onClick={() => disable.mutate()}>
          Disable
        </Button>
      </DialogFooter>
    </Dialog>
  );
}

/** One number of what a disabled account takes along. */
function Taken({ number, isError, one, many }: { number: number | undefined; isError: boolean; one: string; many: string }) {
  return (
    <div className="flex flex-col-reverse bg-surface px-2 py-2">
      <dt className="text-xs text-muted">{number === 1 ? one : many}</dt>
      <dd className="text-lg font-semibold tabular-nums">{number ?? <span className="text-faint">{isError ? "?" : "–"}</span>}</dd>
    </div>
  );
}

function ResetPassword({ user, onClose }: { user: User; onClose: () => void }) {
  const [password, setPassword] = useState("");
  const reset = useMutation({
    mutationFn: () => take(api.PATCH("/api/users/{id}", { params: { path: { id: user.id } }, body: { password } })),
    onSuccess: () => {
      toast(`${user.username} has the new password and is signed out everywhere.`);
      onClose();
    },
  });
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    reset.mutate();
  };
  return (
    <Dialog open onClose={onClose} title={`New password for ${user.username}`} width="sm">
      <form onSubmit={submit}>
        <DialogBody>
          <Field label="New password" hint="At least 8 characters. They are signed out everywhere." error={reset.error ? asApiError(reset.error).message : undefined}>
            {(control) => <SecretInput {...control} required autoFocus autoComplete="new-password" value={password} onChange={(event) => setPassword(event.target.value)} />}
          </Field>
        </DialogBody>
        <DialogFooter>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="primary" busy={reset.isPending}>
            Set the password
          </Button>
        </DialogFooter>
      </form>
    </Dialog>
  );
}
