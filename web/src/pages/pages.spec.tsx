import { screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { aConnection, aProject } from "../../test/nouns";
import { page, problem, route } from "../../test/network";
import { show } from "../../test/page";
import { ConnectionRow } from "../components/connection-row";
import { KeyAgeNotice } from "../components/key-age-notice";
import { arrange } from "./dashboard";
import { browserOf } from "./settings/account";
import Providers from "./settings/providers";

const held = (status: "stale" | "delivered", reason: string | null) => ({ instance_id: "ins_1", version: 1, mode: "direct" as const, status, reason, at: "2026-01-01T00:00:00.000Z" });

it("disconnecting_names_the_projects_it_affects", async () => {
  const connection = aConnection({
    project_count: 2,
    deliveries: [{ project_id: "prj_1", project_name: "Bakery", ...held("delivered", null) }],
  });
  route("get", "/api/connections/con_1/projects", page([{ project_id: "prj_1", project_name: "Bakery" }, { project_id: "prj_2", project_name: "Kanban" }]));
  route("get", "/api/connections", page([connection]));
  route("get", "/api/projects", page([aProject({ session: { kind: "busy", attempt: null, message: null, next_at: null } }), aProject({ id: "prj_2", name: "Kanban" })]));
  const asked = route("delete", "/api/connections/con_1", { status: 204 });
  const { user } = show(<Providers />);
  expect(await screen.findByText("delivered")).toBeTruthy();
  expect(screen.getByText("and 1 that isn’t running")).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Disconnect" }));
  const dialog = await screen.findByRole("dialog");
  expect(dialog.textContent).toContain("2 projects use it");
  await waitFor(() => expect(dialog.textContent).toContain("Kanban"));
  await waitFor(() => expect(dialog.textContent).toContain("is answering"));
  expect(asked).toHaveLength(0);
  const buttons = screen.getAllByRole("button", { name: "Disconnect" });
  await user.click(buttons.at(-1)!);
  await waitFor(() => expect(asked).toHaveLength(1));
  expect(await screen.findByText("No provider is connected")).toBeTruthy();
});

it("a_broken_connection_says_what_is_wrong_and_asks_for_a_new_key", async () => {
  show(
    <ul>
      <ConnectionRow connection={aConnection({ status: "error", error_message: "Anthropic rejected this key (401).", verification: { outcome: "invalid", at: "2026-01-01T00:00:00.000Z", detail: "401" } })} />
    </ul>,
  );
  expect(await screen.findByText("Error")).toBeTruthy();
  expect(screen.getByText("rejected")).toBeTruthy();
  expect(screen.getByText("Anthropic rejected this key (401).")).toBeTruthy();
});

it("a_list_that_can_not_be_read_says_so_and_is_tried_again", async () => {
  route("get", "/api/connections", problem(500, "internal", "internal error"));
  const { user } = show(<Providers />);
  expect(await screen.findByText("internal error")).toBeTruthy();
  route("get", "/api/connections", page([aConnection()]));
  await user.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByText("Anthropic")).toBeTruthy();
});

it("projects_are_ordered_and_searched_by_every_word", () => {
  const projects = [aProject({ id: "a", name: "Blue cake", last_active_at: "2026-01-01T00:00:00.000Z" }), aProject({ id: "b", name: "Apple cake", last_active_at: "2026-02-01T00:00:00.000Z" }), aProject({ id: "c", name: "Notes" })];
  expect(arrange(projects, "cake", "active").map((project) => project.id)).toEqual(["b", "a"]);
  expect(arrange(projects, "", "name").map((project) => project.id)).toEqual(["b", "a", "c"]);
  expect(arrange(projects, "CAKE blue", "name").map((project) => project.id)).toEqual(["a"]);
});

it.each([
  ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "Chrome on Linux"],
  ["Mozilla/5.0 (Windows NT 10.0) AppleWebKit Chrome/140 Safari/537 Edg/140", "Edge on Windows"],
  ["curl/8.1", "curl"],
  ["", "Unknown browser"],
])("%s_is_%s", (agent, words) => {
  expect(browserOf(agent)).toBe(words);
});

it("a_key_that_waits_for_an_answer_is_applied_at_once_only_after_a_question", async () => {
  const waiting = aConnection({
    project_count: 2,
    deliveries: [
      { project_id: "prj_1", project_name: "Bakery", ...held("stale", "a newer key waits until the agent is idle") },
      { project_id: "prj_2", project_name: "Kanban", ...held("delivered", null) },
    ],
  });
  route("get", "/api/connections", page([waiting]));
  const asked = route("post", "/api/projects/prj_1/abort", { json: aProject() });
  const { user } = show(<Providers />);
  expect(await screen.findByText("Bakery: a newer key waits until the agent is idle")).toBeTruthy();
  expect(screen.getAllByRole("button", { name: /^Apply now/ })).toHaveLength(1);
  await user.click(screen.getByRole("button", { name: "Apply now in Bakery" }));
  const dialog = await screen.findByRole("dialog");
  expect(dialog.textContent).toContain("stops the answer");
  expect(asked).toHaveLength(0);
  await user.click(screen.getByRole("button", { name: "Stop the answer and apply" }));
  await waitFor(() => expect(asked).toHaveLength(1));
});

const inDays = (days: number) => new Date(Date.now() + days * 24 * 60 * 60_000).toISOString();

it("a_key_that_is_about_to_run_out_says_so_in_time_and_not_before", async () => {
  const soon = inDays(3.5);
  show(
    <ul>
      <ConnectionRow connection={aConnection({ expires_at: soon, replace_by: soon })} />
      <ConnectionRow connection={aConnection({ id: "con_2", max_age_days: 30, replace_by: inDays(-1) })} />
      <ConnectionRow connection={aConnection({ id: "con_3", auth_type: "oauth", expires_at: inDays(1.5), replace_by: inDays(1.5) })} />
      <ConnectionRow connection={aConnection({ id: "con_4", expires_at: "2099-03-01T00:00:00.000Z", replace_by: "2099-03-01T00:00:00.000Z" })} />
      <ConnectionRow connection={aConnection({ id: "con_5", auth_type: "oauth", expires_at: "2099-03-02T00:00:00.000Z", replace_by: "2099-03-02T00:00:00.000Z" })} />
    </ul>,
  );
  expect(await screen.findByText("runs out in 3 days")).toBeTruthy();
  expect(screen.getByText("older than you want it")).toBeTruthy();
  expect(screen.getByText("sign in again: it runs out in 1 day")).toBeTruthy();
  expect(screen.getByText("good until Mar 1, 2099")).toBeTruthy();
  expect(screen.getByText("sign in again on Mar 2, 2099")).toBeTruthy();
});

it("the_dashboard_names_the_keys_that_want_replacing_and_opens_what_mends_them", async () => {
  route("get", "/api/connections", page([aConnection({ replace_by: inDays(2.5), max_age_days: 90 }), aConnection({ id: "con_2", label: "work", replace_by: inDays(20) })]));
  route("get", "/api/providers", page([]));
  const { user } = show(<KeyAgeNotice />);
  expect(await screen.findByText("A key wants replacing")).toBeTruthy();
  expect(screen.queryByText(/work/)).toBeNull();
  await user.click(screen.getByRole("button", { name: "Replace: Anthropic personal" }));
  expect(await screen.findByLabelText("New API key")).toBeTruthy();
});

it("how_long_a_key_is_good_is_written_down", async () => {
  route("get", "/api/connections", page([aConnection()]));
  const asked = route("patch", "/api/connections/con_1", ({ body }) => ({ json: aConnection({ expires_at: "2099-03-01T00:00:00.000Z", replace_by: "2099-03-01T00:00:00.000Z", max_age_days: Number(body.max_age_days) }) }));
  const { user } = show(<Providers />);
  await user.click(await screen.findByRole("button", { name: "Anthropic personal: more" }));
  await user.click(await screen.findByRole("menuitem", { name: "How long it is good" }));
  await user.type(await screen.findByLabelText(/Runs out on/), "2099-03-01");
  await user.selectOptions(screen.getByLabelText("Remind me to replace it"), "after 90 days");
  await user.click(screen.getByRole("button", { name: "Save" }));
  expect(await screen.findByText("good until Mar 1, 2099")).toBeTruthy();
  expect(asked[0]?.body).toEqual({ expires_at: "2099-03-01T00:00:00Z", max_age_days: 90 });
});
