import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "lucide-react";
import { api, done } from "../api/client";
import { invitesQuery, keys } from "../api/queries";
import type { Invite } from "../api/types";
import { Button } from "../ui/button";
import { day } from "./day";
import { PageError } from "./page-error";
import { tell } from "./project-actions";
import { RelativeTime } from "./relative-time";

/** The links that somebody could still use. Without one there is nothing to see. */
export function Invites() {
  const { data, error, isPending, refetch } = useQuery(invitesQuery);
  if (isPending || data?.length === 0) return null;
  if (data === undefined) return <PageError error={error} onRetry={() => void refetch()} />;
  return (
    <div className="grid gap-2">
      <h2 className="text-base font-medium">Links that nobody used yet</h2>
      <ul aria-label="Invites" className="divide-y divide-line rounded-lg border border-line bg-surface">
        {data.map((invite) => (
          <InviteRow key={invite.id} invite={invite} />
        ))}
      </ul>
    </div>
  );
}

function InviteRow({ invite }: { invite: Invite }) {
  const cache = useQueryClient();
  const revoke = useMutation({
    mutationFn: () => done(api.DELETE("/api/invites/{id}", { params: { path: { id: invite.id } } })),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.invites }),
    onError: tell,
  });
  return (
    <li className="flex items-center gap-3 px-3 py-2.5">
      <Link className="size-4 shrink-0 text-faint" aria-hidden />
      <div className="min-w-0 flex-1">
        <p>For {invite.role === "admin" ? "an admin" : "a member"}</p>
        <p className="text-xs text-muted">
          from {invite.by}, <RelativeTime at={invite.created_at} /> · until {day(invite.expires_at)}
        </p>
      </div>
      <Button size="sm" busy={revoke.isPending} onClick={() => revoke.mutate()}>
        Take back
      </Button>
    </li>
  );
}
