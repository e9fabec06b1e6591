// Bringing over what doce.dev or an OpenCode holds, from the settings: shown first, then done, twice the same as once.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, test } from "../fixtures";
import { BERTA, makeOldInstallation, PLANTED } from "../support/old-installation";
import { expectFits, PHONE } from "../support/phone";

const lines = (page: Page) => page.getByRole("list", { name: /of everything$/ }).getByRole("listitem");

test.beforeEach(async ({ api }) => {
  await api.setUp();
});

test("an installation beside doce is offered, shown, and brought over by keyboard alone", async ({ page, folder, doce }) => {
  await makeOldInstallation(join(folder, "old"));
  await page.goto("/settings/import");
  await expect(page.getByText(join(folder, "old"), { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "See what would come over" }).press("Enter");

  await expect(page.getByText(/Nothing has changed yet\./)).toBeVisible();
  await expect(lines(page).filter({ hasText: "user berta" })).toContainText("comes over");
  await expect(lines(page).filter({ hasText: "project Bakery" })).toContainText("comes over");
  await expect(lines(page).filter({ hasText: "key openrouter" })).toContainText("comes over");
  expect(await page.content()).not.toContain(PLANTED);
  const bring = page.getByRole("button", { name: "Bring it over" });
  await expect(bring).toBeFocused();
  await page.keyboard.press("Enter");

  const last = page.getByRole("region", { name: "The last import" });
  await expect(last.getByRole("status")).toContainText("came over");
  await expect(lines(page).filter({ hasText: "project Bakery" })).toContainText("came over");
  // It is there after a reload, too, and what is there already doesn't come again.
  await page.reload();
  await expect(last.getByRole("status")).toContainText("came over");
  await page.getByRole("button", { name: "See what would come over" }).click();
  await expect(page.getByText("There is nothing left to bring over.")).toBeVisible();
  await expect(bring).toHaveCount(0);

  const signIn = await fetch(`${doce.url}/api/sign-in`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(BERTA) });
  expect(signIn.status).toBe(200);
  await page.goto("/settings/audit");
  await expect(page.getByText(/You began to bring over what doce\.dev/)).toBeVisible();
  await expect(page.getByText(/You looked at what would come over from doce\.dev/).first()).toBeVisible();
});

test("what was somebody’s goes to the account that is chosen, and is on its pages", async ({ page, folder }) => {
  const directory = join(folder, "elsewhere", "old");
  await makeOldInstallation(directory);
  await page.goto("/settings/import");
  const field = page.getByLabel("Directory on the server");
  await field.fill(join(folder, "home"));
  await field.press("Enter");
  await expect(field).toHaveAttribute("aria-invalid", "true");
  await expect(page.getByRole("alert")).toContainText("doce.dev was not here");

  await field.fill(directory);
  await field.press("Enter");
  await page.getByLabel("What is berta’s goes to").selectOption("ana");
  await expect(lines(page).filter({ hasText: "user berta" })).toContainText("what is theirs goes to the account `ana`");
  await page.getByRole("button", { name: "Bring it over" }).click();
  await expect(page.getByRole("region", { name: "The last import" })).toBeVisible();
  await page.goto("/settings/providers");
  await expect(page.getByRole("listitem").filter({ has: page.getByRole("heading", { name: "OpenRouter" }) })).toContainText("imported");
  await page.goto("/");
  await expect(page.getByText("Bakery", { exact: true })).toBeVisible();
});

test("the keys of an OpenCode on the server become one’s own, and its file stays", async ({ page, folder }) => {
  const share = join(folder, "home", ".local", "share", "opencode");
  const file = join(share, "auth.json");
  const text = JSON.stringify({ groq: { type: "api", key: "gsk_planted0000000000000000" }, anthropic: { type: "oauth", refresh: "planted-a", access: "planted-b", expires: 1 } });
  await mkdir(share, { recursive: true });
  await writeFile(file, text, { mode: 0o600 });
  await page.goto("/settings/import");
  await expect(page.getByText(file)).toBeVisible();
  await page.getByRole("button", { name: "See what would come over" }).click();
  await expect(lines(page).filter({ hasText: "key groq" })).toContainText("comes over");
  await expect(lines(page).filter({ hasText: "key anthropic" })).toContainText("stays behind");
  expect(await page.content()).not.toContain("planted");
  await page.getByRole("button", { name: "Bring it over" }).click();
  await expect(page.getByRole("region", { name: "The last import" })).toContainText("came over");
  await page.goto("/settings/providers");
  await expect(page.getByRole("listitem").filter({ has: page.getByRole("heading", { name: "Groq" }) })).toContainText("imported");
  expect(await readFile(file, "utf8")).toBe(text);
});

test.describe("on a phone", () => {
  test.use(PHONE);

  test("nothing of an import is wider than the screen", async ({ page, folder }) => {
    await makeOldInstallation(join(folder, "an-old-installation-with-a-rather-long-name-that-does-not-break"));
    await page.goto("/settings/import");
    await expect(page.getByLabel("Directory on the server")).toBeVisible();
    await expectFits(page);
    await page.getByRole("button", { name: "See what would come over" }).tap();
    await expect(lines(page).first()).toBeVisible();
    await expectFits(page);
    await page.getByRole("button", { name: "Bring it over" }).tap();
    await expect(page.getByRole("region", { name: "The last import" })).toBeVisible();
    await expectFits(page);
  });
});
