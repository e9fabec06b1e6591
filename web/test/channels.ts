/** Channels by name within one test: what one says, all others of that name hear a moment later. */
export class Channels {
  private readonly open = new Set<FakeChannel>();

  channel(): FakeChannel {
    const channel = new FakeChannel((data) => {
      for (const other of this.open) {
        if (other === channel) continue;
        const copy: unknown = structuredClone(data);
        queueMicrotask(() => other.onmessage?.({ data: copy } as MessageEvent));
      }
    }, () => this.open.delete(channel));
    this.open.add(channel);
    return channel;
  }
}

export class FakeChannel {
  onmessage: ((event: MessageEvent) => unknown) | null = null;
  constructor(
    private readonly say: (data: unknown) => void,
    readonly close: () => void,
  ) {}
  postMessage(data: unknown): void {
    this.say(data);
  }
}
