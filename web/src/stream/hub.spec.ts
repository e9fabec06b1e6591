import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Channels } from "../../test/channels";
import type { Election } from "./election";
import { Hub } from "./hub";
import type { Transport } from "./sse";

type Call = { url: string; say: (event: string, data: unknown, id?: string) => void };

/** Tabs of one browser: the first that enters leads, and the next one when it leaves. */
function browser() {
  const channels = new Channels();
  const calls: Call[] = [];
  const waiting: (() => void)[] = [];
  const transport: Transport = ({ url, signal, onFrame }) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
      calls.push({ url, say: (event, data, id = "") => onFrame({ event, id, data: JSON.stringify(data) }) });
    });
  const election: Election = (lead) => {
    let resign: (() => void) | null = null;
    const enter = () => (resign = lead());
    if (waiting.length === 0) enter();
    waiting.push(enter);
    return () => {
      const at = waiting.indexOf(enter);
      waiting.splice(at, 1);
      if (resign !== null) {
        resign();
        waiting[0]?.();
      }
    };
  };
  const tab = (name: string, after: string | null = null, onReset = () => {}) => {
    const hub = new Hub({ tab: name, transport, election, channel: () => channels.channel() });
    hub.onReset(onReset);
    hub.start(after);
    return hub;
  };
  return { tab, calls, last: () => calls.at(-1)! };
}

const settle = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("ten_tabs_have_one_stream_and_all_hear_it", async () => {
  const { tab, calls, last } = browser();
  const tabs = Array.from({ length: 10 }, (_, index) => tab(`tab${index}`));
  const heard = tabs.map((hub) => {
    const events = vi.fn();
    hub.listen(events);
    return events;
  });
  await settle();
  last().say("hello", { event_id: "b-1" });
  last().say("connection_deleted", { connection_id: "con_1" }, "b-2");
  await settle();
  expect(calls).toHaveLength(1);
  for (const events of heard) expect(events).toHaveBeenCalledExactlyOnceWith({ type: "connection_deleted", connection_id: "con_1", id: "b-2" });
  expect(tabs.map((hub) => hub.status())).toEqual(Array.from({ length: 10 }, () => "open"));
  for (const hub of tabs) hub.stop();
});

it("a_page_that_knows_something_goes_on_after_it_and_reads_nothing_twice", async () => {
  const { tab, last } = browser();
  const onReset = vi.fn();
  const hub = tab("a", "b-7", onReset);
  await settle();
  expect(last().url).toBe("/api/stream?last_event_id=b-7");
  last().say("hello", { event_id: "b-9" });
  await settle();
  expect(onReset).not.toHaveBeenCalled();
  hub.stop();
});

it("a_page_that_hears_it_from_another_tab_reads_once_again_what_it_knew_before", async () => {
  const { tab, last } = browser();
  const leader = tab("a");
  await settle();
  last().say("hello", { event_id: "b-1" });
  await settle();
  const onReset = vi.fn();
  const follower = tab("b", "b-1", onReset);
  await settle();
  expect(onReset).toHaveBeenCalledOnce();
  follower.watch("prj_b");
  await settle();
  expect(onReset).toHaveBeenCalledOnce();
  leader.stop();
  follower.stop();
});

it("the_leader_subscribes_to_what_the_followers_watch", async () => {
  const { tab, last } = browser();
  const leader = tab("a");
  const follower = tab("b");
  await settle();
  last().say("hello", { event_id: "b-1" });
  leader.watch("prj_a");
  follower.watch("prj_b");
  await settle();
  expect(last().url).toBe("/api/stream?project_id=prj_a&project_id=prj_b&last_event_id=b-1");
  leader.stop();
  follower.stop();
});

it("a_follower_waits_until_the_stream_carries_its_project", async () => {
  const { tab, last } = browser();
  const leader = tab("a");
  const follower = tab("b");
  await settle();
  last().say("hello", { event_id: "b-1" });
  follower.watch("prj_b");
  const ready = vi.fn();
  void follower.watching("prj_b").then(ready);
  await settle();
  expect(ready).not.toHaveBeenCalled();
  last().say("hello", { event_id: "b-1" });
  await settle();
  expect(ready).toHaveBeenCalledWith(true);
  leader.stop();
  follower.stop();
});

it("without_a_stream_a_page_reads_after_a_bound_and_again_when_it_is_there", async () => {
  const { tab, last } = browser();
  const hub = tab("a");
  hub.watch("prj_1");
  const ready = vi.fn();
  const again = vi.fn();
  hub.onReset(again);
  void hub.watching("prj_1").then(ready);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(ready).toHaveBeenCalledWith(false);
  again.mockClear();
  last().say("hello", { event_id: "b-1" });
  await settle();
  expect(again).toHaveBeenCalled();
  hub.stop();
});

it("when_the_leader_leaves_a_follower_goes_on_from_the_last_event", async () => {
  const { tab, last } = browser();
  const leader = tab("a");
  const follower = tab("b");
  follower.watch("prj_b");
  await settle();
  last().say("hello", { event_id: "b-1" });
  await settle();
  last().say("files", { project_id: "prj_b" }, "b-5");
  await settle();
  leader.stop();
  await settle();
  expect(last().url).toBe("/api/stream?project_id=prj_b&last_event_id=b-5");
  follower.stop();
});

it("events_that_arrive_during_a_read_are_given_beside_its_result", async () => {
  const { tab, last } = browser();
  const hub = tab("a");
  await settle();
  last().say("hello", { event_id: "b-1" });
  let answer: (value: string) => void = () => {};
  const reading = hub.during(() => new Promise<string>((resolve) => (answer = resolve)));
  last().say("files", { project_id: "prj_1" }, "b-2");
  answer("snapshot");
  const { result, events } = await reading;
  last().say("files", { project_id: "prj_1" }, "b-3");
  expect(result).toBe("snapshot");
  expect(events.map((event) => event.id)).toEqual(["b-2"]);
  hub.stop();
});

it("a_frame_that_is_no_json_or_no_known_event_is_left_out", async () => {
  const { tab, last } = browser();
  const hub = tab("a");
  const heard = vi.fn();
  hub.listen(heard);
  await settle();
  last().say("hello", { event_id: "b-1" });
  last().say("something_else", {}, "b-2");
  expect(heard).not.toHaveBeenCalled();
  hub.stop();
});
