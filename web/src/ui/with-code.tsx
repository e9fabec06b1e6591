/** A sentence of the server’s, in which names and commands stand between backticks. */
export function WithCode({ children }: { children: string }) {
  const pieces = [...children.matchAll(/`([^`]*)`|[^`]+/g)];
  return (
    <>
      {pieces.map(({ 0: text, 1: code, index }) =>
        code === undefined ? (
          text
        ) : (
          <code key={`at ${index}`} className="font-mono select-all">
            {code}
          </code>
        ),
      )}
    </>
  );
}
