// Reads `text/event-stream` from a fetch. Not EventSource: that hides the status, the waiting time and when to give up.

export type Frame = { id: string; event: string; data: string };

/** Cuts a stream of text into frames. Keeps what is incomplete until the rest arrives. */
export function createFrameParser(onFrame: (frame: Frame) => void): (text: string) => void {
  let rest = "";
  let id = "";
  let event = "";
  let data: string[] = [];

  const line = (text: string) => {
    if (text === "") {
      if (data.length > 0) onFrame({ id, event: event || "message", data: data.join("\n") });
      id = "";
      event = "";
      data = [];
      return;
    }
    if (text.startsWith(":")) return;
    const colon = text.indexOf(":");
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (field === "id") id = value;
    else if (field === "event") event = value;
    else if (field === "data") data.push(value);
  };

  return (text) => {
    rest += text;
    // A carriage return at the very end may be the first half of a CRLF.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    for (const each of lines) line(each);
  };
}

export type StreamEnd = { kind: "closed" } | { kind: "refused"; status: number };

export type Transport = (options: { url: string; signal: AbortSignal; onFrame: (frame: Frame) => void }) => Promise<StreamEnd>;

/** A stream that has sent heartbeats and then nothing for this long is dead, whatever the socket says. */
const SILENCE_MS = 60_000;

/** Reads one stream to its end. Resolves when it ends for whatever reason; rejects only if it was aborted or unreachable. */
export const fetchTransport: Transport = async ({ url, signal, onFrame }) => {
  const silence = new AbortController();
  const response = await fetch(url, {
    headers: { accept: "text/event-stream" },
    cache: "no-store",
    signal: AbortSignal.any([signal, silence.signal]),
  });
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    return { kind: "refused", status: response.status };
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const feed = createFrameParser(onFrame);
  let heartbeats = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return { kind: "closed" };
      if (value.startsWith(":")) heartbeats = true;
      clearTimeout(timer);
      if (heartbeats) timer = setTimeout(() => silence.abort(), SILENCE_MS);
      feed(value);
    }
  } finally {
    clearTimeout(timer);
  }
};
