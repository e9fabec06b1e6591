import type { ApiError } from "../api/client";
import { Button } from "../ui/button";
import { Notice } from "../ui/notice";

type Props = { providerName: string; keyUrl: string | null; problem: ApiError; keeping: boolean; onKeep: () => void; onEdit: () => void };

/** The provider said no to a key: copy it again, make another, or keep it in spite of that. */
export function RejectedKey({ providerName, keyUrl, problem, keeping, onKeep, onEdit }: Props) {
  return (
    <Notice
      tone="red"
      role="alert"
      title={problem.message}
      actions={
        <>
          <Button size="sm" onClick={onEdit}>
            Edit
          </Button>
          <Button size="sm" variant="ghost" busy={keeping} onClick={onKeep}>
            Keep anyway
          </Button>
        </>
      }
    >
      {problem.hint ?? "Check that all of it was copied."}{" "}
      {keyUrl && (
        <a className="link" href={keyUrl} target="_blank" rel="noopener noreferrer">
          Create a new key at {providerName}
        </a>
      )}
    </Notice>
  );
}
