/** A sentence of the server’s, in which names and commands stand between backticks. */
export function WithCode({ children }: { children: string }) {
  return (
    <>
      {children.split("`").map((piece, index) =>
        index % 2 === 0 ? (
          piece
        ) : (
          <code key={index} className="font-mono select-all">
            {piece}
          </code>
        ),
      )}
    </>
  );
}
