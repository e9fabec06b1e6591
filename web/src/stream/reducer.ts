// A conversation as a pure function of the stream's events. Nothing here reads a clock, a cache or the network.
import type { Message, Part } from "../api/types";
import { isNewer, type StreamEvent } from "./events";

export type Conversation = {
  /** Oldest first. */
  messages: Message[];
  /** Where the page before the first message starts; null at the beginning of the conversation. */
  earlier: string | null;
  /** The newest event that the snapshot holds: what came before it is in it already. */
  upTo: string | null;
  /** An event was missed: what is here is right up to somewhere, and has to be read again. */
  gap: boolean;
};

export type Snapshot = { items: Message[]; next: string | null; event_id: string | null };

export function conversationFrom(snapshot: Snapshot): Conversation {
  return { messages: snapshot.items, earlier: snapshot.next, upTo: snapshot.event_id, gap: false };
}

/** Puts an older page in front of what is already there. */
export function withEarlier(state: Conversation, page: Snapshot): Conversation {
  const known = new Set(state.messages.map((message) => message.id));
  return { ...state, messages: [...page.items.filter((message) => !known.has(message.id)), ...state.messages], earlier: page.next };
}

export function reduce(state: Conversation, projectId: string, event: StreamEvent): Conversation {
  if (!isNewer(event.id, state.upTo)) return state;
  switch (event.type) {
    case "message":
      return event.project_id === projectId ? upsertMessage(state, event.message) : state;
    case "part":
      return event.project_id === projectId ? upsertPart(state, event.message_id, event.part) : state;
    case "delta":
      return event.project_id === projectId ? appendDelta(state, event) : state;
    case "message_deleted":
      return event.project_id === projectId ? deleteMessage(state, event.message_id) : state;
    case "project":
    case "project_deleted":
    case "connection":
    case "connection_deleted":
    case "job":
    case "files":
    case "model_preferences":
    case "oauth_attempt":
    case "import":
    case "key_rotation":
    case "opencode":
    case "queue":
      return state;
  }
}

/** A `message` event comes without parts; the answer to a prompt comes with them. */
export function upsertMessage(state: Conversation, message: Message): Conversation {
  const at = state.messages.findIndex((known) => known.id === message.id);
  const known = state.messages[at];
  if (known !== undefined) {
    const parts = message.parts.length > 0 ? message.parts : known.parts;
    return { ...state, messages: state.messages.with(at, { ...message, parts }) };
  }
  let index = state.messages.length;
  while (index > 0 && (state.messages[index - 1]?.created_at ?? "") > message.created_at) index -= 1;
  return { ...state, messages: state.messages.toSpliced(index, 0, message) };
}

function upsertPart(state: Conversation, messageId: string, part: Part): Conversation {
  return changeMessage(state, messageId, (message) => {
    const at = message.parts.findIndex((known) => known.id === part.id);
    const known = message.parts[at];
    if (known === undefined) return { ...message, parts: [...message.parts, part] };
    return { ...message, parts: message.parts.with(at, part) };
  });
}

type Delta = Extract<StreamEvent, { type: "delta" }>;

function appendDelta(state: Conversation, event: Delta): Conversation {
  return changeMessage(state, event.message_id, (message) => {
    const at = message.parts.findIndex((part) => part.id === event.part_id);
    const part = message.parts[at];
    if (part === undefined) return null;
    const text = part.text ?? "";
    if (text.length > event.offset) return message;
    if (text.length < event.offset) return null;
    return { ...message, parts: message.parts.with(at, { ...part, text: text + event.delta }) };
  });
}

function deleteMessage(state: Conversation, messageId: string): Conversation {
  const messages = state.messages.filter((message) => message.id !== messageId);
  return messages.length === state.messages.length ? state : { ...state, messages };
}

/** Changes one message. `null`, or an unknown message, means that something before this was missed. */
function changeMessage(state: Conversation, id: string, change: (message: Message) => Message | null): Conversation {
  const at = state.messages.findIndex((message) => message.id === id);
  const message = state.messages[at];
  const changed = message === undefined ? null : change(message);
  if (changed === null) return state.gap ? state : { ...state, gap: true };
  if (changed === message) return state;
  return { ...state, messages: state.messages.with(at, changed) };
}
