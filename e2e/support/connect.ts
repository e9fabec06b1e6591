// Connecting a provider through the dialog, as a person does.
import { expect, type Locator, type Page } from "@playwright/test";

export type Credentials = { provider: string; key: string; baseUrl: string };

/** On a new machine the catalogue is read first, by an OpenCode that starts for it. */
const CATALOGUE_MS = 120_000;

/** Finds the provider in the open dialog and fills its form in. Returns the form's dialog. */
export async function fillKeyForm(page: Page, { provider, key, baseUrl }: Credentials): Promise<Locator> {
  const search = page.getByRole("combobox", { name: "Providers" });
  await expect(search).toBeVisible({ timeout: CATALOGUE_MS });
  await search.fill(provider);
  await page.getByRole("option", { name: new RegExp(`^${provider}\\b`) }).first().click();
  const dialog = page.getByRole("dialog", { name: provider });
  await dialog.getByLabel("API key").fill(key);
  await dialog.getByRole("button", { name: "Advanced: base URL" }).click();
  await dialog.getByLabel("Base URL").fill(baseUrl);
  return dialog;
}

/** Connects a provider whose key is good, from the open list to the closed dialog. */
export async function connect(page: Page, credentials: Credentials): Promise<void> {
  const dialog = await fillKeyForm(page, credentials);
  await dialog.getByRole("button", { name: "Check and connect" }).click();
  await expect(dialog.getByRole("status")).toContainText("Works");
  await dialog.getByRole("button", { name: "Done" }).click();
  await expect(dialog).toBeHidden();
}
