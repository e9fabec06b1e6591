import { act, screen, waitFor, within } from "@testing-library/react";
import { useQuery } from "@tanstack/react-query";
import { expect, it, vi } from "vitest";
import { aConnection, aJob, aMessage, aModel, aProject, aProvider, aText, aTool } from "../../test/nouns";
import { page, problem, route } from "../../test/network";
import { show } from "../../test/page";
import { createCache } from "../api/cache";
import { keys, projectQuery } from "../api/queries";
import type { Message, Project } from "../api/types";
import { SendPromptForm } from "../forms/send-prompt";
import { applyEvents } from "../stream/cache";
import { Conversation, turnsOf } from "./conversation";
import type { WorkspaceControls } from "./failure-actions";
import { LaunchPanel } from "./launch-panel";
import { projectWords } from "./states";

const controls: WorkspaceControls = { pickModel: vi.fn(), openLogs: vi.fn(), suggest: vi.fn() };

function conversation(project: Project, items: Message[]) {
  route("get", "/api/connections", page([aConnection()]));
  route("get", "/api/projects/:id/messages", { json: { items, next: null, event_id: "b-1" } as never });
  const cache = createCache();
  cache.setQueryData(keys.project(project.id), project);
  const Live = () => {
    const { data } = useQuery(projectQuery(project.id));
    return data ? <Conversation project={data} controls={controls} /> : null;
  };
  return show(<Live />, cache);
}

const prompt = aMessage({ id: "msg_0", role: "user", state: "sent", created_at: "2026-01-02T09:00:00.000Z", parts: [aText("a bakery", "prt_0")] });

it("words_stream_in_as_they_arrive", async () => {
  const { cache } = conversation(aProject({ session: { kind: "busy", attempt: null, message: null, next_at: null } }), [prompt]);
  await screen.findByText("a bakery");
  act(() =>
    applyEvents(cache, [
      { id: "b-2", type: "message", project_id: "prj_1", message: aMessage() },
      { id: "b-3", type: "part", project_id: "prj_1", message_id: "msg_1", part: aText("") },
      { id: "b-4", type: "delta", project_id: "prj_1", message_id: "msg_1", part_id: "prt_1", offset: 0, delta: "I’ll bake " },
      { id: "b-5", type: "delta", project_id: "prj_1", message_id: "msg_1", part_id: "prt_1", offset: 10, delta: "a page." },
    ]),
  );
  expect(await screen.findByText("I’ll bake a page.")).toBeTruthy();
  expect(screen.getByText("Writing…")).toBeTruthy();
});

it("a_gap_in_the_words_is_read_again", async () => {
  const { cache } = conversation(aProject(), [prompt, aMessage({ parts: [aText("He")] })]);
  await screen.findByText("He");
  route("get", "/api/projects/:id/messages", { json: { items: [prompt, aMessage({ parts: [aText("Hello there")] })], next: null, event_id: "b-9" } as never });
  act(() => applyEvents(cache, [{ id: "b-8", type: "delta", project_id: "prj_1", message_id: "msg_1", part_id: "prt_1", offset: 9, delta: "re" }]));
  expect(await screen.findByText("Hello there")).toBeTruthy();
});

it("a_waiting_prompt_says_what_it_waits_for", async () => {
  conversation(aProject({ state: "launching", job: aJob() }), [{ ...prompt, state: "waiting" }]);
  expect(await screen.findByText("Waiting for the agent (2 of 3: second)")).toBeTruthy();
});

it("a_retry_says_when_which_and_why", async () => {
  const { user } = conversation(aProject({ session: { kind: "retry", attempt: 2, message: "overloaded (529)", next_at: "2026-01-02T14:05:00.000Z" } }), [prompt]);
  const card = await screen.findByRole("status");
  expect(card.textContent).toMatch(/Retrying at .* \(attempt 2\)overloaded \(529\)/);
  const asked = route("post", "/api/projects/prj_1/abort", { status: 202, json: aProject() as never });
  await user.click(within(card).getByRole("button", { name: "Stop" }));
  await waitFor(() => expect(asked).toHaveLength(1));
});

it("an_interrupted_answer_is_continued_with_one_button", async () => {
  const asked = route("post", "/api/projects/prj_1/continue", { status: 202, json: { message: null, job: aJob({ kind: "send_prompt" }) } as never });
  const { user } = conversation(aProject(), [prompt, aMessage({ state: "interrupted", parts: [{ id: "prt_1", kind: "tool", text: null, tool: aTool({ status: "running" }) }] })]);
  expect(await screen.findByText("interrupted")).toBeTruthy();
  await user.click(await screen.findByRole("button", { name: "Continue" }));
  await waitFor(() => expect(asked).toHaveLength(1));
});

it("a_failed_answer_offers_its_action", async () => {
  const { user } = conversation(aProject(), [prompt, aMessage({ state: "failed", error: { code: "no_model", message: "This model is gone.", until: null, action: { kind: "switch_model", label: "", connection_id: null } } })]);
  await user.click(await screen.findByRole("button", { name: "Pick another model" }));
  expect(controls.pickModel).toHaveBeenCalled();
});

it("a_tool_call_opens_to_its_diff_and_its_output", async () => {
  const tool = aTool({ name: "edit", input: { filePath: "src/a.ts", oldString: "old line", newString: "better line" }, output: "Edit applied." });
  const { user } = conversation(aProject(), [prompt, aMessage({ state: "complete", parts: [{ id: "prt_1", kind: "tool", text: null, tool }] })]);
  const row = await screen.findByRole("button", { name: /edit.*src\/a\.ts/ });
  expect(screen.queryByText("old line")).toBeNull();
  await user.click(row);
  expect(screen.getByText("old line")).toBeTruthy();
  expect(screen.getByText("better line")).toBeTruthy();
  expect(screen.getByText("Edit applied.")).toBeTruthy();
});

it("a_turn_is_a_prompt_and_all_that_answers_it", () => {
  const turns = turnsOf([prompt, aMessage({ id: "a" }), aMessage({ id: "b" }), { ...prompt, id: "msg_5" }]);
  expect(turns.map((turn) => [turn.prompt?.id, turn.answers.map((answer) => answer.id)])).toEqual([
    ["msg_0", ["a", "b"]],
    ["msg_5", []],
  ]);
});

function composer(project: Project, text: string) {
  route("get", "/api/connections", page([aConnection()]));
  route("get", "/api/projects/prj_1/connections", page([]));
  route("get", "/api/providers/:id/models", page([aModel()]));
  const onText = vi.fn();
  return { ...show(<SendPromptForm project={project} text={text} onText={onText} fieldRef={null} pickingModel={false} onPickingModel={() => {}} />), onText };
}

it("a_prompt_is_sent_with_the_keyboard_and_the_field_is_emptied", async () => {
  const asked = route("post", "/api/projects/prj_1/prompts", { status: 202, json: { message: prompt, job: aJob({ kind: "send_prompt" }) } as never });
  const { user, onText } = composer(aProject(), "larger buttons");
  await user.click(await screen.findByLabelText("Ask for a change"));
  await user.keyboard("{Control>}{Enter}{/Control}");
  await waitFor(() => expect(onText).toHaveBeenCalledWith(""));
  expect(asked[0]?.body).toEqual({ text: "larger buttons" });
});

it("a_prompt_that_was_refused_stays_in_the_field", async () => {
  route("post", "/api/projects/prj_1/prompts", problem(409, "busy", "An answer is running."));
  const { user, onText } = composer(aProject(), "larger buttons");
  await user.click(await screen.findByRole("button", { name: "Send" }));
  expect((await screen.findByRole("alert")).textContent).toContain("An answer is running.");
  expect(onText).not.toHaveBeenCalled();
});

it("while_an_answer_runs_it_can_be_stopped_and_nothing_is_sent", async () => {
  const busy = aProject({ session: { kind: "busy", attempt: null, message: null, next_at: null } });
  const asked = route("post", "/api/projects/prj_1/abort", { status: 202, json: aProject() as never });
  const { user } = composer(busy, "next");
  expect(screen.queryByRole("button", { name: "Send" })).toBeNull();
  await user.click(await screen.findByRole("button", { name: /Stop the answer/ }));
  await waitFor(() => expect(asked).toHaveLength(1));
});

it("a_stopped_project_takes_a_prompt_and_says_that_it_starts", async () => {
  composer(aProject({ state: "stopped" }), "go on");
  expect(await screen.findByText("Stopped. A prompt starts it again.")).toBeTruthy();
  expect(screen.getByPlaceholderText("Stopped. A prompt starts it again.")).toBeTruthy();
  expect(screen.getByRole("button", { name: "Send" })).toHaveProperty("disabled", false);
});

it("a_failed_launch_shows_its_step_its_reason_and_one_button", async () => {
  route("get", "/api/connections", page([aConnection()]));
  const asked = route("post", "/api/jobs/job_1/retry", { json: aJob() as never });
  const job = aJob({ state: "failed", error: { code: "spawn", message: "The agent didn’t start: no such file.", until: null, action: { kind: "retry", label: "Try again", connection_id: null } } });
  job.steps[1] = { ...job.steps[1]!, state: "failed", ended_at: "2026-01-02T10:00:02.000Z" };
  const { user } = show(<LaunchPanel project={aProject({ state: "failed", job })} controls={controls} />);
  expect((await screen.findAllByText("The agent didn’t start: no such file.")).length).toBeGreaterThan(0);
  expect(screen.getByText("failed after 2.0 s")).toBeTruthy();
  expect(screen.getAllByRole("button")).toHaveLength(1);
  await user.click(screen.getByRole("button", { name: "Try again" }));
  await waitFor(() => expect(asked).toHaveLength(1));
});

it("an_agent_that_kept_ending_says_why_and_is_started_again_by_its_one_button", async () => {
  route("get", "/api/connections", page([aConnection()]));
  const asked = route("post", "/api/projects/prj_1/start", { status: 202, json: aJob({ kind: "start_project", state: "queued" }) as never });
  const message = "Gave up after 5 starts. The agent was killed by signal 9, perhaps because the machine ran out of memory. Its log may say why.";
  const job = aJob({ kind: "start_project", state: "failed", error: { code: "agent_gave_up", message, until: null, action: { kind: "start", label: "Start again", connection_id: null } } });
  job.steps[1] = { ...job.steps[1]!, state: "failed", ended_at: "2026-01-02T10:00:02.000Z" };
  const { user } = show(<LaunchPanel project={aProject({ state: "failed", job })} controls={controls} />);
  expect((await screen.findAllByText(message)).length).toBeGreaterThan(0);
  expect(screen.getAllByRole("button")).toHaveLength(1);
  await user.click(screen.getByRole("button", { name: "Start again" }));
  await waitFor(() => expect(asked).toHaveLength(1));
});

const needsKey = (kind: "connect_provider" | "replace_key") =>
  aJob({ state: "queued", waits_for: { code: "needs_key", message: "Anthropic is not connected. Connect it, and this goes on.", until: null, action: { kind, label: "Connect provider", connection_id: kind === "replace_key" ? "con_1" : null } } });

it("a_launch_that_needs_a_key_says_so_and_opens_the_provider", async () => {
  route("get", "/api/connections", page([]));
  route("get", "/api/providers", page([aProvider()]));
  const { user } = show(<LaunchPanel project={aProject({ state: "launching", job: needsKey("connect_provider") })} controls={controls} />);
  expect(await screen.findByRole("heading", { name: "Bakery needs a key" })).toBeTruthy();
  expect(screen.getByText("Anthropic is not connected. Connect it, and this goes on.")).toBeTruthy();
  await user.click(await screen.findByRole("button", { name: "Connect Anthropic" }));
  expect(await screen.findByLabelText("API key")).toBeTruthy();
});

it("a_launch_that_finds_no_room_says_its_place_and_asks_for_nothing", async () => {
  const message = "Number 2 in the queue: 3 agents run, as many as this machine has memory for. This starts when one of them stops.";
  const project = aProject({ state: "launching", job: aJob({ state: "queued", waits_for: { code: "no_room", message, until: null, action: { kind: "none", label: "", connection_id: null } } }) });
  show(<LaunchPanel project={project} controls={controls} />);
  expect(await screen.findByRole("heading", { name: "Bakery is in the queue" })).toBeTruthy();
  expect(screen.getByText(message)).toBeTruthy();
  expect(screen.queryByRole("button")).toBeNull();
  expect(projectWords(project)).toEqual({ word: "In the queue", tone: "neutral" });
});

it("an_agent_that_hangs_is_not_said_to_answer", () => {
  const project = aProject({ session: { kind: "busy", attempt: null, message: null, next_at: null } });
  expect(projectWords(project).word).toBe("Answering");
  const hangs = { ...project, instance: project.instance && { ...project.instance, observed: "unhealthy" as const } };
  expect(projectWords(hangs)).toEqual({ word: "Not responding", tone: "amber" });
});

it("a_launch_whose_key_was_rejected_asks_for_another_one", async () => {
  route("get", "/api/connections", page([aConnection({ status: "error" })]));
  route("get", "/api/providers", page([aProvider()]));
  const { user } = show(<LaunchPanel project={aProject({ state: "launching", job: needsKey("replace_key") })} controls={controls} />);
  await user.click(await screen.findByRole("button", { name: "Connect provider" }));
  expect(await screen.findByLabelText("New API key")).toBeTruthy();
});

it("a_prompt_waits_for_the_key_that_its_launch_waits_for", async () => {
  route("get", "/api/providers", page([aProvider()]));
  conversation(aProject({ state: "launching", job: needsKey("connect_provider") }), [{ ...prompt, state: "waiting" }]);
  expect(await screen.findByText("Waiting for a key")).toBeTruthy();
  expect(projectWords(aProject({ state: "launching", job: needsKey("connect_provider") }))).toEqual({ word: "Needs a key", tone: "amber" });
});

it("after_a_repair_elsewhere_the_turn_is_taken_up_again_here", async () => {
  const failed = (kind: "replace_key" | "switch_model" | "continue") => aMessage({ state: "failed", error: { code: "no_credit", message: "It failed.", until: null, action: { kind, label: kind === "continue" ? "Continue" : "Mend it", connection_id: null } } });
  const asked = route("post", "/api/projects/:id/continue", { status: 202, json: { message: null, job: aJob() } as never });
  const { user, unmount } = conversation(aProject(), [prompt, failed("switch_model")]);
  expect(await screen.findByRole("button", { name: "Mend it" })).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Continue" }));
  await waitFor(() => expect(asked).toHaveLength(1));
  unmount();
  conversation(aProject(), [prompt, failed("continue")]);
  expect(await screen.findAllByRole("button", { name: "Continue" })).toHaveLength(1);
});

it("who_has_no_credit_left_is_shown_where_to_pay_and_may_pick_another_model", async () => {
  const open = vi.spyOn(window, "open").mockReturnValue(null);
  route("get", "/api/providers", page([aProvider({ credit_url: "https://pay.example/" })]));
  const error = { code: "no_credit", message: "No credit is left.", until: null, action: { kind: "top_up" as const, label: "Top up", connection_id: null } };
  const { user } = conversation(aProject(), [prompt, aMessage({ state: "failed", error })]);
  await user.click(await screen.findByRole("button", { name: "Top up" }));
  expect(open).toHaveBeenCalledWith("https://pay.example/", "_blank", "noopener,noreferrer");
  expect(screen.getByRole("button", { name: "Pick another model" })).toBeTruthy();
  expect(screen.getByRole("button", { name: "Continue" })).toBeTruthy();
});

it("a_limit_says_from_when_on_the_provider_takes_requests", async () => {
  const error = { code: "rate_limited", message: "Too many requests.", until: new Date(Date.now() + 600_000).toISOString(), action: { kind: "continue" as const, label: "Continue", connection_id: null } };
  conversation(aProject(), [prompt, aMessage({ state: "failed", error })]);
  expect(await screen.findByText(/^It takes requests again from \d/)).toBeTruthy();
});
