import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Channels } from "../../test/channels";
import { ANSWER_MS, CHECK_MS, chooseElection, electAlone, electByChannel, electByLock } from "./election";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const LONG = 3 * ANSWER_MS;

function tabs(...names: string[]) {
  const channels = new Channels();
  const leaders = new Set<string>();
  const enter = (name: string) =>
    electByChannel(
      () => channels.channel(),
      name,
    )(() => {
      leaders.add(name);
      return () => leaders.delete(name);
    });
  const stops = Object.fromEntries(names.map((name) => [name, enter(name)]));
  return { leaders, enter, stops };
}

it("of_several_tabs_exactly_one_leads", async () => {
  const { leaders } = tabs("a", "b", "c", "d");
  await vi.advanceTimersByTimeAsync(LONG);
  expect(leaders.size).toBe(1);
});

it("a_tab_that_comes_later_follows", async () => {
  const { leaders, enter } = tabs("m");
  await vi.advanceTimersByTimeAsync(LONG);
  enter("a");
  enter("z");
  await vi.advanceTimersByTimeAsync(LONG);
  expect([...leaders]).toEqual(["m"]);
});

it("when_the_leader_leaves_another_leads", async () => {
  const { leaders, stops } = tabs("a", "b", "c");
  await vi.advanceTimersByTimeAsync(LONG);
  const [first] = [...leaders];
  stops[first!]!();
  await vi.advanceTimersByTimeAsync(LONG);
  expect(leaders.size).toBe(1);
  expect(leaders.has(first!)).toBe(false);
});

it("when_the_leader_crashes_another_leads_after_the_next_check", async () => {
  const channels = new Channels();
  const crashed = channels.channel();
  crashed.onmessage = ({ data }: MessageEvent<{ kind: string }>) => {
    if (data.kind === "who") crashed.postMessage({ kind: "leader", term: 4, tab: "old" });
  };
  const lead = vi.fn(() => () => {});
  electByChannel(() => channels.channel(), "new")(lead);
  await vi.advanceTimersByTimeAsync(CHECK_MS - 1);
  expect(lead).not.toHaveBeenCalled();
  crashed.onmessage = null;
  await vi.advanceTimersByTimeAsync(CHECK_MS + LONG);
  expect(lead).toHaveBeenCalledTimes(1);
});

it("of_two_leaders_that_meet_the_later_term_stays", async () => {
  const channels = new Channels();
  let leading = false;
  electByChannel(() => channels.channel(), "thawed")(() => {
    leading = true;
    return () => (leading = false);
  });
  await vi.advanceTimersByTimeAsync(LONG);
  expect(leading).toBe(true);
  channels.channel().postMessage({ kind: "leader", term: 9, tab: "other" });
  await vi.advanceTimersByTimeAsync(0);
  expect(leading).toBe(false);
});

it("a_lock_makes_its_holder_lead_until_it_is_stopped", async () => {
  let held: (() => void) | null = null;
  const locks = {
    request: (_: string, __: unknown, run: () => Promise<void>) => {
      const done = run();
      held = () => void done;
      return done;
    },
  } as unknown as LockManager;
  const resign = vi.fn();
  const stop = electByLock(locks, "x")(() => resign);
  expect(held).not.toBeNull();
  expect(resign).not.toHaveBeenCalled();
  stop();
  await vi.advanceTimersByTimeAsync(0);
  expect(resign).toHaveBeenCalledTimes(1);
});

it("alone_a_tab_leads_at_once", () => {
  const resign = () => {};
  expect(electAlone(() => resign)).toBe(resign);
});

it("without_locks_the_channel_decides_and_without_both_each_tab_leads", () => {
  vi.stubGlobal("BroadcastChannel", undefined);
  expect(chooseElection("x", "a")).toBe(electAlone);
  vi.unstubAllGlobals();
});
