import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { page, route } from "../../../test/network";
import { show } from "../../../test/page";
import People from "./people";

it("disabling_an_account_says_what_it_takes_along_before_it_does_it", async () => {
  const bob = { id: "usr_2", username: "bob", role: "member", created_at: "2026-01-01T00:00:00.000Z", disabled_at: null };
  route("get", "/api/users", page([bob]));
  route("get", "/api/invites", page([]));
  route("get", "/api/users/usr_2/in-use", { json: { projects: 2, sign_ins: 1, api_tokens: 0, invites: 3 } });
  const changed = route("patch", "/api/users/usr_2", { json: { ...bob, disabled_at: "2026-02-01T00:00:00.000Z" } });
  const { user } = show(<People />);
  await user.click(await screen.findByRole("button", { name: "Disable" }));
  const dialog = await screen.findByRole("dialog", { name: "Disable bob" });
  expect(await screen.findByText("2")).toBeTruthy();
  const told = within(dialog).getAllByRole("term").map((term) => `${term.nextSibling?.textContent} ${term.textContent}`);
  expect(told).toEqual(["2 running projects", "1 signed-in browser", "0 API tokens", "3 open invites"]);
  for (const words of ["signed out everywhere", "invites stop working", "running projects stop", "not renewed", "Nothing is deleted", "keys they connected stay"]) {
    expect(dialog.textContent).toContain(words);
  }
  expect(changed).toHaveLength(0);
  await user.click(screen.getByRole("button", { name: "Disable" }));
  await waitFor(() => expect(changed[0]?.body).toEqual({ disabled: true }));
  expect(await screen.findByText("disabled")).toBeTruthy();
});
