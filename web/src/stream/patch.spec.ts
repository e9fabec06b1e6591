import { expect, it } from "vitest";
import { aConnection, aJob, aProject } from "../../test/nouns";
import type { Job } from "../api/types";
import type { StreamEvent, StreamPayload } from "./events";
import { isNewer } from "./events";
import { applyToConnections, applyToLiveJobs, applyToProject, applyToProjects } from "./patch";

const event = (payload: StreamPayload): StreamEvent => ({ ...payload, id: "b-1" });

it("a_new_project_is_first_in_the_list", () => {
  const list = applyToProjects([aProject()], event({ type: "project", project: aProject({ id: "prj_2" }) }));
  expect(list.map((project) => project.id)).toEqual(["prj_2", "prj_1"]);
});

it("a_changed_project_keeps_its_place", () => {
  const list = applyToProjects([aProject({ id: "prj_0" }), aProject()], event({ type: "project", project: aProject({ name: "Cake" }) }));
  expect(list.map((project) => project.name)).toEqual(["Bakery", "Cake"]);
});

it("a_deleted_project_leaves_the_list", () => {
  expect(applyToProjects([aProject()], event({ type: "project_deleted", project_id: "prj_1" }))).toEqual([]);
});

it("a_running_job_shows_on_its_project", () => {
  expect(applyToProject(aProject(), event({ type: "job", job: aJob() })).job?.id).toBe("job_1");
});

it("a_job_that_succeeded_goes_away", () => {
  expect(applyToProject(aProject({ job: aJob() }), event({ type: "job", job: aJob({ state: "succeeded" }) })).job).toBeNull();
});

it("a_job_that_failed_stays", () => {
  expect(applyToProject(aProject({ job: aJob() }), event({ type: "job", job: aJob({ state: "failed" }) })).job?.state).toBe("failed");
});

it("an_older_job_does_not_hide_a_newer_one", () => {
  const newer = aJob({ id: "job_2", created_at: "2026-02-01T00:00:00.000Z" });
  expect(applyToProject(aProject({ job: newer }), event({ type: "job", job: aJob({ state: "failed" }) })).job?.id).toBe("job_2");
});

it("a_job_of_another_project_changes_nothing", () => {
  const before = aProject();
  expect(applyToProject(before, event({ type: "job", job: aJob({ project_id: "prj_2" }) }))).toBe(before);
});

it("a_new_connection_is_last_and_a_deleted_one_is_gone", () => {
  const list = applyToConnections([aConnection()], event({ type: "connection", connection: aConnection({ id: "con_2" }) }));
  expect(list.map((connection) => connection.id)).toEqual(["con_1", "con_2"]);
  expect(applyToConnections(list, event({ type: "connection_deleted", connection_id: "con_1" })).map((connection) => connection.id)).toEqual(["con_2"]);
});

it.each([
  ["b-5", "b-4", true],
  ["b-5", "b-5", false],
  ["b-9", "b-10", false],
  ["c-1", "b-10", true],
  ["b-1", null, true],
])("event_%s_against_snapshot_%s_is_newer_%s", (id, snapshot, newer) => {
  expect(isNewer(id, snapshot)).toBe(newer);
});

it("a_job_is_live_until_it_ends", () => {
  const at = (state: Job["state"]) => event({ type: "job", job: aJob({ state }) });
  const queued = applyToLiveJobs([], at("queued"));
  expect(queued).toEqual([{ id: "job_1", state: "queued" }]);
  expect(applyToLiveJobs(queued, at("running"))).toEqual([{ id: "job_1", state: "running" }]);
  for (const state of ["succeeded", "failed", "cancelled", "stuck"] as const) expect(applyToLiveJobs(queued, at(state))).toEqual([]);
});
