import { screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { route } from "../../test/network";
import { show } from "../../test/page";
import type { OpenCode, System } from "../api/types";
import { Banners } from "./banners";

const system = (opencode: Partial<OpenCode>, more: Partial<System> = {}): System => ({
  version: "0.1.0",
  opencode: { state: "ready", version: "1.18.33", detail: null, downloaded: null, total: null, ...opencode },
  sandbox: { state: "active", detail: "" },
  unsandboxed_warning: false,
  encrypted: true,
  preview: { mode: "port" },
  data_dir: null,
  ...more,
});

it("the_first_download_of_opencode_says_how_far_it_is", async () => {
  route("get", "/api/system", { json: system({ state: "installing", downloaded: 41_200_000, total: 140_100_000 }) });
  show(<Banners />);
  expect((await screen.findByText(/41 of 141 MB/)).textContent).toContain("Installing OpenCode 1.18.33");
  expect(screen.getByRole("progressbar", { name: "Installing OpenCode" })).toBeTruthy();
});

it("an_opencode_that_is_not_there_says_why_and_is_tried_again", async () => {
  route("get", "/api/system", { json: system({ state: "failed", detail: "OpenCode could not be installed: no route to the registry." }) });
  const asked = route("post", "/api/system/opencode/retry", { status: 202 });
  const { user } = show(<Banners />);
  expect(await screen.findByText(/no route to the registry/)).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Try again" }));
  await waitFor(() => expect(asked).toHaveLength(1));
});

it("without_a_sandbox_only_the_sandbox_is_said_to_be_missing", async () => {
  route("get", "/api/system", { json: system({ state: "failed", detail: "It is only run in a sandbox." }, { sandbox: { state: "unavailable", detail: "Install bubblewrap." } }) });
  const asked = route("post", "/api/system/opencode/retry", { status: 202 });
  const { user } = show(<Banners />);
  expect(await screen.findByText(/Install bubblewrap/)).toBeTruthy();
  expect(screen.queryByText(/only run in a sandbox/)).toBeNull();
  await user.click(screen.getByRole("button", { name: "Try again" }));
  await waitFor(() => expect(asked).toHaveLength(1));
});
