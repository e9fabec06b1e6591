import { screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { page, route } from "../../test/network";
import { aConnection, aProject } from "../../test/nouns";
import { show } from "../../test/page";
import type { Connection } from "../api/types";
import { openDialog } from "../components/dialogs";

const BAKERY = { project_id: "prj_1", project_name: "Bakery" };
const KANBAN = { project_id: "prj_2", project_name: "Kanban" };
const BUSY = { kind: "busy" as const, attempt: null, message: null, next_at: null };

/** Opens the question about the first of these connections, and returns what it says. */
async function asked(...connections: Connection[]): Promise<HTMLElement> {
  route("get", "/api/connections", page(connections));
  route("get", "/api/connections/con_1/projects", page([BAKERY, KANBAN].slice(0, connections[0]!.project_count)));
  route("get", "/api/projects", page([aProject({ session: BUSY })]));
  show(<p>page</p>);
  await screen.findByText("page");
  openDialog({ kind: "disconnect-connection", connection: connections[0]! });
  return screen.findByRole("dialog");
}

it("the_last_connection_of_a_provider_leaves_its_projects_without_a_key", async () => {
  const dialog = await asked(aConnection({ project_count: 1 }), aConnection({ id: "con_2", provider_id: "openai", label: "other" }));
  expect(dialog.textContent).toContain("The key personal (··k7Qx) is removed from this server and from the agents that hold it.");
  await waitFor(() => expect(dialog.textContent).toContain("The next prompt to a model of Anthropic needs another key."));
  await waitFor(() => expect(dialog.textContent).toContain("is answering: cut off after a minute at most"));
});

it("where_another_connection_takes_over_it_is_named_and_the_answer_ends_first", async () => {
  const work = aConnection({ id: "con_2", label: "work", last_four: "wxyz", is_default: false });
  const spare = aConnection({ id: "con_3", label: "spare", is_default: false, created_at: "2026-03-01T00:00:00.000Z" });
  const dialog = await asked(aConnection({ project_count: 1 }), spare, work);
  await waitFor(() => expect(dialog.textContent).toContain("work (··wxyz) pays in this project from then on."));
  expect(dialog.textContent).not.toContain("needs another key");
  await waitFor(() => expect(dialog.textContent).toContain("is answering: this answer ends first"));
});

it("the_default_takes_over_before_one_that_is_older", async () => {
  const older = aConnection({ id: "con_2", label: "older", is_default: false, created_at: "2025-01-01T00:00:00.000Z" });
  const kept = aConnection({ id: "con_3", label: "kept", last_four: "dflt" });
  const dialog = await asked(aConnection({ is_default: false, project_count: 2 }), older, kept);
  await waitFor(() => expect(dialog.textContent).toContain("kept (··dflt) pays in these projects from then on."));
});

it("an_heir_that_has_run_out_is_said_to_pay_only_after_it_is_mended", async () => {
  const dialog = await asked(aConnection({ project_count: 1 }), aConnection({ id: "con_2", label: "work", last_four: "wxyz", is_default: false, status: "expired" }));
  await waitFor(() => expect(dialog.textContent).toContain("work (··wxyz) pays in this project from then on, once"));
  await waitFor(() => expect(dialog.textContent).toContain("cut off after a minute at most"));
});

it("what_no_project_uses_says_which_is_the_default_from_then_on", async () => {
  const dialog = await asked(aConnection(), aConnection({ id: "con_2", label: "work", last_four: "wxyz", is_default: false }));
  expect(dialog.textContent).toContain("No project uses it.");
  await waitFor(() => expect(dialog.textContent).toContain("work (··wxyz) is your default for Anthropic from then on."));
});

it("an_endpoint_without_a_key_shows_no_empty_brackets_and_is_forgotten", async () => {
  const dialog = await asked(aConnection({ provider_id: "custom-acme", provider_name: "Acme", label: "main", last_four: "" }));
  expect(dialog.textContent).toContain("The connection main is removed from this server.");
  await waitFor(() => expect(dialog.textContent).toContain("address and models are forgotten"));
  expect(dialog.textContent).not.toContain("(··)");
});

it("a_sign_in_is_called_one", async () => {
  const dialog = await asked(aConnection({ auth_type: "oauth", last_four: "t0kn" }));
  expect(dialog.textContent).toContain("The sign-in personal is removed from this server.");
});
