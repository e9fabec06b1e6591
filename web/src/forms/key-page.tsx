import { ExternalLink } from "lucide-react";

/** Where one gets a key: the hint under the field that takes it. */
export function KeyPage({ url }: { url: string }) {
  return (
    <>
      From{" "}
      <a className="link inline-flex items-center gap-1" href={url} target="_blank" rel="noopener noreferrer">
        {hostOf(url)}
        <ExternalLink className="size-3" aria-hidden />
      </a>
    </>
  );
}

function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}
