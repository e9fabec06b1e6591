// The audit log: what was done with a key, told as sentences, found again, and checked.
import { readFile } from "node:fs/promises";
import type { Page } from "@playwright/test";
import { expect, test } from "../fixtures";
import { ANA } from "../support/doce";
import { randomWord, say } from "../support/say";
import { LAUNCH_MS, Workspace } from "../support/workspace";

const events = (page: Page) => page.getByRole("list", { name: "Events, newest first" }).getByRole("listitem");

test("a key’s way from connecting to its use is found from its connection, by filter and by address", async ({ page, api, model }) => {
  const key = `sk-ant-${randomWord()}`;
  const word = randomWord();
  await model.acceptOnly(key);
  await api.setUp();
  await api.connect("anthropic", model.anthropicBaseUrl, key);
  const project = await api.createProject(`${word} ${say("Done.")}`, await api.model("anthropic"));
  await page.goto(`/projects/${project.id}`);
  await expect(new Workspace(page).answers.last()).toContainText("Done.", { timeout: LAUNCH_MS });

  await page.goto("/settings/providers");
  await page.getByRole("button", { name: "Anthropic main: more" }).click();
  await page.getByRole("menuitem", { name: "Where was this key used" }).click();
  await expect(page).toHaveURL(/\/settings\/audit\?connection=con_/);
  await expect(page.getByText("Where the key of Anthropic (main) was used")).toBeVisible();
  const said = async () => (await events(page).allTextContents()).join("\n");
  await expect.poll(said).toContain(`The agent of ${project.name} used Anthropic (main): 1 answer`);
  expect(await said()).toContain(`doce delivered Anthropic (main) to the agent of ${project.name}`);
  expect(await said()).toContain("You connected Anthropic (main)");
  expect(await said()).not.toContain("You made");
  expect(await page.content()).not.toContain(key);

  // A row tells more, and leads on to all that happened in the project.
  await page.getByRole("combobox", { name: "What" }).selectOption({ label: "Delivered" });
  await expect(page).toHaveURL(/action=deliver/);
  await expect(events(page)).toHaveCount(1);
  await events(page).getByRole("button", { name: /^Details of event/ }).press("Enter");
  await expect(events(page)).toContainText("Fingerprint");
  await events(page).getByRole("button", { name: "All in this project" }).click();
  await expect(page.getByRole("combobox", { name: "About" })).toHaveValue(project.id);
  await expect(events(page).filter({ hasText: `You made ${project.name}` })).toHaveCount(1);
  await events(page).getByRole("link", { name: project.name }).first().click();
  await expect(page).toHaveURL(new RegExp(`/projects/${project.id}`));

  // The address says what was asked for: going back shows the same.
  await page.goBack();
  await expect(page.getByRole("combobox", { name: "About" })).toHaveValue(project.id);
  await page.getByRole("button", { name: "Show everything" }).click();
  await expect(page).toHaveURL(/\/settings\/audit$/);
  await expect(events(page).last()).toContainText("You made the first account");
});

test("the log is downloaded, and tells of that", async ({ page, api }) => {
  await api.setUp();
  await page.goto("/settings/audit");
  await expect(events(page)).toHaveCount(1);
  const downloading = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download" }).click();
  const download = await downloading;
  expect(download.suggestedFilename()).toBe("doce-audit.jsonl");
  const lines = (await readFile(await download.path(), "utf8")).trim().split("\n").map((line) => JSON.parse(line) as { seq: number; action: string });
  expect(lines.map(({ seq, action }) => [seq, action])).toEqual([[1, "set_up"], [2, "export"]]);
  await page.getByRole("button", { name: "Read again" }).click();
  await expect(events(page).first()).toContainText("You downloaded the audit log");
});

test.describe("on a phone", () => {
  test.use({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });

  test("nothing of the log is wider than the screen", async ({ page, api, doce }) => {
    await api.setUp();
    // A name that somebody typed can be long.
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await fetch(`${doce.url}/api/sign-in`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ username: "x".repeat(200), password: ANA.password }) });
    }
    await page.goto("/settings/audit");
    await expect(events(page)).toHaveCount(4);
    await events(page).first().getByRole("button", { name: /^Details of event/ }).tap();
    await expect(events(page).first()).toContainText("Request");
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    await page.getByRole("combobox", { name: "What" }).selectOption({ label: "Sign-in refused" });
    await expect(events(page)).toHaveCount(3);
  });
});
