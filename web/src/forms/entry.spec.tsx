import { screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { problem, route } from "../../test/network";
import { show } from "../../test/page";
import { safeNext } from "../router";
import { SetUpAccountForm } from "./set-up-account";
import { SignInForm } from "./sign-in";

const USER = { id: "usr_1", username: "ana", role: "admin", created_at: "2026-01-01T00:00:00.000Z" };

it("the_first_account_is_made_and_the_dashboard_follows", async () => {
  const asked = route("post", "/api/setup", { status: 201, json: USER });
  const { user, router } = show(<SetUpAccountForm codeRequired />);
  await user.type(await screen.findByLabelText("Username"), " ana ");
  await user.type(screen.getByLabelText("Password"), "a long sentence");
  await user.type(screen.getByLabelText("Setup code"), "1234");
  await user.click(screen.getByRole("button", { name: "Make the account" }));
  await waitFor(() => expect(asked).toHaveLength(1));
  expect(asked[0]?.body).toEqual({ username: "ana", password: "a long sentence", setup_code: "1234" });
  expect(router.state.location.pathname).toBe("/");
});

it("a_wrong_setup_code_is_said_at_its_field", async () => {
  route("post", "/api/setup", problem(403, "setup_code_wrong", "This isn’t the code that doce printed."));
  const { user } = show(<SetUpAccountForm codeRequired />);
  await user.type(await screen.findByLabelText("Username"), "ana");
  await user.type(screen.getByLabelText("Password"), "secret");
  await user.type(screen.getByLabelText("Setup code"), "9");
  await user.click(screen.getByRole("button", { name: "Make the account" }));
  await waitFor(() => expect(screen.getByLabelText("Setup code").getAttribute("aria-invalid")).toBe("true"));
  expect(screen.getByRole("alert").textContent).toContain("This isn’t the code");
});

it("without_a_code_to_give_none_is_asked_for", async () => {
  show(<SetUpAccountForm codeRequired={false} />);
  await screen.findByLabelText("Username");
  expect(screen.queryByLabelText("Setup code")).toBeNull();
});

it("a_wrong_password_is_said_and_what_was_typed_stays", async () => {
  route("post", "/api/sign-in", problem(401, "sign_in_failed", "The username or the password is wrong."));
  const { user } = show(<SignInForm next="/" />);
  await user.type(await screen.findByLabelText("Username"), "ana");
  await user.type(screen.getByLabelText("Password"), "nope");
  await user.click(screen.getByRole("button", { name: "Sign in" }));
  expect((await screen.findByRole("alert")).textContent).toContain("is wrong");
  expect(screen.getByLabelText("Username")).toHaveProperty("value", "ana");
});

it("too_many_attempts_say_how_long_to_wait", async () => {
  route("post", "/api/sign-in", { ...problem(429, "throttled", "Too many attempts."), headers: { "retry-after": "30" } });
  const { user } = show(<SignInForm next="/" />);
  await user.type(await screen.findByLabelText("Username"), "ana");
  await user.type(screen.getByLabelText("Password"), "nope");
  await user.click(screen.getByRole("button", { name: "Sign in" }));
  expect((await screen.findByRole("alert")).textContent).toContain("30 seconds");
});

it("a_password_can_be_shown", async () => {
  const { user } = show(<SignInForm next="/" />);
  const field = await screen.findByLabelText("Password");
  expect(field).toHaveProperty("type", "password");
  await user.click(screen.getByRole("button", { name: "show" }));
  expect(field).toHaveProperty("type", "text");
});

it.each([
  ["/projects/prj_1?tab=files", "/projects/prj_1?tab=files"],
  ["//evil.example", "/"],
  ["/\\evil.example", "/"],
  ["https://evil.example", "/"],
  [undefined, "/"],
])("after_signing_in_%s_leads_to_%s", (next, to) => {
  expect(safeNext(next)).toBe(to);
});
