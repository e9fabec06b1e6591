import { describe, expect, it } from "vitest";
import { aConnection, aJob, aMessage, aProject, aText, aTool } from "../../test/nouns";
import type { Message } from "../api/types";
import type { StreamEvent, StreamPayload } from "./events";
import { conversationFrom, reduce, upsertMessage, withEarlier, type Conversation } from "./reducer";

const event = (payload: StreamPayload): StreamEvent => ({ ...payload, id: "b-1" });
const start = (...messages: Message[]): Conversation => conversationFrom({ items: messages, next: null, event_id: null });
const apply = (state: Conversation, payload: StreamPayload) => reduce(state, "prj_1", event(payload));

describe("message", () => {
  it("a_new_message_is_put_at_its_time", () => {
    const early = aMessage({ id: "msg_a", created_at: "2026-01-01T00:00:00.000Z" });
    const late = aMessage({ id: "msg_c", created_at: "2026-01-03T00:00:00.000Z" });
    const between = aMessage({ id: "msg_b", created_at: "2026-01-02T00:00:00.000Z" });
    const state = apply(start(early, late), { type: "message", project_id: "prj_1", message: between });
    expect(state.messages.map((message) => message.id)).toEqual(["msg_a", "msg_b", "msg_c"]);
  });

  it("a_known_message_changes_state_and_keeps_its_parts", () => {
    const state = apply(start(aMessage({ parts: [aText("hello")] })), { type: "message", project_id: "prj_1", message: aMessage({ state: "complete" }) });
    expect(state.messages[0]).toMatchObject({ state: "complete", parts: [{ text: "hello" }] });
  });

  it("an_answer_that_carries_parts_replaces_them", () => {
    const state = upsertMessage(start(aMessage({ parts: [aText("old")] })), aMessage({ parts: [aText("new")] }));
    expect(state.messages[0]?.parts[0]?.text).toBe("new");
  });
});

describe("part", () => {
  it("a_new_part_goes_to_the_end", () => {
    const state = apply(start(aMessage({ parts: [aText("one")] })), { type: "part", project_id: "prj_1", message_id: "msg_1", part: aText("two", "prt_2") });
    expect(state.messages[0]?.parts.map((part) => part.text)).toEqual(["one", "two"]);
  });

  it("a_known_part_is_replaced_where_it_stands", () => {
    const before = start(aMessage({ parts: [{ id: "prt_1", kind: "tool", text: null, tool: aTool({ status: "running" }) }, aText("after", "prt_2")] }));
    const state = apply(before, { type: "part", project_id: "prj_1", message_id: "msg_1", part: { id: "prt_1", kind: "tool", text: null, tool: aTool({ status: "completed", output: "ok" }) } });
    expect(state.messages[0]?.parts[0]?.tool).toMatchObject({ status: "completed", output: "ok" });
    expect(state.messages[0]?.parts[1]?.text).toBe("after");
  });

  it("a_part_of_an_unknown_message_is_a_gap", () => {
    expect(apply(start(), { type: "part", project_id: "prj_1", message_id: "msg_9", part: aText("x") }).gap).toBe(true);
  });
});

describe("delta", () => {
  const delta = (offset: number, text: string): StreamPayload => ({ type: "delta", project_id: "prj_1", message_id: "msg_1", part_id: "prt_1", offset, delta: text });

  it("a_delta_at_the_end_is_appended", () => {
    expect(apply(start(aMessage({ parts: [aText("Hel")] })), delta(3, "lo")).messages[0]?.parts[0]?.text).toBe("Hello");
  });

  it("offsets_count_utf16_units", () => {
    expect(apply(start(aMessage({ parts: [aText("🥐")] })), delta(2, "!")).messages[0]?.parts[0]?.text).toBe("🥐!");
  });

  it("a_delta_that_is_already_there_changes_nothing", () => {
    const before = start(aMessage({ parts: [aText("Hello")] }));
    expect(apply(before, delta(3, "lo"))).toBe(before);
  });

  it("a_delta_beyond_the_end_is_a_gap_and_leaves_the_text_alone", () => {
    const state = apply(start(aMessage({ parts: [aText("He")] })), delta(4, "o"));
    expect(state.gap).toBe(true);
    expect(state.messages[0]?.parts[0]?.text).toBe("He");
  });

  it("a_delta_of_an_unknown_part_is_a_gap", () => {
    expect(apply(start(aMessage()), delta(0, "x")).gap).toBe(true);
  });

  it("other_messages_keep_their_identity", () => {
    const other = aMessage({ id: "msg_0", created_at: "2026-01-01T00:00:00.000Z", parts: [aText("fixed")] });
    expect(apply(start(other, aMessage({ parts: [aText("")] })), delta(0, "x")).messages[0]).toBe(other);
  });
});

describe("message_deleted", () => {
  it("a_deleted_message_is_gone", () => {
    expect(apply(start(aMessage()), { type: "message_deleted", project_id: "prj_1", message_id: "msg_1" }).messages).toEqual([]);
  });

  it("deleting_an_unknown_message_changes_nothing", () => {
    const before = start(aMessage());
    expect(apply(before, { type: "message_deleted", project_id: "prj_1", message_id: "msg_9" })).toBe(before);
  });
});

describe("what is about something else", () => {
  const others: StreamPayload[] = [
    { type: "project", project: aProject() },
    { type: "project_deleted", project_id: "prj_1" },
    { type: "connection", connection: aConnection() },
    { type: "connection_deleted", connection_id: "con_1" },
    { type: "job", job: aJob() },
    { type: "files", project_id: "prj_1" },
    { type: "message", project_id: "prj_2", message: aMessage({ id: "msg_2" }) },
    { type: "part", project_id: "prj_2", message_id: "msg_1", part: aText("x") },
    { type: "delta", project_id: "prj_2", message_id: "msg_1", part_id: "prt_1", offset: 0, delta: "x" },
    { type: "message_deleted", project_id: "prj_2", message_id: "msg_1" },
  ];
  it.each(others.map((payload) => [payload.type, payload] as const))("%s_leaves_the_conversation_as_it_is", (_, payload) => {
    const before = start(aMessage());
    expect(apply(before, payload)).toBe(before);
  });
});

it("an_event_that_the_snapshot_holds_already_changes_nothing", () => {
  const state = conversationFrom({ items: [aMessage({ parts: [aText("Hello world")] })], next: null, event_id: "b-7" });
  const late = (id: string): StreamEvent => ({ id, type: "part", project_id: "prj_1", message_id: "msg_1", part: aText("Hello") });
  expect(reduce(state, "prj_1", late("b-6"))).toBe(state);
  expect(reduce(state, "prj_1", late("b-7"))).toBe(state);
  expect(reduce(state, "prj_1", late("b-8")).messages[0]?.parts[0]?.text).toBe("Hello");
});

it("an_earlier_page_goes_in_front_without_doubles", () => {
  const first = aMessage({ id: "msg_0", created_at: "2026-01-01T00:00:00.000Z" });
  const state = withEarlier({ ...start(aMessage()), earlier: "cur" }, { items: [first, aMessage()], next: null, event_id: null });
  expect(state.messages.map((message) => message.id)).toEqual(["msg_0", "msg_1"]);
  expect(state.earlier).toBeNull();
});
