import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Monitor, Moon, Sun } from "lucide-react";
import { api, done } from "../../api/client";
import { keys, signInsQuery, systemQuery } from "../../api/queries";
import { meQuery } from "../../api/session";
import type { SignIn } from "../../api/types";
import { ApiTokens } from "../../components/api-tokens";
import { PageError } from "../../components/page-error";
import { tell } from "../../components/project-actions";
import { RelativeTime } from "../../components/relative-time";
import { Section } from "../../components/section";
import { signOut } from "../../components/sign-out";
import { setTheme, useTheme, type ThemeChoice } from "../../components/theme";
import { ChangePasswordForm } from "../../forms/change-password";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Segmented } from "../../ui/segmented";
import { Skeleton } from "../../ui/skeleton";

export default function Account() {
  const { data: me } = useQuery(meQuery);
  const { data: system } = useQuery(systemQuery);
  const theme = useTheme();
  return (
    <div className="grid gap-8">
      <title>Account · doce</title>
      <header className="flex flex-wrap items-center gap-3">
        <div className="min-w-0 flex-1">
          <h1 className="text-xl font-semibold tracking-tight">Account</h1>
          <p className="flex items-center gap-2 text-muted">
            {me?.username} {me && <Badge>{me.role}</Badge>}
          </p>
        </div>
        <Button onClick={() => void signOut()}>Sign out</Button>
      </header>
      <Section title="Theme" lead="Kept in this browser.">
        <Segmented<ThemeChoice>
          label="Theme"
          value={theme}
          onChange={setTheme}
          options={[
            { value: "system", label: <><Monitor aria-hidden /> System</> },
            { value: "light", label: <><Sun aria-hidden /> Light</> },
            { value: "dark", label: <><Moon aria-hidden /> Dark</> },
          ]}
        />
      </Section>
      <Section title="Password" lead="Changing it ends every other sign-in.">
        <ChangePasswordForm username={me?.username ?? ""} />
      </Section>
      <Section title="Sign-ins" lead="Browsers that are signed in to this account.">
        <SignIns />
      </Section>
      <Section title="API tokens" lead="For scripts, and for the doce command of another machine. Each may do no more than its scope, and never more than you.">
        <ApiTokens />
      </Section>
      {system && (
        <Section title="This server" lead="What runs here.">
          <dl className="grid grid-cols-[7rem_minmax(0,1fr)] gap-y-1.5 [&>dt]:text-muted">
            <dt>doce</dt>
            <dd className="tabular-nums">{system.version}</dd>
            <dt>OpenCode</dt>
            <dd className="tabular-nums">{system.opencode.state === "ready" ? system.opencode.version : { checking: "being looked for", installing: "being installed", failed: "not available" }[system.opencode.state]}</dd>
            <dt>Sandbox</dt>
            <dd>
              {{ active: "works", unavailable: "doesn’t work", overridden: "switched off" }[system.sandbox.state]}
              <span className="text-muted"> · {system.sandbox.detail}</span>
            </dd>
            {system.data_dir && (
              <>
                <dt>Data</dt>
                <dd className="font-mono text-xs break-all">{system.data_dir}</dd>
              </>
            )}
          </dl>
        </Section>
      )}
    </div>
  );
}

function SignIns() {
  const { data, error, refetch, isPending } = useQuery(signInsQuery);
  if (isPending) return <Skeleton className="h-24" />;
  if (data === undefined) return <PageError error={error} onRetry={() => void refetch()} />;
  return (
    <ul className="divide-y divide-line rounded-lg border border-line bg-surface">
      {data.map((signIn) => (
        <SignInRow key={signIn.id} signIn={signIn} />
      ))}
    </ul>
  );
}

function SignInRow({ signIn }: { signIn: SignIn }) {
  const cache = useQueryClient();
  const end = useMutation({
    mutationFn: () => done(api.DELETE("/api/sign-ins/{id}", { params: { path: { id: signIn.id } } })),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.signIns }),
    onError: tell,
  });
  return (
    <li className="flex items-center gap-3 px-3 py-2.5">
      <Monitor className="size-4 shrink-0 text-faint" aria-hidden />
      <div className="min-w-0 flex-1">
        <p className="flex items-center gap-2">
          <span className="truncate" title={signIn.user_agent}>
            {browserOf(signIn.user_agent)}
          </span>
          {signIn.current && <Badge tone="green">this browser</Badge>}
        </p>
        <p className="text-xs text-muted">
          <span className="font-mono">{signIn.address}</span> · last seen <RelativeTime at={signIn.last_seen_at} /> · since <RelativeTime at={signIn.created_at} />
        </p>
      </div>
      {!signIn.current && (
        <Button size="sm" busy={end.isPending} onClick={() => end.mutate()}>
          End
        </Button>
      )}
    </li>
  );
}

/** "Firefox on Linux": what a person recognises in a user agent. */
export function browserOf(agent: string): string {
  const browser = [
    ["Edg/", "Edge"],
    ["OPR/", "Opera"],
    ["Firefox/", "Firefox"],
    ["Chrome/", "Chrome"],
    ["Safari/", "Safari"],
    ["curl/", "curl"],
  ].find(([mark]) => agent.includes(mark ?? ""))?.[1];
  const system = [
    ["iPhone", "iPhone"],
    ["iPad", "iPad"],
    ["Android", "Android"],
    ["Windows", "Windows"],
    ["Mac OS X", "macOS"],
    ["Linux", "Linux"],
  ].find(([mark]) => agent.includes(mark ?? ""))?.[1];
  if (browser && system) return `${browser} on ${system}`;
  return browser ?? (agent === "" ? "Unknown browser" : agent.slice(0, 40));
}
