import { Button } from "../ui/button";
import { Notice } from "../ui/notice";
import { openReplace } from "./connection-actions";
import { openDialog } from "./dialogs";
import type { Trouble } from "./models";

/** Says why a model can't be used, and offers what mends it. Nothing is replaced by itself. */
export function ModelTrouble({ trouble, onChoose }: { trouble: Trouble; onChoose: () => void }) {
  const { mend, connection, providerId } = trouble;
  return (
    <Notice
      tone="amber"
      role="status"
      title={trouble.title}
      actions={
        <>
          {mend === "connect" && (
            <Button size="sm" variant="primary" onClick={() => openDialog({ kind: "connect-provider", providerId })}>
              Connect it
            </Button>
          )}
          {mend === "sign-in" && connection && (
            <Button size="sm" variant="primary" onClick={() => openReplace(connection)}>
              Sign in again
            </Button>
          )}
          <Button size="sm" onClick={onChoose}>
            Choose another model
          </Button>
        </>
      }
    >
      {trouble.detail}
    </Notice>
  );
}
