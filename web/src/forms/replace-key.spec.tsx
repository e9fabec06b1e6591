import { screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { page, route } from "../../test/network";
import { aConnection, aProvider } from "../../test/nouns";
import { show } from "../../test/page";
import type { Connection } from "../api/types";
import { openDialog } from "../components/dialogs";

async function asked(connection: Connection): Promise<HTMLElement> {
  route("get", "/api/providers", page([aProvider()]));
  show(<p>page</p>);
  await screen.findByText("page");
  openDialog({ kind: "replace-key", connection });
  return screen.findByRole("dialog");
}

it("the_way_to_a_new_key_is_shown_before_anything_is_rejected", async () => {
  const dialog = await asked(aConnection());
  const link = await screen.findByRole("link", { name: "console.anthropic.com" });
  expect(link.getAttribute("href")).toBe("https://console.anthropic.com/settings/keys");
  expect(link.getAttribute("rel")).toContain("noopener");
  expect(dialog.textContent).toContain("personal, ending in k7Qx. No project uses it.");
});

it("answers_are_changed_without_a_key_and_what_stays_empty_stays", async () => {
  const prompt = (key: string, message: string) => ({ kind: "text" as const, key, message, placeholder: null, options: [], when: null });
  const prompts = [prompt("account", "Account ID"), prompt("gateway", "Gateway ID")];
  route("get", "/api/providers", page([aProvider({ methods: [{ index: 0, kind: "api", label: "API key", prompts, refusal: null, tested: null }] })]));
  const changed = route("patch", "/api/connections/:id", { json: aConnection({ version: 2 }) });
  const { user } = show(<p>page</p>);
  await screen.findByText("page");
  openDialog({ kind: "replace-key", connection: aConnection() });
  await user.type(await screen.findByLabelText("Account ID"), "acme-eu2");
  expect(screen.getAllByText("Empty: it stays as it is.")).toHaveLength(2);
  await user.click(screen.getByRole("button", { name: "Check and replace" }));
  await waitFor(() => expect(changed.map((each) => each.body)).toEqual([{ metadata: { account: "acme-eu2" } }]));
});

it("a_connection_without_a_key_says_that_it_has_none", async () => {
  const dialog = await asked(aConnection({ last_four: "" }));
  expect(dialog.textContent).toContain("personal, without a key so far. No project uses it.");
  expect(dialog.textContent).not.toContain("ending in");
});
