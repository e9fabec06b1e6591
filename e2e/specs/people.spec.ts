// The people page: somebody is added, signs in, is disabled and comes back.
import { expect, test } from "../fixtures";
import { expectFits, PHONE } from "../support/phone";

const PASSWORD = "a first password";

test("somebody is added, signed out when disabled, and lets in again", async ({ page, browser, api, doce }) => {
  await api.setUp();
  await page.goto("/settings/people");
  await expect(page.getByText("You are the only one so far.")).toBeVisible();
  await page.getByRole("button", { name: "Add somebody" }).press("Enter");
  await page.getByLabel("Username").fill("bob");
  await page.getByLabel("First password").fill(PASSWORD);
  await page.getByLabel("First password").press("Enter");
  const bob = page.getByRole("list", { name: "Accounts" }).getByRole("listitem").filter({ hasText: "bob" });
  await expect(bob).toBeVisible();

  const other = await browser.newContext({ baseURL: doce.url });
  const theirs = await other.newPage();
  const signIn = async (password: string) => {
    await theirs.goto("/sign-in");
    await theirs.getByLabel("Username").fill("bob");
    await theirs.getByLabel("Password").fill(password);
    await theirs.getByLabel("Password").press("Enter");
  };
  await signIn(PASSWORD);
  await expect(theirs.getByRole("heading", { name: "What are you building?" })).toBeVisible();
  await theirs.goto("/settings/account");
  // What is an admin's isn't offered to others.
  await expect(theirs.getByRole("link", { name: "People" })).toHaveCount(0);

  await bob.getByRole("button", { name: "Disable" }).click();
  await page.getByRole("dialog", { name: "Disable bob" }).getByRole("button", { name: "Disable" }).press("Enter");
  await expect(bob).toContainText("disabled");
  await theirs.reload();
  await expect(theirs).toHaveURL(/\/sign-in/);
  await signIn(PASSWORD);
  await expect(theirs.getByRole("alert")).toBeVisible();

  await bob.getByRole("button", { name: "Enable" }).click();
  await expect(bob).not.toContainText("disabled");
  await bob.getByRole("button", { name: "New password" }).click();
  const dialog = page.getByRole("dialog", { name: "New password for bob" });
  await dialog.getByLabel("New password").fill("another good password");
  await dialog.getByLabel("New password").press("Enter");
  await expect(dialog).toHaveCount(0);
  await signIn("another good password");
  await expect(theirs.getByRole("heading", { name: "What are you building?" })).toBeVisible();
  await bob.getByRole("combobox", { name: "Role of bob" }).selectOption({ label: "Admin" });
  await expect(page.getByRole("combobox", { name: "Role of bob" })).toHaveValue("admin");
  await theirs.goto("/settings/people");
  await expect(theirs.getByRole("list", { name: "Accounts" }).getByRole("listitem")).toHaveCount(2);
  await page.setViewportSize(PHONE.viewport);
  await expectFits(page);
  await other.close();
});

test("a link makes one account, and one that was taken back makes none", async ({ page, browser, api, doce }) => {
  await api.setUp();
  await page.goto("/settings/people");
  const invite = async () => {
    await page.getByRole("button", { name: "Invite by link" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Make the link" }).press("Enter");
    const link = await page.getByLabel("the link", { exact: true }).innerText();
    await page.getByRole("button", { name: "I have it" }).press("Enter");
    return link;
  };
  const link = await invite();
  const invites = page.getByRole("list", { name: "Invites" }).getByRole("listitem");
  await expect(invites).toHaveCount(1);
  await page.setViewportSize(PHONE.viewport);
  await expectFits(page);

  const other = await browser.newContext({ baseURL: doce.url });
  const theirs = await other.newPage();
  await theirs.goto(link);
  await expect(theirs.getByRole("heading", { name: "invites you to doce" })).toBeVisible();
  await theirs.getByLabel("Username").fill("eve");
  await theirs.getByLabel("Password").fill(PASSWORD);
  await theirs.getByLabel("Password").press("Enter");
  await expect(theirs.getByRole("heading", { name: "What are you building?" })).toBeVisible();
  expect(theirs.url()).not.toContain("#");
  await page.reload();
  await expect(page.getByRole("list", { name: "Accounts" })).toContainText("eve");
  await expect(invites).toHaveCount(0);

  const second = await invite();
  await page.getByRole("button", { name: "Take back" }).click();
  await expect(invites).toHaveCount(0);
  for (const dead of [link, second]) {
    // Another hash alone would not load the page anew.
    await theirs.goto("about:blank");
    await theirs.goto(dead);
    await expect(theirs.getByRole("heading", { name: "This link doesn’t work" })).toBeVisible();
  }
  await other.close();
});
