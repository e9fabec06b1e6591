import { screen, waitFor, within } from "@testing-library/react";
import { beforeEach, expect, it } from "vitest";
import { page, problem, route } from "../../../test/network";
import { show } from "../../../test/page";
import type { User } from "../../api/types";
import People from "./people";

const ana: User = { id: "usr_1", username: "ana", role: "admin", created_at: "2026-01-02T10:00:00.000Z", disabled_at: null };
const bob: User = { id: "usr_2", username: "bob", role: "member", created_at: "2026-01-02T10:00:00.000Z", disabled_at: null };

beforeEach(() => {
  route("get", "/api/me", { json: ana });
  route("get", "/api/invites", page([]));
});

const row = async (name: string) => (await screen.findAllByRole("listitem")).find((item) => item.textContent?.includes(name))!;

it("ones_own_row_has_nothing_to_lock_oneself_out_with", async () => {
  route("get", "/api/users", page([ana, bob]));
  show(<People />);
  expect(within(await row("ana")).queryByRole("button")).toBeNull();
  expect(within(await row("bob")).getAllByRole("button")).toHaveLength(2);
});

it("a_role_is_changed_with_one_choice", async () => {
  route("get", "/api/users", page([ana, bob]));
  const asked = route("patch", "/api/users/:id", { json: { ...bob, role: "admin" } as never });
  const { user } = show(<People />);
  await user.selectOptions(await screen.findByLabelText("Role of bob"), "admin");
  await waitFor(() => expect(screen.getByLabelText<HTMLSelectElement>("Role of bob").value).toBe("admin"));
  expect(asked[0]?.body).toEqual({ role: "admin" });
});

it("disabling_says_what_it_takes_along_and_can_be_taken_back", async () => {
  route("get", "/api/users", page([ana, bob]));
  let changed: User = { ...bob, disabled_at: "2026-01-03T10:00:00.000Z" };
  const asked = route("patch", "/api/users/:id", () => ({ json: changed as never }));
  const { user } = show(<People />);
  await user.click(within(await row("bob")).getByRole("button", { name: "Disable" }));
  const dialog = await screen.findByRole("dialog", { name: "Disable bob" });
  expect(dialog.textContent).toContain("Their running projects stop");
  await user.click(within(dialog).getByRole("button", { name: "Cancel" }));
  expect(asked).toHaveLength(0);
  await user.click(within(await row("bob")).getByRole("button", { name: "Disable" }));
  await user.click(within(await screen.findByRole("dialog", { name: "Disable bob" })).getByRole("button", { name: "Disable" }));
  const enable = await screen.findByRole("button", { name: "Enable" });
  expect(asked[0]?.body).toEqual({ disabled: true });
  changed = bob;
  await user.click(enable);
  await waitFor(() => expect(screen.queryByRole("button", { name: "Enable" })).toBeNull());
  expect(asked[1]?.body).toEqual({ disabled: false });
});

it("a_name_that_is_taken_stands_at_the_name", async () => {
  route("get", "/api/users", page([ana]));
  route("post", "/api/users", () => problem(422, "invalid", "`bob` is taken.", { field: "username" }));
  const { user } = show(<People />);
  expect(await screen.findByText(/You are the only one so far/)).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Add somebody" }));
  await user.type(screen.getByLabelText("Username"), "bob");
  await user.type(screen.getByLabelText("First password"), "a long password");
  await user.click(screen.getByRole("button", { name: "Add" }));
  expect(await screen.findByText("`bob` is taken.")).toBeTruthy();
});

it("a_new_password_is_sent_and_told", async () => {
  route("get", "/api/users", page([ana, bob]));
  const asked = route("patch", "/api/users/:id", { json: bob as never });
  const { user } = show(<People />);
  await user.click(within(await row("bob")).getByRole("button", { name: "New password" }));
  await user.type(screen.getByLabelText("New password", { selector: "input" }), "another long one");
  await user.click(screen.getByRole("button", { name: "Set the password" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(asked[0]?.body).toEqual({ password: "another long one" });
});

it("a_list_that_can_not_be_read_is_tried_again", async () => {
  let broken = true;
  route("get", "/api/users", () => (broken ? problem(500, "internal", "It failed.") : page([ana])));
  const { user } = show(<People />);
  const again = await screen.findByRole("button", { name: "Try again" });
  broken = false;
  await user.click(again);
  expect(await row("ana")).toBeTruthy();
});

it("the_link_of_an_invite_is_shown_once_and_can_be_taken_back", async () => {
  const invite = { id: "inv_1", role: "member", by: "ana", created_at: "2026-01-02T10:00:00.000Z", expires_at: "2026-01-09T10:00:00.000Z" };
  route("get", "/api/users", page([ana]));
  route("post", "/api/invites", { json: { invite, path: "/invite#proof" }, status: 201 });
  const { user } = show(<People />);
  await user.click(await screen.findByRole("button", { name: "Invite by link" }));
  route("get", "/api/invites", page([invite]));
  await user.click(screen.getByRole("button", { name: "Make the link" }));
  expect((await screen.findByLabelText("the link")).textContent).toBe(`${location.origin}/invite#proof`);
  await user.click(screen.getByRole("button", { name: "I have it" }));
  expect(document.body.textContent).not.toContain("proof");
  const taken = route("delete", "/api/invites/inv_1", { status: 204 });
  route("get", "/api/invites", page([]));
  await user.click(await screen.findByRole("button", { name: "Take back" }));
  await waitFor(() => expect(screen.queryByRole("list", { name: "Invites" })).toBeNull());
  expect(taken).toHaveLength(1);
});
