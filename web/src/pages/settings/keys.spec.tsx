import { screen, waitFor, within } from "@testing-library/react";
import { beforeEach, expect, it, vi } from "vitest";
import { problem, route } from "../../../test/network";
import { show } from "../../../test/page";
import type { KeyRotation, MasterKey } from "../../api/types";
import { applyEvents } from "../../stream/cache";
import Keys from "./keys";

const AT = "2026-01-02T10:00:00.000Z";
const rotation = (more: Partial<KeyRotation> = {}): KeyRotation => ({ state: "idle", done: 0, total: 0, reason: null, ...more });
const aKey = (more: Partial<MasterKey> = {}): MasterKey => ({ id: "0a1b2c3d4e5f6071", files: ["/srv/doce/master.key"], since: AT, values: 12, copied_at: AT, old_files: [], rotation: rotation(), ...more });
const account = (role = "admin") => ({ id: "usr_1", username: "ana", role, created_at: AT });

beforeEach(() => {
  route("get", "/api/me", { json: account() });
  route("get", "/api/system", { json: { version: "1", opencode: { state: "ready" }, sandbox: { state: "active" }, data_dir: "/srv/doce" } });
});

it("a_key_without_a_copy_is_reminded_of_until_somebody_says_that_there_is_one", async () => {
  route("get", "/api/keys", { json: aKey({ copied_at: null }) });
  const said = route("post", "/api/keys/copy", { json: aKey() });
  const { user } = show(<Keys />);
  expect(await screen.findByText("Keep a copy of the master key somewhere else")).toBeTruthy();
  expect(screen.getByText("12 values")).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "I keep a copy" }));
  await waitFor(() => expect(screen.queryByText("Keep a copy of the master key somewhere else")).toBeNull());
  expect(said.map(({ body }) => body)).toEqual([{ id: "0a1b2c3d4e5f6071" }]);
  expect(screen.getByText(/you said that there is one/)).toBeTruthy();
});

it("the_key_is_changed_after_a_question_and_its_way_is_shown_to_the_end", async () => {
  let key = aKey();
  route("get", "/api/keys", () => ({ json: key }));
  route("post", "/api/keys/rotate", () => {
    key = aKey({ rotation: rotation({ state: "running" }) });
    return { status: 202, json: key };
  });
  const { user, cache } = show(<Keys />);
  await user.click(await screen.findByRole("button", { name: "Change the master key" }));
  const dialog = await screen.findByRole("dialog", { name: "Change the master key?" });
  await user.keyboard("{Enter}");
  await waitFor(() => expect(dialog.isConnected).toBe(false));
  expect((await screen.findByRole("status")).textContent).toBe("Making the new key …");
  applyEvents(cache, [{ id: "", type: "key_rotation", rotation: rotation({ state: "running", done: 5, total: 12 }) }]);
  await waitFor(() => expect(screen.getByRole("status").textContent).toContain("5 of 12"));
  key = aKey({ id: "ffffffffffffffff", copied_at: null, old_files: ["/srv/doce/master.key.old-0a1b2c3d4e5f6071"] });
  applyEvents(cache, [{ id: "", type: "key_rotation", rotation: rotation({ done: 12, total: 12 }) }]);
  expect(await screen.findByText("ffffffffffffffff")).toBeTruthy();
  expect(screen.getByText("/srv/doce/master.key.old-0a1b2c3d4e5f6071")).toBeTruthy();
  expect(screen.getByText("Keep a copy of the master key somewhere else")).toBeTruthy();
});

it("a_change_that_was_not_finished_says_why_and_goes_on", async () => {
  route("get", "/api/keys", { json: aKey({ files: ["/srv/doce/master.key", "/srv/doce/master.key.next"], rotation: rotation({ state: "unfinished", reason: "Only 3 of 4 sealed values open." }) }) });
  const begun = route("post", "/api/keys/rotate", problem(409, "key_rotating", "The master key is being changed already."));
  const { user } = show(<Keys />);
  expect((await screen.findByRole("alert")).textContent).toContain("Only 3 of 4 sealed values open.");
  expect(screen.getByText("/srv/doce/master.key.next")).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Go on" }));
  const dialog = await screen.findByRole("dialog", { name: "Go on with the change?" });
  await user.click(within(dialog).getByRole("button", { name: "Go on" }));
  expect((await within(dialog).findByRole("alert")).textContent).toContain("being changed already");
  expect(begun).toHaveLength(1);
});

it("keys_are_downloaded_for_a_passphrase_after_the_password_was_given_again", async () => {
  route("get", "/api/keys", { json: aKey() });
  const saved: string[] = [];
  // jsdom has none of it.
  Object.assign(URL, { createObjectURL: () => "blob:one", revokeObjectURL: () => {} });
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function (this: HTMLAnchorElement) {
    saved.push(`${this.download} ${this.href}`);
  });
  route("post", "/api/keys/export", problem(422, "invalid", "That is not your password.", { field: "password" }));
  const { user } = show(<Keys />);
  await user.type(await screen.findByLabelText("Passphrase of the file"), "correct horse battery");
  await user.type(screen.getByLabelText("The same once more"), "correct horse");
  expect(screen.getByText("The two are different.")).toBeTruthy();
  await user.type(screen.getByLabelText("The same once more"), " battery");
  await user.type(screen.getByLabelText("Your password"), "wrong{Enter}");
  expect(await screen.findByText("That is not your password.")).toBeTruthy();
  expect(saved).toEqual([]);

  const asked = route("post", "/api/keys/export", { text: "age-encryption.org/v1", headers: { "content-type": "application/octet-stream" } });
  await user.clear(screen.getByLabelText("Your password"));
  await user.type(screen.getByLabelText("Your password"), "right{Enter}");
  await waitFor(() => expect(saved).toEqual(["doce-keys.age blob:one"]));
  expect(asked.map(({ body }) => body)).toEqual([{ password: "right", passphrase: "correct horse battery" }]);
  expect(screen.getByLabelText<HTMLInputElement>("Your password").value).toBe("");
});

it("a_member_has_the_export_and_nothing_of_the_master_key", async () => {
  route("get", "/api/me", { json: account("member") });
  const asked = route("post", "/api/keys/export", problem(409, "nothing_connected", "You have no connection, so there is no key to export."));
  const { user } = show(<Keys />);
  await user.click(await screen.findByRole("radio", { name: "With an age key" }));
  await user.type(screen.getByLabelText("Public key"), "age1one, age1two");
  await user.type(screen.getByLabelText("Your password"), "right{Enter}");
  expect((await screen.findByRole("alert")).textContent).toContain("no key to export");
  expect(asked.map(({ body }) => body)).toEqual([{ password: "right", recipients: ["age1one", "age1two"] }]);
  expect(screen.queryByText("Master key")).toBeNull();
  expect(screen.queryByText("Backup")).toBeNull();
});

it("the_backup_leaves_the_master_key_out_and_copies_it_apart", async () => {
  route("get", "/api/keys", { json: aKey() });
  show(<Keys />);
  expect(await screen.findByText("tar --exclude='./master.key*' -czf doce-backup.tar.gz -C /srv/doce .")).toBeTruthy();
  expect(screen.getByText("cp -p /srv/doce/master.key* ELSEWHERE/")).toBeTruthy();
});

it("what_can_not_be_read_is_tried_again", async () => {
  route("get", "/api/keys", problem(500, "internal", "internal error"));
  const { user } = show(<Keys />);
  expect(await screen.findByText("internal error")).toBeTruthy();
  route("get", "/api/keys", { json: aKey() });
  await user.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByText("0a1b2c3d4e5f6071")).toBeTruthy();
});
