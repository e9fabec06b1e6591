// One stream per browser, as each tab sees it: events to listen to, projects to watch, a status to show.
// The tab that leads holds the connection and hands its frames on; the others tell it what they watch.
import { reportSignedOut } from "../api/client";
import { StreamConnection, type Status } from "./connection";
import { chooseElection, type Election } from "./election";
import { isEventType, type StreamEvent, type StreamPayload } from "./events";
import { fetchTransport, type Frame, type Transport } from "./sse";

export type { Status } from "./connection";

type Wire =
  | { kind: "watch"; tab: string; projects: string[] }
  | { kind: "gone"; tab: string }
  | { kind: "lead" }
  | { kind: "status"; status: Status; subscribed: string[]; lastId: string | null }
  | { kind: "frame"; frame: Frame }
  | { kind: "reset" }
  | { kind: "signed-out" };

export type HubChannel = Pick<BroadcastChannel, "postMessage" | "close"> & { onmessage: ((event: MessageEvent) => unknown) | null };

export type HubOptions = {
  tab: string;
  transport: Transport;
  election: Election;
  channel: () => HubChannel | null;
};

/** How long a page waits for its subscription before it reads without one. It reads again when the stream is there. */
const SUBSCRIBE_MS = 2_500;

/** The server refuses a stream of more conversations. A tab that crashed may leave some behind. */
const WATCHED_MOST = 64;

export class Hub {
  private readonly listeners = new Set<(event: StreamEvent) => void>();
  private readonly resets = new Set<() => void>();
  private readonly statusListeners = new Set<() => void>();
  private readonly acks = new Set<() => void>();
  private readonly mine = new Map<string, number>();
  private readonly others = new Map<string, string[]>();
  private subscribed = new Set<string>();
  private lastId: string | null = null;
  private connection: StreamConnection | null = null;
  private channel: HubChannel | null = null;
  private stopElection: (() => void) | null = null;
  private statusValue: Status = "connecting";
  /** Whether something happened, perhaps, between what this page knows and the first frame that another tab handed on. */
  private mayHaveMissed = false;

  constructor(private readonly options: HubOptions) {}

  get started(): boolean {
    return this.stopElection !== null;
  }

  /** Joins the stream, after an event if one is named: what this page knows already is as old as that. */
  start(after: string | null = null): void {
    if (this.started) return;
    this.lastId = after;
    this.mayHaveMissed = after !== null;
    this.channel = this.options.channel();
    if (this.channel !== null) this.channel.onmessage = ({ data }: MessageEvent<Wire>) => this.receive(data);
    this.announce();
    this.stopElection = this.options.election(() => this.lead());
    window.addEventListener("pagehide", this.onPageHide);
    window.addEventListener("pageshow", this.onPageShow);
    window.addEventListener("online", this.hurry);
    document.addEventListener("visibilitychange", this.hurry);
  }

  stop(): void {
    if (!this.started) return;
    window.removeEventListener("pagehide", this.onPageHide);
    window.removeEventListener("pageshow", this.onPageShow);
    window.removeEventListener("online", this.hurry);
    document.removeEventListener("visibilitychange", this.hurry);
    this.leave();
  }

  /** Calls back for each event, in the order of the stream. */
  listen(listener: (event: StreamEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  onReset(listener: () => void): () => void {
    this.resets.add(listener);
    return () => this.resets.delete(listener);
  }

  readonly onStatus = (listener: () => void): (() => void) => {
    this.statusListeners.add(listener);
    return () => this.statusListeners.delete(listener);
  };

  readonly status = (): Status => this.statusValue;

  /** Adds a project's conversation to the stream until the returned function is called. */
  watch(projectId: string): () => void {
    this.mine.set(projectId, (this.mine.get(projectId) ?? 0) + 1);
    this.announce();
    let released = false;
    return () => {
      if (released) return;
      released = true;
      const count = (this.mine.get(projectId) ?? 1) - 1;
      if (count > 0) this.mine.set(projectId, count);
      else this.mine.delete(projectId);
      this.announce();
    };
  }

  /** Resolves when the stream carries a project's conversation, or after a bound without it; the answer says which. */
  watching(projectId: string): Promise<boolean> {
    if (this.isSubscribed(projectId) || !this.started) return Promise.resolve(this.started);
    return new Promise((resolve) => {
      const finish = (ok: boolean) => {
        clearTimeout(timer);
        this.acks.delete(check);
        resolve(ok);
      };
      const check = () => {
        if (this.isSubscribed(projectId)) finish(true);
      };
      const timer = setTimeout(() => {
        finish(false);
        this.readAgainWhenSubscribed(projectId);
      }, SUBSCRIBE_MS);
      this.acks.add(check);
    });
  }

  /** Runs a read and gives, beside its result, the events that arrived meanwhile: they may not be in it. */
  async during<T>(read: () => Promise<T>): Promise<{ result: T; events: StreamEvent[] }> {
    const events: StreamEvent[] = [];
    const stop = this.listen((event) => events.push(event));
    try {
      return { result: await read(), events };
    } finally {
      stop();
    }
  }

  private isSubscribed(projectId: string): boolean {
    return this.statusValue === "open" && this.subscribed.has(projectId);
  }

  private readAgainWhenSubscribed(projectId: string): void {
    const check = () => {
      if (!this.isSubscribed(projectId)) return;
      this.acks.delete(check);
      for (const listener of this.resets) listener();
    };
    this.acks.add(check);
  }

  private lead(): () => void {
    this.mayHaveMissed = false;
    this.connection = new StreamConnection(
      this.options.transport,
      {
        onStatus: (status) => {
          this.setStatus(status);
          this.tellStatus();
        },
        onSubscribed: (projects) => {
          this.subscribed = new Set(projects);
          this.tellStatus();
          this.acknowledge();
        },
        onReset: () => {
          for (const listener of this.resets) listener();
          this.tell({ kind: "reset" });
        },
        onFrame: (frame) => {
          this.take(frame);
          this.tell({ kind: "frame", frame });
        },
        onSignedOut: () => {
          this.tell({ kind: "signed-out" });
          reportSignedOut();
        },
      },
      this.lastId,
      this.union(),
    );
    this.tell({ kind: "lead" });
    return () => {
      this.connection?.stop();
      this.connection = null;
    };
  }

  private receive(message: Wire): void {
    switch (message.kind) {
      case "watch":
        this.others.set(message.tab, message.projects);
        this.wantUnion();
        if (this.connection !== null) this.tellStatus();
        return;
      case "gone":
        this.others.delete(message.tab);
        this.wantUnion();
        return;
      case "lead":
        this.announce();
        return;
      case "status":
        if (this.connection !== null) return;
        this.subscribed = new Set(message.subscribed);
        this.lastId = message.lastId ?? this.lastId;
        if (this.mayHaveMissed) {
          this.mayHaveMissed = false;
          for (const listener of this.resets) listener();
        }
        this.setStatus(message.status);
        this.acknowledge();
        return;
      case "frame":
        if (this.connection === null) this.take(message.frame);
        return;
      case "reset":
        if (this.connection === null) for (const listener of this.resets) listener();
        return;
      case "signed-out":
        reportSignedOut();
        return;
    }
  }

  private take(frame: Frame): void {
    if (frame.id !== "") this.lastId = frame.id;
    const event = decode(frame);
    if (event !== null) for (const listener of this.listeners) listener(event);
  }

  private announce(): void {
    this.tell({ kind: "watch", tab: this.options.tab, projects: [...this.mine.keys()] });
    this.wantUnion();
  }

  private wantUnion(): void {
    this.connection?.want(this.union());
  }

  private union(): Set<string> {
    const newestFirst = Array.from(this.others.values()).toReversed();
    return new Set([...this.mine.keys(), ...newestFirst.flat()].slice(0, WATCHED_MOST));
  }

  private tellStatus(): void {
    this.tell({ kind: "status", status: this.statusValue, subscribed: [...this.subscribed], lastId: this.lastId });
  }

  private tell(message: Wire): void {
    this.channel?.postMessage(message);
  }

  private acknowledge(): void {
    for (const check of this.acks) check();
  }

  private setStatus(status: Status): void {
    if (status === this.statusValue) return;
    this.statusValue = status;
    for (const listener of this.statusListeners) listener();
  }

  private leave(): void {
    this.tell({ kind: "gone", tab: this.options.tab });
    this.stopElection?.();
    this.stopElection = null;
    this.channel?.close();
    this.channel = null;
    this.lastId = null;
    this.subscribed = new Set();
    this.others.clear();
    this.setStatus("connecting");
  }

  private readonly hurry = () => {
    if (document.visibilityState === "visible") this.connection?.hurry();
  };

  private readonly onPageHide = () => this.leave();

  // A page that comes back from the back/forward cache has missed what happened: it joins as a new tab would.
  private readonly onPageShow = (event: PageTransitionEvent) => {
    if (!event.persisted || this.started) return;
    this.start();
    for (const listener of this.resets) listener();
  };
}

function decode(frame: Frame): StreamEvent | null {
  if (!isEventType(frame.event)) return null;
  try {
    const payload = JSON.parse(frame.data) as Record<string, unknown>;
    return { ...payload, type: frame.event, id: frame.id } as unknown as StreamPayload & { id: string };
  } catch {
    return null;
  }
}

const NAME = "doce.stream";

function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function createHub(): Hub {
  const tab = randomId();
  return new Hub({
    tab,
    transport: fetchTransport,
    election: chooseElection(NAME, tab),
    channel: () => (typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(NAME)),
  });
}

export const stream = createHub();
