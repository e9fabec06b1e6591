// Signing in at a provider, whose page is a small authorization server: the address is pasted, cancelled, refused.
//
// GitLab's sign-in comes back to a port of doce's machine that is always the same, so all that needs it stands in this one file.
import type { Page } from "@playwright/test";
import { expect, test as base } from "../fixtures";
import { AuthorizationServer, landing, USED_CODE } from "../support/authorization";
import { expectDialogFits, expectFits, PHONE } from "../support/phone";

/** A sign-in starts an OpenCode of its own, which then asks the provider. */
const SIGN_IN_MS = 60_000;

const test = base.extend<{ authorization: AuthorizationServer }>({
  authorization: async ({}, use) => {
    const server = await AuthorizationServer.start();
    await use(server);
    await server.stop();
  },
});

const dialog = (page: Page) => page.getByRole("dialog", { name: "GitLab Duo" });
const pasted = (page: Page) => page.getByLabel("The address your browser could not open");

/** Begins the sign-in with the keyboard alone, and returns where the provider's page and its way back are. */
async function begin(page: Page, server: AuthorizationServer): Promise<{ url: string; address: string }> {
  await page.goto("/settings/providers");
  await page.getByRole("button", { name: "Connect a provider" }).press("Enter");
  await expect(page.getByRole("combobox", { name: "Providers" })).toBeFocused();
  await page.keyboard.type("gitlab");
  await expect(page.getByRole("option", { name: /^GitLab Duo/ }).first()).toHaveAttribute("aria-selected", "true");
  await page.keyboard.press("Enter");
  const instance = dialog(page).getByLabel("GitLab instance URL");
  await expect(instance).toHaveValue("https://gitlab.com");
  await instance.press("ControlOrMeta+a");
  await page.keyboard.type(server.url);
  await page.keyboard.press("Enter");
  const link = dialog(page).getByRole("link", { name: /^Open 127\.0\.0\.1/ });
  await expect(link).toBeVisible({ timeout: SIGN_IN_MS });
  const url = (await link.getAttribute("href")) ?? "";
  expect(url.startsWith(`${server.url}/oauth/authorize`)).toBe(true);
  const address = ((await pasted(page).getAttribute("placeholder")) ?? "").replace(/\?.*$/, "");
  return { url, address };
}

test.use(PHONE);

test.beforeEach(async ({ api }) => {
  await api.setUp();
});

test("the pasted address ends a sign-in, with the keyboard and on a phone", async ({ page, authorization }) => {
  const { url, address } = await begin(page, authorization);
  await expect(dialog(page).getByRole("status")).toContainText(/Waiting for you… \d+:\d\d left/);
  await expectDialogFits(page);

  await pasted(page).fill("http://localhost:1/elsewhere?code=x");
  await page.keyboard.press("Enter");
  await expect(pasted(page)).toHaveAttribute("aria-invalid", "true");
  await expectDialogFits(page);
  await pasted(page).fill(landing(url, address, "good-code"));
  await page.keyboard.press("Enter");
  const shut = page.getByRole("dialog").getByRole("button", { name: "Done" });
  await expect(shut).toBeVisible({ timeout: SIGN_IN_MS });
  await expectDialogFits(page);
  await shut.press("Enter");

  const row = page.getByRole("listitem").filter({ has: page.getByRole("heading", { name: "GitLab Duo" }) });
  await expect(row).toContainText("Connected");
  await expect(row).toContainText("renews by itself");
  await expect(row.getByRole("button", { name: "Sign in again" })).toBeVisible();
  await expectFits(page);
  await row.getByRole("button", { name: "Disconnect" }).press("Enter");
  const confirm = page.getByRole("dialog", { name: "Disconnect GitLab Duo?" });
  await expect(confirm).toContainText("The sign-in main is removed from this server.");
  await expectDialogFits(page);
  await confirm.getByRole("button", { name: "Disconnect" }).press("Enter");
  await expect(page.getByRole("heading", { name: "No provider is connected" })).toBeVisible();
});

test("a sign-in is cancelled and begun again, and one that the provider refuses says so", async ({ page, authorization }) => {
  await begin(page, authorization);
  await dialog(page).getByRole("button", { name: "Cancel" }).press("Enter");
  await expect(dialog(page).getByText("The sign-in was cancelled")).toBeVisible({ timeout: SIGN_IN_MS });
  await expectDialogFits(page);
  await dialog(page).getByRole("button", { name: "Begin again" }).press("Enter");
  await expect(dialog(page).getByLabel("GitLab instance URL")).toBeVisible();
  // Leaving is giving up, too: the port is free for the next one.
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toBeHidden();

  const { url, address } = await begin(page, authorization);
  await pasted(page).fill(landing(url, address, USED_CODE));
  await page.keyboard.press("Enter");
  await expect(dialog(page).getByText("The sign-in failed")).toBeVisible({ timeout: SIGN_IN_MS });
  await expectDialogFits(page);
  await page.keyboard.press("Escape");
  await expect(page.getByRole("heading", { name: "No provider is connected" })).toBeVisible();
});
