// Which tab holds the stream. Web Locks decide where they exist; they need a secure context, so a page on plain http
// in a LAN decides over a BroadcastChannel; without either, each tab holds a stream of its own.

export type Election = (lead: () => () => void) => () => void;

/** Calls `lead` when this tab holds the lock, and ends its reign when the election is stopped. */
export function electByLock(locks: LockManager, name: string): Election {
  return (lead) => {
    const stop = new AbortController();
    void locks
      .request(name, { signal: stop.signal }, async () => {
        const resign = lead();
        await new Promise<void>((resolve) => {
          stop.signal.addEventListener("abort", () => resolve(), { once: true });
        });
        resign();
      })
      .catch(() => {
        // Stopped while it was waiting for its turn.
      });
    return () => stop.abort();
  };
}

type Vote = { kind: "who" } | { kind: "leader"; term: number; tab: string } | { kind: "resigned" };

/** How long a tab waits for a leader's word before it leads itself. Message events aren't throttled in the background. */
export const ANSWER_MS = 400;
/** How often a leader is asked whether it still lives; a crashed tab says nothing when it goes. */
export const CHECK_MS = 10_000;

export type VoteChannel = Pick<BroadcastChannel, "postMessage" | "close"> & { onmessage: ((event: MessageEvent) => unknown) | null };

/** Elects over a channel: the highest term leads, and between equal terms the lower tab id. */
export function electByChannel(open: () => VoteChannel, tab: string): Election {
  return (lead) => {
    const channel = open();
    let term = 0;
    let leading: { term: number; resign: () => void } | null = null;
    let answer: ReturnType<typeof setTimeout> | undefined;

    const say = (vote: Vote) => channel.postMessage(vote);
    const claim = () => {
      term += 1;
      leading = { term, resign: lead() };
      say({ kind: "leader", term, tab });
    };
    const ask = () => {
      if (leading !== null) return;
      clearTimeout(answer);
      // A little apart, so that several followers don't all claim at once.
      answer = setTimeout(claim, ANSWER_MS + Math.random() * ANSWER_MS);
      say({ kind: "who" });
    };

    channel.onmessage = ({ data }: MessageEvent<Vote>) => {
      if (data.kind === "who") {
        if (leading !== null) say({ kind: "leader", term: leading.term, tab });
        return;
      }
      if (data.kind === "resigned") {
        ask();
        return;
      }
      if (leading !== null) {
        const weaker = data.term > leading.term || (data.term === leading.term && data.tab < tab);
        if (!weaker) {
          say({ kind: "leader", term: leading.term, tab });
          return;
        }
        leading.resign();
        leading = null;
      }
      term = Math.max(term, data.term);
      clearTimeout(answer);
    };

    ask();
    const check = setInterval(ask, CHECK_MS);
    return () => {
      clearInterval(check);
      clearTimeout(answer);
      if (leading !== null) {
        leading.resign();
        leading = null;
        say({ kind: "resigned" });
      }
      channel.onmessage = null;
      channel.close();
    };
  };
}

/** Every tab leads itself. */
export const electAlone: Election = (lead) => lead();

export function chooseElection(name: string, tab: string): Election {
  if (typeof BroadcastChannel === "undefined") return electAlone;
  if (typeof navigator !== "undefined" && navigator.locks !== undefined) return electByLock(navigator.locks, name);
  return electByChannel(() => new BroadcastChannel(`${name}.votes`), tab);
}
