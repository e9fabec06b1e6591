import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, it } from "vitest";
import { aConnection } from "../test/nouns";
import { page, problem, route, type Request } from "../test/network";
import { App, createApp } from "./app";

let app: ReturnType<typeof createApp> | null = null;

function open(path: string) {
  window.history.replaceState(null, "", path);
  app = createApp();
  render(<App cache={app.cache} router={app.router} />);
  return app;
}

const USER = { id: "usr_1", username: "ana", role: "admin", created_at: "2026-01-01T00:00:00.000Z" };
const SYSTEM = { version: "0.1.0", opencode: { state: "ready", version: "1.18.33", detail: null, downloaded: null, total: null }, sandbox: { state: "active", detail: "" }, unsandboxed_warning: false, encrypted: false, preview: { mode: "port" }, data_dir: null };
const health = (setup: boolean) => route("get", "/api/health", { json: { status: "ok", version: "0.1.0", setup_required: setup, setup_code_required: false } });

const START = { json: { user: USER, system: SYSTEM, model_preferences: { preferred: null, favourites: [], recents: [] }, connections: [aConnection()], live_jobs: [], event_id: "boot-1" } };

function aServer() {
  health(false);
  route("get", "/api/start", START);
  route("get", "/api/system", { json: SYSTEM });
  route("get", "/api/projects", page([]));
  route("get", "/api/connections", page([aConnection()]));
  route("get", "/api/providers/:id/models", page([]));
  route("get", "/api/stream", { text: "", headers: { "content-type": "text/event-stream" } });
}

beforeEach(() => sessionStorage.clear());
afterEach(async () => {
  await app?.stop();
  app = null;
});

it("on_a_new_server_every_address_leads_to_the_setup", async () => {
  health(true);
  const asked: Request[] = route("get", "/api/start", problem(401, "not_signed_in", "Nobody is signed in."));
  open("/settings/providers");
  expect(await screen.findByRole("heading", { name: "Welcome to doce" })).toBeTruthy();
  expect(asked).toHaveLength(1);
});

it("somebody_who_is_not_signed_in_comes_back_to_where_they_wanted", async () => {
  aServer();
  let signedIn = false;
  route("get", "/api/start", () => (signedIn ? START : problem(401, "not_signed_in", "Nobody is signed in.")));
  route("post", "/api/sign-in", () => {
    signedIn = true;
    return { json: USER };
  });
  const { router } = open("/settings/providers?x=1");
  await screen.findByRole("heading", { name: "Sign in" });
  const user = userEvent.setup();
  await user.type(screen.getByLabelText("Username"), "ana");
  await user.type(screen.getByLabelText("Password"), "secret{Enter}");
  expect(await screen.findByRole("heading", { name: "Providers" })).toBeTruthy();
  expect(router.state.location.pathname).toBe("/settings/providers");
});

it("a_sign_in_that_has_ended_leads_to_the_sign_in_page_once", async () => {
  aServer();
  open("/");
  await screen.findByRole("heading", { name: "What are you building?" });
  const gone = problem(401, "not_signed_in", "Nobody is signed in.");
  const asked = route("get", "/api/start", gone);
  route("post", "/api/sign-out", { status: 204 });
  const user = userEvent.setup();
  await user.click(await screen.findByRole("button", { name: "ana: menu" }));
  await user.click(await screen.findByRole("menuitem", { name: "Sign out" }));
  expect(await screen.findByRole("heading", { name: "Sign in" })).toBeTruthy();
  await waitFor(() => expect(asked).toHaveLength(1));
});

it("what_is_not_encrypted_is_said_on_every_page", async () => {
  aServer();
  open("/");
  expect(await screen.findByText("Not encrypted.")).toBeTruthy();
});

it("an_address_that_leads_nowhere_says_so", async () => {
  health(false);
  open("/nothing/here");
  expect(await screen.findByRole("heading", { name: "There is nothing at this address" })).toBeTruthy();
});
