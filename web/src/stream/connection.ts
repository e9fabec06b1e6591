// The one stream of this browser, held by the tab that leads: connects, resumes, backs off.
import type { Frame, Transport } from "./sse";

export type Status = "connecting" | "open" | "reconnecting";

export type ConnectionEvents = {
  onStatus: (status: Status) => void;
  /** The stream is subscribed for these projects from here on. */
  onSubscribed: (projects: string[]) => void;
  /** What was missed can't be replayed: everything has to be read again. */
  onReset: () => void;
  onFrame: (frame: Frame) => void;
  onSignedOut: () => void;
};

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;

export function retryDelay(attempt: number, random: number): number {
  const full = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt);
  return full * (0.5 + random / 2);
}

export class StreamConnection {
  private wanted: Set<string>;
  /** What the stream that is open, or being opened, was asked for. */
  private asked = new Set<string>();
  private current: AbortController | null = null;
  private wake: (() => void) | null = null;
  private stopped = false;

  constructor(
    private readonly transport: Transport,
    private readonly events: ConnectionEvents,
    private lastId: string | null,
    projects: Iterable<string>,
  ) {
    this.wanted = new Set(projects);
    void this.run();
  }

  /** Says which projects' conversations are wanted. Fewer is no reason to reconnect, more is. */
  want(projects: Iterable<string>): void {
    this.wanted = new Set(projects);
    const missing = [...this.wanted].some((id) => !this.asked.has(id));
    if (missing) this.current?.abort();
  }

  /** Tries at once instead of waiting out the backoff, because the network or the person came back. */
  hurry(): void {
    this.wake?.();
  }

  stop(): void {
    this.stopped = true;
    this.current?.abort();
    this.wake?.();
  }

  private async run(): Promise<void> {
    let attempt = 0;
    this.events.onStatus("connecting");
    while (!this.stopped) {
      const controller = new AbortController();
      this.current = controller;
      const asked = [...this.wanted].sort();
      this.asked = new Set(asked);
      const resumedFrom = this.lastId;
      let newest: string | null = null;
      try {
        const end = await this.transport({
          url: streamUrl(asked, resumedFrom),
          signal: controller.signal,
          onFrame: (frame) => {
            if (frame.event === "hello") {
              newest = helloId(frame);
              attempt = 0;
              // A resumed stream replays from the old id, so that stays the one to resume from.
              if (this.lastId === null) {
                this.lastId = newest;
                this.events.onReset();
              }
              this.events.onStatus("open");
              this.events.onSubscribed(asked);
            } else if (frame.event === "reset") {
              // In the middle of a stream it names a later place than the beginning did.
              this.lastId = frame.id === "" ? newest : frame.id;
              this.events.onReset();
            } else {
              if (frame.id !== "") this.lastId = frame.id;
              this.events.onFrame(frame);
            }
          },
        });
        if (end.kind === "refused" && end.status === 401) {
          this.events.onSignedOut();
          return;
        }
      } catch {
        // Aborted or unreachable: both are answered by the next round.
      }
      if (this.stopped) return;
      if (controller.signal.aborted) continue;
      this.events.onStatus("reconnecting");
      await this.sleep(retryDelay(attempt, Math.random()));
      attempt += 1;
    }
  }

  private sleep(ms: number): Promise<void> {
    return new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    }).then(() => {
      this.wake = null;
    });
  }
}

export function streamUrl(projects: string[], lastId: string | null): string {
  const query = new URLSearchParams();
  for (const id of projects) query.append("project_id", id);
  if (lastId !== null) query.set("last_event_id", lastId);
  const text = query.toString();
  return text === "" ? "/api/stream" : `/api/stream?${text}`;
}

function helloId(frame: Frame): string | null {
  try {
    const { event_id } = JSON.parse(frame.data) as { event_id?: string };
    return event_id ?? null;
  } catch {
    return null;
  }
}
