// Connecting, checking, replacing and disconnecting a provider, without any project.
import type { Page } from "@playwright/test";
import { expect, test } from "../fixtures";
import { fillKeyForm } from "../support/connect";
import { expectDialogFits, expectFits, PHONE } from "../support/phone";

const GOOD = "sk-ant-good-0123456789-abcd";
const OTHER = "sk-ant-other-0123456789-wxyz";
const BAD = "sk-ant-wrong-0123456789-zzzz";

async function openList(page: Page): Promise<void> {
  await page.goto("/settings/providers");
  await page.getByRole("button", { name: "Connect a provider" }).click();
}

const row = (page: Page, provider: string) => page.getByRole("listitem").filter({ has: page.getByRole("heading", { name: provider }) });

test.beforeEach(async ({ api, model }) => {
  await api.setUp();
  await model.acceptOnly(GOOD, OTHER);
});

test("the whole catalogue is searched as one types", async ({ page }) => {
  await openList(page);
  const search = page.getByRole("combobox", { name: "Providers" });
  const options = page.getByRole("listbox", { name: "Providers" }).getByRole("option");
  await expect.poll(() => options.count()).toBeGreaterThan(200);
  await search.fill("deepseek");
  await expect(options.first()).toContainText("DeepSeek");
  expect(await options.count()).toBeLessThan(20);
  await search.fill("no such provider anywhere");
  await expect(options).toHaveCount(0);
  await expect(page.getByText("No provider matches")).toBeVisible();
});

test("a good key is checked with the provider and shown by its last four characters only", async ({ page, model }) => {
  await openList(page);
  const dialog = await fillKeyForm(page, { provider: "Anthropic", key: GOOD, baseUrl: model.anthropicBaseUrl });
  // In this version the agent holds the key itself, and the page says so before it is given.
  await expect(dialog).toContainText(/agent can read it/i);
  await dialog.getByRole("button", { name: "Check and connect" }).click();
  await expect(dialog.getByRole("status")).toContainText("Works");
  await dialog.getByRole("button", { name: "Done" }).click();

  const anthropic = row(page, "Anthropic");
  await expect(anthropic).toContainText("Connected");
  await expect(anthropic).toContainText("works");
  await expect(anthropic).toContainText("abcd");
  await expect(anthropic).toContainText("direct");
  expect(await page.content()).not.toContain(GOOD);

  const [check] = await model.requests();
  expect(check?.protocol).toBe("models");
  expect(check?.key_header).toBe("x-api-key");
  expect(check?.key).toBe(GOOD);
});

test("a rejected key says so, keeps what was typed, and can be kept anyway", async ({ page, model }) => {
  await openList(page);
  const dialog = await fillKeyForm(page, { provider: "Anthropic", key: BAD, baseUrl: model.anthropicBaseUrl });
  await dialog.getByRole("button", { name: "Check and connect" }).click();

  const notice = dialog.getByRole("alert");
  await expect(notice).toContainText("Anthropic");
  await expect(notice).toContainText("401");
  await expect(dialog.getByLabel("API key")).toHaveValue(BAD);

  await notice.getByRole("button", { name: "Keep anyway" }).click();
  await expect(dialog.getByRole("status")).toContainText("Kept, although it was rejected");
  await dialog.getByRole("button", { name: "Done" }).click();
  await expect(row(page, "Anthropic")).toContainText("rejected");
});

test("a rejected key can be mended in place", async ({ page, model }) => {
  await openList(page);
  const dialog = await fillKeyForm(page, { provider: "Anthropic", key: BAD, baseUrl: model.anthropicBaseUrl });
  await dialog.getByRole("button", { name: "Check and connect" }).click();
  await dialog.getByRole("alert").getByRole("button", { name: "Edit" }).click();
  await dialog.getByLabel("API key").fill(GOOD);
  await dialog.getByRole("button", { name: "Check and connect" }).click();
  await expect(dialog.getByRole("status")).toContainText("Works");
});

test("a provider that can't be reached is saved as not verified, and can be tried again", async ({ page, model }) => {
  await openList(page);
  // Nothing listens on the port of a closed server.
  const dialog = await fillKeyForm(page, { provider: "Anthropic", key: GOOD, baseUrl: "http://127.0.0.1:9/v1" });
  await dialog.getByRole("button", { name: "Check and connect" }).click();
  await expect(dialog.getByRole("status")).toContainText("Saved, not verified");
  await dialog.getByRole("button", { name: "Try again" }).click();
  await expect(dialog.getByRole("status")).toContainText("Saved, not verified");
  await dialog.getByRole("button", { name: "Done" }).click();
  await expect(row(page, "Anthropic")).toContainText("not verified");

  // With the right address it works.
  await row(page, "Anthropic").getByRole("button", { name: "Replace key" }).click();
  const replace = page.getByRole("dialog", { name: /^Replace the key/ });
  await replace.getByLabel("New API key").fill(GOOD);
  await replace.getByLabel("Base URL").fill(model.anthropicBaseUrl);
  await replace.getByRole("button", { name: "Check and replace" }).click();
  await expect(replace.getByRole("status")).toContainText("Works");
});

test("a key is replaced, verified and disconnected, also after a restart", async ({ page, api, model, doce }) => {
  await api.connect("anthropic", model.anthropicBaseUrl, GOOD);
  await page.goto("/settings/providers");
  const anthropic = row(page, "Anthropic");
  await expect(anthropic).toContainText("abcd");

  await anthropic.getByRole("button", { name: "Replace key" }).click();
  const replace = page.getByRole("dialog", { name: /^Replace the key/ });
  await replace.getByLabel("New API key").fill(OTHER);
  await replace.getByRole("button", { name: "Check and replace" }).click();
  await expect(replace.getByRole("status")).toContainText("Works");
  await replace.getByRole("button", { name: "Done" }).click();
  await expect(anthropic).toContainText("wxyz");
  await expect(anthropic).not.toContainText("abcd");

  // The provider takes the key back; the next check finds out.
  await doce.kill();
  await doce.start();
  await model.acceptOnly(GOOD);
  await page.reload();
  await anthropic.getByRole("button", { name: "Verify" }).click();
  await expect(anthropic).toContainText("rejected");
  const asked = await model.requests();
  expect(asked.at(-1)?.key).toBe(OTHER);

  await anthropic.getByRole("button", { name: "Disconnect" }).click();
  const confirm = page.getByRole("dialog", { name: "Disconnect Anthropic?" });
  await expect(confirm).toContainText("No project uses it");
  await confirm.getByRole("button", { name: "Disconnect" }).click();
  await expect(page.getByRole("heading", { name: "No provider is connected" })).toBeVisible();
});

test("what is invisible around a key is taken off, and a quote inside it is named", async ({ page, model }) => {
  await openList(page);
  const dialog = await fillKeyForm(page, { provider: "Anthropic", key: `"${GOOD}"x`, baseUrl: model.anthropicBaseUrl });
  await dialog.getByRole("button", { name: "Check and connect" }).click();
  await expect(dialog.getByLabel("API key")).toHaveAttribute("aria-invalid", "true");
  await expect(dialog.getByRole("alert")).toBeVisible();
  expect(await model.requests()).toEqual([]);

  await dialog.getByLabel("API key").fill(`  ${GOOD}\u200b `);
  await dialog.getByRole("button", { name: "Check and connect" }).click();
  await expect(dialog.getByRole("status")).toContainText("Works");
  const [check] = await model.requests();
  expect(check?.key).toBe(GOOD);
});

test("a key that is pasted into the search leads to its provider and stands nowhere in clear", async ({ page }) => {
  await openList(page);
  const search = page.getByRole("combobox", { name: "Providers" });
  await search.fill(GOOD);
  const field = page.getByRole("dialog").getByLabel("API key");
  await expect(field).toHaveAttribute("type", "password");
  await expect(field).toHaveValue(GOOD);
  await expect(page.getByRole("dialog")).toContainText("Anthropic");
  expect(page.url()).not.toContain("sk-ant");
});

test("a key is reminded of before it is as old as its owner wants", async ({ page, api, model }) => {
  await api.connect("anthropic", model.anthropicBaseUrl, GOOD);
  await page.goto("/settings/providers");
  await page.getByRole("button", { name: /^Anthropic .*: more$/ }).click();
  await page.getByRole("menuitem", { name: "How long it is good" }).click();
  const tomorrow = new Date(Date.now() + 36 * 60 * 60_000).toISOString().slice(0, 10);
  await page.getByLabel(/Runs out on/).fill(tomorrow);
  await page.getByRole("button", { name: "Save" }).click();
  await expect(row(page, "Anthropic")).toContainText(/runs out (within a day|in 1 day)/);
  await page.goto("/");
  await expect(page.getByText("A key wants replacing")).toBeVisible();
});

test("a provider is connected and disconnected with the keyboard alone", async ({ page, model }) => {
  await page.goto("/settings/providers");
  await page.getByRole("button", { name: "Connect a provider" }).press("Enter");
  await expect(page.getByRole("combobox", { name: "Providers" })).toBeFocused();
  await page.keyboard.type("anthropic");
  await expect(page.getByRole("option", { name: /^Anthropic/ }).first()).toHaveAttribute("aria-selected", "true");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Anthropic" });
  await expect(dialog.getByLabel("API key")).toBeFocused();
  await page.keyboard.type(GOOD);
  await dialog.getByRole("button", { name: "Advanced: base URL" }).press("Enter");
  await dialog.getByLabel("Base URL").press("Control+a");
  await page.keyboard.type(model.anthropicBaseUrl);
  await page.keyboard.press("Enter");
  await expect(dialog.getByRole("status")).toContainText("Works");
  await page.keyboard.press("Escape");
  await expect(row(page, "Anthropic")).toContainText("Connected");
  await row(page, "Anthropic").getByRole("button", { name: "Disconnect" }).press("Enter");
  const confirm = page.getByRole("dialog", { name: "Disconnect Anthropic?" });
  await confirm.getByRole("button", { name: "Disconnect" }).press("Enter");
  await expect(page.getByRole("heading", { name: "No provider is connected" })).toBeVisible();
});

test("an endpoint of one’s own lists its models, is connected, and its models are changed", async ({ page, model }) => {
  await openList(page);
  await page.getByRole("button", { name: "Custom endpoint" }).click();
  const dialog = page.getByRole("dialog", { name: "Custom endpoint" });
  await dialog.getByLabel("Name").fill("Acme");
  await dialog.getByLabel("Base URL").fill(model.openaiBaseUrl);
  await dialog.getByLabel(/^API key/).fill(GOOD);
  await dialog.getByRole("button", { name: "List models" }).click();
  await expect(dialog.getByRole("listitem").first()).toBeVisible();
  await dialog.getByLabel("Id of another model").fill("acme-typed");
  await dialog.getByLabel("Id of another model").press("Enter");
  await dialog.getByRole("button", { name: "Check and connect" }).click();
  await expect(page.getByRole("dialog").getByRole("status")).toContainText("Works");
  await page.keyboard.press("Escape");
  await expect(row(page, "Acme")).toContainText("Connected");
  await page.getByRole("button", { name: /^Acme .*: more$/ }).click();
  await page.getByRole("menuitem", { name: "Address and models" }).click();
  const edit = page.getByRole("dialog", { name: "Acme" });
  await edit.getByRole("button", { name: "Remove acme-typed" }).click();
  await edit.getByRole("button", { name: "Save" }).click();
  await expect(edit).toBeHidden();
  await page.goto("/settings/models");
  await page.getByRole("button", { name: /Acme/ }).click();
  await expect(page.getByText("acme-typed")).toBeHidden();
});

test.describe("on a phone", () => {
  test.use(PHONE);

  test("nothing of a connection is wider than the screen", async ({ page, api, model }) => {
    await api.connect("anthropic", model.anthropicBaseUrl, GOOD);
    await page.goto("/settings/providers");
    await expect(row(page, "Anthropic")).toBeVisible();
    await expectFits(page);
    await row(page, "Anthropic").getByRole("button", { name: "Replace key" }).tap();
    await expect(page.getByRole("dialog")).toBeVisible();
    await expectFits(page);
  });

  test("the dialogs of a connection lie on the screen", async ({ page, api, model }) => {
    await openList(page);
    await expect(page.getByRole("listbox", { name: "Providers" }).getByRole("option").first()).toBeVisible();
    await expectDialogFits(page);
    const form = await fillKeyForm(page, { provider: "Anthropic", key: BAD, baseUrl: model.anthropicBaseUrl });
    await expectDialogFits(page);
    await form.getByRole("button", { name: "Check and connect" }).tap();
    await expect(form.getByRole("alert")).toBeVisible();
    await expectDialogFits(page);
    await page.keyboard.press("Escape");

    await openList(page);
    await page.getByRole("button", { name: "Custom endpoint" }).tap();
    const custom = page.getByRole("dialog", { name: "Custom endpoint" });
    await custom.getByLabel("Name").fill("An endpoint with a long name of its own");
    await custom.getByLabel("Base URL").fill(model.openaiBaseUrl);
    await custom.getByLabel(/^API key/).fill(GOOD);
    await custom.getByRole("button", { name: "List models" }).tap();
    await expect(custom.getByRole("listitem").first()).toBeVisible();
    await expectDialogFits(page);
    await page.keyboard.press("Escape");

    await api.connect("anthropic", model.anthropicBaseUrl, GOOD);
    await api.connect("anthropic", model.anthropicBaseUrl, OTHER);
    await page.goto("/settings/providers");
    const first = row(page, "Anthropic").first();
    await first.getByRole("button", { name: /: more$/ }).tap();
    await page.getByRole("menuitem", { name: "How long it is good" }).tap();
    await expect(page.getByLabel(/Runs out on/)).toBeVisible();
    await expectDialogFits(page);
    await page.keyboard.press("Escape");
    await first.getByRole("button", { name: "Replace key" }).tap();
    await expect(page.getByLabel("New API key")).toBeVisible();
    await expectDialogFits(page);
    await page.keyboard.press("Escape");
    await first.getByRole("button", { name: "Disconnect" }).tap();
    // The other one takes its place.
    await expect(page.getByRole("dialog")).toContainText("(··wxyz) is your default for Anthropic from then on.");
    await expectDialogFits(page);
  });
});
