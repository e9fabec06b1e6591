import { useQuery } from "@tanstack/react-query";
import { connectionsQuery } from "../api/queries";
import { Button } from "../ui/button";
import { Notice } from "../ui/notice";
import { openReplace } from "./connection-actions";
import { ageWords, daysLeft } from "./key-age";
import { useNow } from "./relative-time";

/** Says which keys want replacing, where a person passes anyway. */
export function KeyAgeNotice() {
  const now = useNow();
  const { data: connections } = useQuery(connectionsQuery);
  const due = (connections ?? []).flatMap((connection) => {
    const left = daysLeft(connection, now);
    return left === null ? [] : [{ connection, left }];
  });
  if (due.length === 0) return null;
  due.sort((a, b) => a.left - b.left);
  return (
    <Notice tone="amber" title={due.length === 1 ? "A key wants replacing" : `${due.length} keys want replacing`}>
      <ul className="grid gap-1">
        {due.map(({ connection, left }) => (
          <li key={connection.id} className="flex flex-wrap items-center gap-x-2 gap-y-1">
            <span className="min-w-0 flex-1">
              <span className="text-text">{connection.provider_name}</span> ({connection.label}): {ageWords(connection, left)}
            </span>
            <Button size="sm" aria-label={`${connection.auth_type === "oauth" ? "Sign in again" : "Replace"}: ${connection.provider_name} ${connection.label}`} onClick={() => openReplace(connection)}>
              {connection.auth_type === "oauth" ? "Sign in again" : "Replace"}
            </Button>
          </li>
        ))}
      </ul>
    </Notice>
  );
}
