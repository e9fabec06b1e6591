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
