// One's own account: its password, where it is signed in, how the pages look.
import { expect, test } from "../fixtures";
import { ANA } from "../support/doce";
import { expectFits, PHONE } from "../support/phone";

const NEXT = "another good password";

test.beforeEach(async ({ api }) => {
  await api.setUp();
});

test("a new password ends every other sign-in, and the old one is good no more", async ({ page, browser, doce }) => {
  const other = await browser.newContext({ baseURL: doce.url });
  const theirs = await other.newPage();
  await theirs.goto("/sign-in");
  await theirs.getByLabel("Username").fill(ANA.username);
  await theirs.getByLabel("Password").fill(ANA.password);
  await theirs.getByLabel("Password").press("Enter");
  await expect(theirs.getByRole("heading", { name: "What are you building?" })).toBeVisible();

  await page.goto("/settings/account");
  const browsers = page.getByRole("listitem").filter({ hasText: "last seen" });
  await expect(browsers).toHaveCount(2);
  await expect(browsers.filter({ hasText: "this browser" })).toHaveCount(1);
  await page.getByLabel("Current password").fill("not the password");
  await page.getByLabel("New password").fill(NEXT);
  await page.getByLabel("New password").press("Enter");
  await expect(page.getByRole("alert")).toContainText("That is not your password.");
  await page.getByLabel("Current password").fill(ANA.password);
  await page.getByLabel("Current password").press("Enter");
  await expect(page.getByText("Password changed. Every other sign-in has ended.")).toBeVisible();
  await expect(browsers).toHaveCount(1);

  await theirs.reload();
  await expect(theirs).toHaveURL(/\/sign-in/);
  await theirs.getByLabel("Username").fill(ANA.username);
  await theirs.getByLabel("Password").fill(ANA.password);
  await theirs.getByLabel("Password").press("Enter");
  await expect(theirs.getByRole("alert")).toBeVisible();
  await theirs.getByLabel("Password").fill(NEXT);
  await theirs.getByLabel("Password").press("Enter");
  await expect(theirs).not.toHaveURL(/\/sign-in/);

  // The other browser is signed out from here.
  await page.reload();
  await browsers.getByRole("button", { name: "End" }).press("Enter");
  await expect(browsers).toHaveCount(1);
  await theirs.reload();
  await expect(theirs).toHaveURL(/\/sign-in/);
  await other.close();
});

test("the theme is chosen with the arrow keys and is the same after a reload", async ({ page }) => {
  await page.goto("/settings/account");
  // Inherited by all that is written.
  const ink = () => page.evaluate(() => getComputedStyle(document.body).color);
  const theme = page.getByRole("radiogroup", { name: "Theme" });
  await theme.getByRole("radio", { name: "System" }).focus();
  await page.keyboard.press("ArrowRight");
  await expect(theme.getByRole("radio", { name: "Light" })).toBeChecked();
  const light = await ink();
  await page.keyboard.press("ArrowRight");
  await expect(theme.getByRole("radio", { name: "Dark" })).toBeChecked();
  await expect.poll(ink).not.toBe(light);
  const dark = await ink();
  await page.reload();
  await expect(theme.getByRole("radio", { name: "Dark" })).toBeChecked();
  expect(await ink()).toBe(dark);
});

test("all settings are reached with the keyboard", async ({ page }) => {
  await page.goto("/settings/account");
  const places = page.getByRole("navigation", { name: "Settings" });
  for (const [link, title] of [
    ["Providers", "Providers"],
    ["Models", "Models"],
    ["Jobs", "Jobs"],
    ["Audit", "Audit"],
    ["Keys and backup", "Keys and backup"],
    ["Import", "Import"],
    ["People", "People"],
    ["System", "System"],
    ["Account", "Account"],
  ] as const) {
    await places.getByRole("link", { name: link }).press("Enter");
    await expect(page.getByRole("heading", { level: 1, name: title })).toBeVisible();
    await expect(page).toHaveTitle(`${title} · doce`);
  }
});

test.describe("on a phone", () => {
  test.use(PHONE);

  test("nothing of the account is wider than the screen", async ({ page }) => {
    await page.goto("/settings/account");
    await expect(page.getByRole("listitem").filter({ hasText: "this browser" })).toBeVisible();
    await expectFits(page);
  });
});

test("a token is shown once, works as far as its scope goes, and is revoked", async ({ page, doce, playwright }) => {
  await page.goto("/settings/account");
  await page.getByRole("button", { name: "Make a token" }).press("Enter");
  await page.getByLabel("Name").fill("my laptop");
  await page.getByLabel("It may").selectOption("read");
  await page.getByLabel("Name").press("Enter");
  const secret = await page.getByLabel("the token", { exact: true }).innerText();
  await page.getByRole("button", { name: "I have it" }).press("Enter");
  const token = page.getByRole("list", { name: "API tokens" }).getByRole("listitem").filter({ hasText: "my laptop" });
  await expect(token).toContainText("never used");
  await expect(page.locator("body")).not.toContainText(secret);

  const script = await playwright.request.newContext({ baseURL: doce.url, extraHTTPHeaders: { authorization: `Bearer ${secret}` } });
  expect((await script.get("/api/projects")).status()).toBe(200);
  expect((await script.post("/api/tokens", { data: { name: "more", scope: "full" } })).status()).toBe(403);
  await page.reload();
  await expect(token).toContainText("used just now");
  await page.setViewportSize(PHONE.viewport);
  await expectFits(page);

  await token.getByRole("button", { name: "Revoke my laptop" }).click();
  const revoking = page.getByRole("dialog", { name: "Revoke my laptop" });
  await revoking.getByRole("button", { name: "Revoke" }).press("Enter");
  // What lies under a dialog is in no list as long as it is open.
  await expect(revoking).toHaveCount(0);
  await expect(token).toHaveCount(0);
  expect((await script.get("/api/projects")).status()).toBe(401);
  await script.dispose();
});
