import { act, screen, waitFor, within } from "@testing-library/react";
import { useState } from "react";
import { beforeEach, expect, it } from "vitest";
import { page, problem, route } from "../../../test/network";
import { aJob, aProject } from "../../../test/nouns";
import { show } from "../../../test/page";
import { jobFilter, type JobFilter } from "../../components/job-filter";
import { applyEvents } from "../../stream/cache";
import { JobList } from "./jobs";

function Shown({ first }: { first?: JobFilter }) {
  const [filter, setFilter] = useState(first ?? {});
  return (
    <>
      <JobList filter={filter} onFilter={setFilter} />
      <output>{JSON.stringify(filter)}</output>
    </>
  );
}

beforeEach(() => {
  route("get", "/api/projects", page([aProject()]));
  route("get", "/api/jobs/:id/log", page([{ sequence: 1, at: "2026-01-02T10:00:00.000Z", level: "warn", text: "“Start the agent”, try 1: It was slow. (agent_silent)" }]));
});

it("a_job_says_what_it_is_about_and_opens_to_its_steps_and_its_log", async () => {
  route("get", "/api/jobs", page([aJob({ id: "job_1", kind: "launch_project", state: "running", project_id: "prj_1" })]));
  const { user } = show(<Shown />);
  const row = await screen.findByRole("button", { name: /Launch Bakery/ });
  expect(row.textContent).toMatch(/Running.*started .*running for \d/);
  await user.click(row);
  expect(screen.getByRole("list", { name: "Steps" })).toBeTruthy();
  expect((await screen.findByRole("list", { name: "Log" })).textContent).toContain("It was slow.");
  expect(screen.getByRole("link", { name: "Open Bakery" }).getAttribute("href")).toBe("/projects/prj_1");
});

it("a_row_says_when_a_job_started_and_how_long_it_took", async () => {
  const [asked, started, ended] = ["2026-01-02T10:00:00.000Z", "2026-01-03T10:00:00.000Z", "2026-01-03T10:03:05.000Z"];
  const waits = { code: "no_key", message: "Connect a provider.", action: { kind: "connect_provider" as const, label: "Connect a provider", connection_id: null }, until: null };
  route(
    "get",
    "/api/jobs",
    page([
      aJob({ id: "job_1", state: "succeeded", created_at: asked, started_at: started, finished_at: ended }),
      aJob({ id: "job_2", kind: "stop_project", state: "queued", created_at: asked, started_at: null }),
      aJob({ id: "job_3", kind: "start_project", state: "queued", created_at: asked, started_at: started, waits_for: waits }),
    ]),
  );
  show(<Shown />);
  const done = await screen.findByRole("button", { name: /Launch Bakery/ });
  expect(within(done).getByText(/Jan/).getAttribute("datetime")).toBe(started);
  expect(done.textContent).toMatch(/started .*took 3 min 5 s$/);
  const queued = screen.getByRole("button", { name: /Stop Bakery/ });
  expect(within(queued).getByText(/Jan/).getAttribute("datetime")).toBe(asked);
  expect(queued.textContent).toMatch(/Queued.*asked /);
  expect(queued.textContent).not.toMatch(/took|running for/);
  expect(screen.getByRole("button", { name: /Start Bakery/ }).textContent).not.toMatch(/took|running for/);
});

it("a_cancel_is_asked_about_before_it_is_sent", async () => {
  const job = aJob({ id: "job_1", state: "running", project_id: "prj_1" });
  route("get", "/api/jobs", page([job]));
  const asked = route("post", "/api/jobs/:id/cancel", { json: { ...job, state: "cancelled" } as never });
  const { user } = show(<Shown />);
  await user.click(await screen.findByRole("button", { name: /Launch Bakery/ }));
  await user.click(screen.getByRole("button", { name: "Cancel" }));
  await user.click(screen.getByRole("button", { name: "Keep it" }));
  expect(asked).toHaveLength(0);
  await user.click(screen.getByRole("button", { name: "Cancel" }));
  await user.click(screen.getByRole("button", { name: "Cancel the job" }));
  await waitFor(() => expect(screen.getByRole("button", { name: /Launch Bakery/ }).textContent).toContain("Cancelled"));
  expect(asked).toHaveLength(1);
});

it("what_failed_says_why_and_can_be_done_again", async () => {
  const error = { code: "agent_silent", message: "The agent did not answer within 60 s.", until: null, action: { kind: "none" as const, label: "", connection_id: null } };
  route("get", "/api/jobs", page([aJob({ id: "job_1", state: "failed", error, project_id: "prj_1" })]));
  const asked = route("post", "/api/jobs/:id/retry", { json: aJob({ id: "job_2", state: "queued" }) as never });
  const { user } = show(<Shown />);
  const row = await screen.findByRole("button", { name: /The agent did not answer within 60 s/ });
  await user.click(row);
  await user.click(screen.getByRole("button", { name: "Do it again" }));
  await waitFor(() => expect(asked).toHaveLength(1));
});

it("the_stream_changes_what_is_shown_and_brings_new_jobs", async () => {
  const job = aJob({ id: "job_1", state: "running", project_id: "prj_1" });
  let all = [job];
  route("get", "/api/jobs", () => page(all));
  const { cache } = show(<Shown />);
  await screen.findByRole("button", { name: /Launch Bakery/ });
  act(() => applyEvents(cache, [{ id: "b-1", type: "job", job: { ...job, state: "succeeded" } }]));
  await waitFor(() => expect(screen.getByRole("button", { name: /Launch Bakery/ }).textContent).toContain("Done"));
  const next = aJob({ id: "job_2", kind: "stop_project", state: "queued", project_id: "prj_1" });
  all = [next, { ...job, state: "succeeded" }];
  act(() => applyEvents(cache, [{ id: "b-2", type: "job", job: next }]));
  expect(await screen.findByRole("button", { name: /Stop Bakery/ })).toBeTruthy();
});

it("filters_are_asked_of_the_server_and_an_empty_answer_offers_the_way_back", async () => {
  const asked = route("get", "/api/jobs", page([]));
  const { user } = show(<Shown first={{ project: "prj_1" }} />);
  expect(await screen.findByText("No job is like this.")).toBeTruthy();
  await user.selectOptions(screen.getByLabelText("State"), "failed");
  await waitFor(() => expect(asked.at(-1)?.query.get("state")).toBe("failed"));
  expect(asked.at(-1)?.query.get("project_id")).toBe("prj_1");
  await user.click(within(screen.getByRole("search")).getByRole("button", { name: "Show all jobs" }));
  expect(await screen.findByText("There was nothing to do yet.")).toBeTruthy();
});

it("a_list_that_can_not_be_read_says_so_and_is_tried_again", async () => {
  let broken = true;
  route("get", "/api/jobs", () => (broken ? problem(500, "internal", "It failed.") : page([])));
  const { user } = show(<Shown />);
  const again = await screen.findByRole("button", { name: "Try again" });
  broken = false;
  await user.click(again);
  expect(await screen.findByText("There was nothing to do yet.")).toBeTruthy();
});

const AT = "2026-01-02T10:00:00.000Z";
const admin = () => route("get", "/api/me", { json: { id: "usr_1", username: "ada", role: "admin", created_at: AT } });

it("an_admin_pauses_the_queue_after_reading_what_that_means_and_resumes_it", async () => {
  admin();
  route("get", "/api/jobs", page([]));
  const asked = route("put", "/api/queue", ({ body }) => ({ json: { paused_at: body.paused === true ? AT : null } }));
  const { user } = show(<Shown />);
  await user.click(await screen.findByRole("button", { name: "Pause" }));
  const asks = screen.getByRole("group", { name: "Pause the queue" });
  expect(asks.textContent).toContain("no other begins");
  await user.click(within(asks).getByRole("button", { name: "Let it go on" }));
  expect(asked).toHaveLength(0);
  await user.click(screen.getByRole("button", { name: "Pause" }));
  await user.click(screen.getByRole("button", { name: "Pause the queue" }));
  expect(await screen.findByText("The queue is paused")).toBeTruthy();
  expect(screen.queryByRole("button", { name: "Pause" })).toBeNull();
  await user.click(screen.getByRole("button", { name: "Resume" }));
  expect(await screen.findByRole("button", { name: "Pause" })).toBeTruthy();
  expect(screen.queryByText("The queue is paused")).toBeNull();
  expect(asked.map(({ body }) => body)).toEqual([{ paused: true }, { paused: false }]);
});

it("a_member_is_told_by_the_stream_why_nothing_begins_and_offered_nothing", async () => {
  route("get", "/api/jobs", page([]));
  const { cache } = show(<Shown />);
  await screen.findByText("There was nothing to do yet.");
  expect(screen.queryByRole("button", { name: "Pause" })).toBeNull();
  act(() => applyEvents(cache, [{ id: "b-1", type: "queue", queue: { paused_at: AT } }]));
  expect(await screen.findByText(/An admin of this server can end that\./)).toBeTruthy();
  expect(screen.queryByRole("button", { name: "Resume" })).toBeNull();
  act(() => applyEvents(cache, [{ id: "b-2", type: "queue", queue: { paused_at: null } }]));
  await waitFor(() => expect(screen.queryByText("The queue is paused")).toBeNull());
});

it("an_address_may_say_anything", () => {
  expect(jobFilter({ state: "failed", kind: "launch_project", project: "prj_1" })).toEqual({ state: "failed", kind: "launch_project", project: "prj_1" });
  expect(jobFilter({ state: "toString", kind: "<script>", project: "" })).toEqual({});
  expect(jobFilter({ state: 1, kind: null })).toEqual({});
});
