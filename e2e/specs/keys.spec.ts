// The master key and one's own keys: the reminder of a copy, changing it while doce runs, taking keys along.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "../fixtures";
import { ANA } from "../support/doce";
import { expectFits, PHONE } from "../support/phone";

const KEY = "sk-ant-planted-0123456789-abcd";
/** Somebody's public key; nobody here has its other half. */
const RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
const REMINDER = "Keep a copy of the master key somewhere else";

test.beforeEach(async ({ api, model }) => {
  await api.setUp();
  await model.acceptOnly(KEY);
});

test("a copy of the key is reminded of, and the key is changed by keyboard while everything goes on", async ({ page, api, model, doce }) => {
  await api.connect("anthropic", model.anthropicBaseUrl, KEY);
  await page.goto("/settings/keys");
  await expect(page.getByText(REMINDER)).toBeVisible();
  await page.getByRole("button", { name: "I keep a copy" }).press("Enter");
  await expect(page.getByText(REMINDER)).toBeHidden();
  await page.reload();
  await expect(page.getByText(/you said that there is one/)).toBeVisible();

  const file = join(doce.dataDir, "master.key");
  const before = await readFile(file, "utf8");
  await page.getByRole("button", { name: "Change the master key" }).press("Enter");
  const dialog = page.getByRole("dialog", { name: "Change the master key?" });
  await expect(dialog.getByRole("button", { name: "Change it" })).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();
  await page.getByRole("button", { name: "Change the master key" }).press("Enter");
  await page.keyboard.press("Enter");
  // The new one has no copy yet, and the one before lies beside it.
  await expect(page.getByText(REMINDER)).toBeVisible();
  await expect(page.getByText(/master\.key\.old-/).first()).toBeVisible();
  expect(await readFile(file, "utf8")).not.toBe(before);
  expect((await readdir(doce.dataDir)).filter((name) => name.startsWith("master.key")).length).toBe(2);

  const works = async () => {
    await page.goto("/settings/providers");
    await page.getByRole("button", { name: "Verify" }).click();
    await expect.poll(async () => (await model.requests()).at(-1)?.key).toBe(KEY);
    await expect(page.getByText("works").first()).toBeVisible();
  };
  await works();
  await doce.kill();
  await doce.start();
  await works();
});

test("one’s own keys are downloaded encrypted, for the password alone, and that is told of", async ({ page, api, model }) => {
  await page.goto("/settings/keys");
  await page.getByRole("radio", { name: "With an age key" }).press("Space");
  await page.getByLabel("Public key").fill(RECIPIENT);
  await page.getByLabel("Your password").fill(ANA.password);
  await page.getByRole("button", { name: "Download" }).click();
  await expect(page.getByRole("alert")).toContainText("no key to export");

  await api.connect("anthropic", model.anthropicBaseUrl, KEY);
  await page.getByLabel("Your password").fill("not the password");
  await page.getByLabel("Your password").press("Enter");
  await expect(page.getByRole("alert")).toContainText("That is not your password.");
  await page.getByLabel("Your password").fill(ANA.password);
  const downloading = page.waitForEvent("download");
  await page.getByLabel("Your password").press("Enter");
  const download = await downloading;
  expect(download.suggestedFilename()).toBe("doce-keys.age");
  const file = await readFile(await download.path());
  expect(file.subarray(0, 21).toString()).toBe("age-encryption.org/v1");
  expect(file.includes("planted")).toBe(false);
  await expect(page.getByLabel("Your password")).toHaveValue("");

  await page.goto("/settings/audit");
  const events = page.getByRole("list", { name: "Events, newest first" }).getByRole("listitem");
  await expect(events.first()).toContainText("You exported the key of Anthropic (main)");
  await expect(events.filter({ hasText: "You tried to export keys" })).toContainText("wrong password");
});

test.describe("on a phone", () => {
  test.use(PHONE);

  test("nothing of the keys is wider than the screen", async ({ page }) => {
    await page.goto("/settings/keys");
    await expect(page.getByText(REMINDER)).toBeVisible();
    await expectFits(page);
    await page.getByRole("button", { name: "Change the master key" }).tap();
    await expect(page.getByRole("dialog")).toBeVisible();
    await expectFits(page);
    await page.getByRole("button", { name: "Change it" }).tap();
    await expect(page.getByText(/master\.key\.old-/).first()).toBeVisible();
    await expectFits(page);
  });
});
