import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { retryDelay, StreamConnection, streamUrl, type ConnectionEvents } from "./connection";
import type { Frame, StreamEnd, Transport } from "./sse";

/** A transport that a test plays the server of. */
function fakeServer() {
  const calls: { url: string; say: (event: string, data?: unknown, id?: string) => void; end: (end?: StreamEnd) => void; aborted: () => boolean }[] = [];
  const transport: Transport = ({ url, signal, onFrame }) =>
    new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
      const say = (event: string, data: unknown = {}, id = "") => onFrame({ event, id, data: JSON.stringify(data) } satisfies Frame);
      calls.push({ url, say, end: (end = { kind: "closed" }) => resolve(end), aborted: () => signal.aborted });
    });
  return { transport, calls, last: () => calls.at(-1)! };
}

function listener() {
  return { onStatus: vi.fn(), onSubscribed: vi.fn(), onReset: vi.fn(), onFrame: vi.fn(), onSignedOut: vi.fn() } satisfies ConnectionEvents;
}

const settle = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("a_first_stream_asks_for_everything_to_be_read_once_it_is_there", async () => {
  const server = fakeServer();
  const heard = listener();
  const connection = new StreamConnection(server.transport, heard, null, []);
  await settle();
  expect(server.last().url).toBe("/api/stream");
  server.last().say("hello", { event_id: "b-7" });
  expect(heard.onReset).toHaveBeenCalledTimes(1);
  expect(heard.onStatus).toHaveBeenLastCalledWith("open");
  connection.stop();
});

it("a_stream_that_ends_is_resumed_from_the_last_event", async () => {
  const server = fakeServer();
  const heard = listener();
  const connection = new StreamConnection(server.transport, heard, null, []);
  await settle();
  server.last().say("hello", { event_id: "b-7" });
  server.last().say("job", {}, "b-8");
  server.last().end();
  await settle();
  expect(heard.onStatus).toHaveBeenLastCalledWith("reconnecting");
  await vi.advanceTimersByTimeAsync(500);
  expect(server.calls).toHaveLength(2);
  expect(server.last().url).toBe("/api/stream?last_event_id=b-8");
  connection.stop();
});

it("a_resumed_stream_that_breaks_before_its_replay_resumes_from_the_same_place", async () => {
  const server = fakeServer();
  const heard = listener();
  const connection = new StreamConnection(server.transport, heard, "b-3", []);
  await settle();
  server.last().say("hello", { event_id: "b-9" });
  server.last().end();
  await vi.advanceTimersByTimeAsync(500);
  expect(server.last().url).toBe("/api/stream?last_event_id=b-3");
  expect(heard.onReset).not.toHaveBeenCalled();
  connection.stop();
});

it("after_a_reset_everything_is_read_again_and_resumed_from_the_new_place", async () => {
  const server = fakeServer();
  const heard = listener();
  const connection = new StreamConnection(server.transport, heard, "old-3", []);
  await settle();
  server.last().say("hello", { event_id: "b-9" });
  server.last().say("reset");
  expect(heard.onReset).toHaveBeenCalledTimes(1);
  server.last().end();
  await vi.advanceTimersByTimeAsync(500);
  expect(server.last().url).toBe("/api/stream?last_event_id=b-9");
  connection.stop();
});

it("a_reset_in_the_middle_of_a_stream_names_its_own_place", async () => {
  const server = fakeServer();
  const heard = listener();
  const connection = new StreamConnection(server.transport, heard, null, []);
  await settle();
  server.last().say("hello", { event_id: "b-1" });
  server.last().say("job", {}, "b-2");
  server.last().say("reset", {}, "b-40");
  server.last().end();
  await vi.advanceTimersByTimeAsync(500);
  expect(server.last().url).toBe("/api/stream?last_event_id=b-40");
  connection.stop();
});

it("one_more_project_opens_the_stream_again_at_once_with_all_of_them", async () => {
  const server = fakeServer();
  const heard = listener();
  const connection = new StreamConnection(server.transport, heard, null, ["prj_1"]);
  await settle();
  server.last().say("hello", { event_id: "b-1" });
  connection.want(["prj_1", "prj_2"]);
  await settle();
  expect(server.calls).toHaveLength(2);
  expect(server.last().url).toBe("/api/stream?project_id=prj_1&project_id=prj_2&last_event_id=b-1");
  server.last().say("hello", { event_id: "b-1" });
  expect(heard.onSubscribed).toHaveBeenLastCalledWith(["prj_1", "prj_2"]);
  expect(heard.onStatus).not.toHaveBeenCalledWith("reconnecting");
  connection.stop();
});

it("one_project_less_leaves_the_stream_alone", async () => {
  const server = fakeServer();
  const connection = new StreamConnection(server.transport, listener(), null, ["prj_1", "prj_2"]);
  await settle();
  server.last().say("hello", { event_id: "b-1" });
  connection.want(["prj_1"]);
  await settle();
  expect(server.calls).toHaveLength(1);
  connection.stop();
});

it("a_project_that_is_wanted_while_connecting_is_asked_for_at_once", async () => {
  const server = fakeServer();
  const connection = new StreamConnection(server.transport, listener(), null, []);
  await settle();
  connection.want(["prj_1"]);
  await settle();
  expect(server.last().url).toContain("project_id=prj_1");
  connection.stop();
});

it("somebody_who_is_signed_out_is_not_asked_for_again", async () => {
  const server = fakeServer();
  const heard = listener();
  const connection = new StreamConnection(server.transport, heard, null, []);
  await settle();
  server.last().end({ kind: "refused", status: 401 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(heard.onSignedOut).toHaveBeenCalledTimes(1);
  expect(server.calls).toHaveLength(1);
  connection.stop();
});

it("hurry_ends_the_wait", async () => {
  const server = fakeServer();
  const connection = new StreamConnection(server.transport, listener(), null, []);
  await settle();
  for (let round = 0; round < 6; round += 1) {
    server.last().end();
    await vi.advanceTimersByTimeAsync(15_000);
  }
  const before = server.calls.length;
  server.last().end();
  await settle();
  connection.hurry();
  await settle();
  expect(server.calls).toHaveLength(before + 1);
  connection.stop();
});

it("the_wait_doubles_up_to_a_bound", () => {
  expect([0, 1, 2, 10].map((attempt) => retryDelay(attempt, 1))).toEqual([500, 1000, 2000, 15_000]);
  expect(retryDelay(0, 0)).toBe(250);
});

it("an_address_names_its_projects_and_its_place", () => {
  expect(streamUrl(["prj a"], "b-1")).toBe("/api/stream?project_id=prj+a&last_event_id=b-1");
});
