import { asApiError } from "../api/client";
import { Button } from "../ui/button";
import { Notice } from "../ui/notice";
import { Reference } from "./reference";

/** What stands where a page would be, when it couldn't be read. */
export function PageError({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const problem = asApiError(error);
  return (
    <div className="mx-auto grid w-full max-w-md flex-1 content-center p-6">
      <Notice
        tone="red"
        role="alert"
        title={problem.status === 0 ? "doce can’t be reached" : problem.detail}
        actions={
          onRetry && (
            <Button size="sm" onClick={onRetry}>
              Try again
            </Button>
          )
        }
      >
        {problem.status === 0 ? problem.detail : problem.hint}
        {problem.requestId && <Reference id={problem.requestId} />}
      </Notice>
    </div>
  );
}
