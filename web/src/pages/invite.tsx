import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, asApiError, take } from "../api/client";
import { Entry } from "../components/entry";
import { day } from "../components/day";
import { AcceptInviteForm } from "../forms/accept-invite";
import { Button } from "../ui/button";
import { Notice } from "../ui/notice";
import { Skeleton } from "../ui/skeleton";

/** Where the link of an invite leads. */
export default function InvitePage() {
  // A link that is opened over this page brings another hash; the page is loaded anew then.
  const [token] = useState(() => location.hash.slice(1));
  const navigate = useNavigate();
  const { data, error, isPending, refetch } = useQuery({
    queryKey: ["invited", token],
    queryFn: () => take(api.POST("/api/invited", { body: { token } })),
    retry: false,
    staleTime: Infinity,
    gcTime: 0,
  });
  if (isPending) {
    return (
      <Entry title="You are invited" lead="A moment …">
        <Skeleton className="h-40" />
      </Entry>
    );
  }
  if (data === undefined) {
    const problem = asApiError(error);
    const gone = problem.code === "invite_gone";
    return (
      <Entry title={gone ? "This link doesn’t work" : "You are invited"} lead={gone ? problem.message : "The link could not be looked at."}>
        {!gone && (
          <Notice tone="red" role="alert" title={problem.message}>
            {problem.hint}
          </Notice>
        )}
        <div className="flex gap-2">
          {!gone && <Button onClick={() => void refetch()}>Try again</Button>}
          <Button onClick={() => void navigate({ to: "/sign-in" })}>Sign in instead</Button>
        </div>
      </Entry>
    );
  }
  return (
    <Entry
      title={`${data.by} invites you to doce`}
      lead={data.role === "admin" ? "Make your account. It will be an admin’s: you look after people and the server, too." : "Describe an app and watch an agent build it. Make your account to begin: your projects and keys are yours alone."}
      foot={`The link works once, until ${day(data.expires_at)}.`}
    >
      <AcceptInviteForm token={token} />
    </Entry>
  );
}
