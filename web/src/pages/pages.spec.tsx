import { screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { aConnection, aProject } from "../../test/nouns";
import { page, problem, route } from "../../test/network";
import { show } from "../../test/page";
import { ConnectionRow } from "../components/connection-row";
import { arrange } from "./dashboard";
import { browserOf } from "./settings/account";
import Providers from "./settings/providers";

it("disconnecting_names_the_projects_it_affects", async () => {
  const connection = aConnection({
    projects: [
      { project_id: "prj_1", project_name: "Bakery", delivery: { instance_id: "ins_1", version: 1, mode: "direct", status: "delivered", reason: null, at: "2026-01-01T00:00:00.000Z" } },
      { project_id: "prj_2", project_name: "Kanban", delivery: null },
    ],
  });
  route("get", "/api/connections", page([connection]));
  route("get", "/api/projects", page([aProject({ session: { kind: "busy", attempt: null, message: null, next_at: null } }), aProject({ id: "prj_2", name: "Kanban" })]));
  const asked = route("delete", "/api/connections/con_1", { status: 204 });
  const { user } = show(<Providers />);
  expect(await screen.findByText("delivered")).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Disconnect" }));
  const dialog = await screen.findByRole("dialog");
  expect(dialog.textContent).toContain("2 projects use it");
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
