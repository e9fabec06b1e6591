import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { useState } from "react";
import { api, done } from "../api/client";
import { keys, tokensQuery } from "../api/queries";
import type { ApiToken } from "../api/types";
import { CreateToken } from "../forms/create-token";
import { Badge } from "../ui/badge";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFooter } from "../ui/dialog";
import { Skeleton } from "../ui/skeleton";
import { day } from "./day";
import { PageError } from "./page-error";
import { tell } from "./project-actions";
import { RelativeTime, useNow } from "./relative-time";

/** What scripts hold of this account, and how to take it away. */
export function ApiTokens() {
  const { data, error, isPending, refetch } = useQuery(tokensQuery);
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<ApiToken | null>(null);
  return (
    <div className="grid gap-3">
      {isPending && <Skeleton className="h-16" />}
      {!isPending && data === undefined && <PageError error={error} onRetry={() => void refetch()} />}
      {data !== undefined && data.length > 0 && (
        <ul aria-label="API tokens" className="divide-y divide-line rounded-lg border border-line bg-surface">
          {data.map((token) => (
            <TokenRow key={token.id} token={token} onRevoke={() => setRevoking(token)} />
          ))}
        </ul>
      )}
      {data?.length === 0 && <p className="text-sm text-muted">There is none.</p>}
      <div>
        <Button onClick={() => setCreating(true)}>Make a token</Button>
      </div>
      {creating && <CreateToken onClose={() => setCreating(false)} />}
      {revoking && <Revoke token={revoking} onClose={() => setRevoking(null)} />}
    </div>
  );
}

function TokenRow({ token, onRevoke }: { token: ApiToken; onRevoke: () => void }) {
  const now = useNow();
  const ended = token.expires_at !== null && new Date(token.expires_at).getTime() <= now;
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-2 px-3 py-2.5">
      <KeyRound className="size-4 shrink-0 text-faint" aria-hidden />
      <div className="min-w-0 flex-1 basis-40">
        <p className="flex items-center gap-2">
          <span className={ended ? "truncate text-muted" : "truncate font-medium"} title={token.name}>
            {token.name}
          </span>
          <Badge>{token.scope}</Badge>
          {ended && <Badge tone="amber">ended</Badge>}
        </p>
        <p className="text-xs text-muted">
          {token.last_used_at === null ? (
            "never used"
          ) : (
            <>
              used <RelativeTime at={token.last_used_at} />
              {token.last_address !== "" && (
                <>
                  {" "}
                  from <span className="font-mono">{token.last_address}</span>
                </>
              )}
            </>
          )}
          {token.expires_at !== null && ` · ${ended ? "ended" : "ends"} ${day(token.expires_at)}`}
        </p>
      </div>
      <Button size="sm" onClick={onRevoke} aria-label={`Revoke ${token.name}`}>
        Revoke
      </Button>
    </li>
  );
}

function Revoke({ token, onClose }: { token: ApiToken; onClose: () => void }) {
  const cache = useQueryClient();
  const revoke = useMutation({
    mutationFn: () => done(api.DELETE("/api/tokens/{id}", { params: { path: { id: token.id } } })),
    onSuccess: async () => {
      await cache.invalidateQueries({ queryKey: keys.tokens });
      onClose();
    },
    onError: tell,
  });
  return (
    <Dialog open onClose={onClose} title={`Revoke ${token.name}`} width="sm">
      <DialogBody>
        <p>Whatever uses this token is refused from now on. It can’t be brought back; you can make another one.</p>
      </DialogBody>
      <DialogFooter>
        <Button onClick={onClose}>Cancel</Button>
        <Button variant="danger" autoFocus busy={revoke.isPending} onClick={() => revoke.mutate()}>
          Revoke
        </Button>
      </DialogFooter>
    </Dialog>
  );
}
