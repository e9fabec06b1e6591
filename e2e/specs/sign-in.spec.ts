// The first account, signing in and out, and what a browser may load.
import { expect, test } from "../fixtures";
import { ANA } from "../support/doce";

test("the first account is made on an empty server and lands on the dashboard", async ({ page }) => {
  await page.goto("/");
  await expect(page.getByRole("heading", { name: "Welcome to doce" })).toBeVisible();
  await page.getByLabel("Username").fill(ANA.username);
  await page.getByLabel("Password").fill(ANA.password);
  await page.getByRole("button", { name: "Make the account" }).click();

  await expect(page.getByRole("heading", { name: "What are you building?" })).toBeVisible();
  // The page for the first account is closed for good.
  await page.goto("/setup");
  await expect(page.getByRole("heading", { name: "What are you building?" })).toBeVisible();
});

test("a short password is refused where it was typed", async ({ page }) => {
  await page.goto("/setup");
  await page.getByLabel("Username").fill(ANA.username);
  const password = page.getByLabel("Password");
  await password.fill("short");
  await page.getByRole("button", { name: "Make the account" }).click();

  await expect(password).toHaveAttribute("aria-invalid", "true");
  await expect(page.getByRole("alert")).toContainText("at least 8 characters");
  await expect(page).toHaveURL(/\/setup$/);
});

test("a page asked for before signing in is there afterwards", async ({ page, api }) => {
  await api.setUp();
  await page.context().clearCookies();
  await page.goto("/settings/providers");
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await page.getByLabel("Username").fill(ANA.username);
  await page.getByLabel("Password").fill(ANA.password);
  await page.getByRole("button", { name: "Sign in" }).click();

  await expect(page).toHaveURL(/\/settings\/providers$/);
  await expect(page.getByRole("heading", { name: "Providers" })).toBeVisible();
});

test("signing out ends it for every tab of this browser", async ({ page, api }) => {
  await api.setUp();
  await page.goto("/");
  await page.getByRole("button", { name: `${ANA.username}: menu` }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();

  const other = await page.context().newPage();
  await other.goto("/");
  await expect(other.getByRole("heading", { name: "Sign in" })).toBeVisible();
});

test("a wrong password says so, and too many are slowed down", async ({ page, api }) => {
  await api.setUp();
  await page.context().clearCookies();
  await page.goto("/sign-in");
  await page.getByLabel("Username").fill(ANA.username);
  const password = page.getByLabel("Password");
  const submit = page.getByRole("button", { name: "Sign in" });
  const notice = page.getByRole("alert");

  await password.fill("not my password");
  await submit.click();
  await expect(notice).toBeVisible();
  await expect(notice).not.toContainText("Try again in");

  await expect(async () => {
    await submit.click({ timeout: 5_000 });
    await expect(notice).toContainText("Try again in", { timeout: 1_000 });
  }).toPass({ timeout: 90_000 });

  // The right one doesn't get past the throttle either.
  await password.fill(ANA.password);
  await submit.click();
  await expect(notice).toContainText("Try again in");
});

test("the pages load nothing from anywhere else and break no rule of their own policy", async ({ page, doce }) => {
  const elsewhere: string[] = [];
  const complaints: string[] = [];
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== doce.url && !request.url().startsWith("data:")) elsewhere.push(request.url());
  });
  page.on("console", (message) => {
    if (/content security policy/i.test(message.text())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));

  const answer = await page.goto("/setup");
  const policy = answer?.headers()["content-security-policy"] ?? "";
  expect(policy).toContain("default-src");
  expect(policy).not.toContain("unsafe-eval");
  expect(policy).not.toMatch(/script-src[^;]*unsafe-inline/);

  await page.getByLabel("Username").fill(ANA.username);
  await page.getByLabel("Password").fill(ANA.password);
  await page.getByRole("button", { name: "Make the account" }).click();
  await expect(page.getByRole("heading", { name: "What are you building?" })).toBeVisible();
  await page.goto("/settings/providers");
  await expect(page.getByRole("heading", { name: "Providers" })).toBeVisible();

  expect(elsewhere).toEqual([]);
  expect(complaints).toEqual([]);
});
