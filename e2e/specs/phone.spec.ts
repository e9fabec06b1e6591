// The main job on a phone: one pane at a time, and nothing wider than the screen.
import { expect, test } from "../fixtures";
import { connect } from "../support/connect";
import { ANA } from "../support/doce";
import { expectFits, PHONE } from "../support/phone";
import { randomWord, say, write } from "../support/say";
import { LAUNCH_MS, PREVIEW_MS, Workspace } from "../support/workspace";

test.use(PHONE);

test("the whole way, from the first account to the running app", async ({ page, model }) => {
  const word = randomWord();
  const key = `sk-ant-${randomWord()}`;
  await model.acceptOnly(key);
  await page.goto("/");
  await expectFits(page);
  // The page follows the phone from day into night and back.
  for (const colorScheme of ["dark", "light"] as const) {
    await page.emulateMedia({ colorScheme });
    await expect(page.locator("html.dark")).toHaveCount(colorScheme === "dark" ? 1 : 0);
  }
  await page.getByLabel("Username").fill(ANA.username);
  await page.getByLabel("Password").fill(ANA.password);
  await page.getByRole("button", { name: "Make the account" }).click();
  await expect(page.getByRole("heading", { name: "What are you building?" })).toBeVisible();
  await expectFits(page);

  await page.getByRole("button", { name: "Connect a provider first" }).click();
  await expect(page.getByRole("dialog", { name: "Connect a provider" })).toBeVisible();
  await expectFits(page);
  await connect(page, { provider: "Anthropic", key, baseUrl: model.anthropicBaseUrl });

  const app = `export default function App() {\n  return <h1>${word}</h1>;\n}\n`;
  await page.getByRole("textbox", { name: "What are you building?" }).fill(`Greet ${word}. ${write("src/App.tsx", app)} ${say("Done.")}`);
  await page.getByRole("button", { name: "Create" }).click();

  const workspace = new Workspace(page);
  await expect(workspace.prompts).toContainText(word);
  await expectFits(page);
  await expect(workspace.answers.last()).toContainText("Done.", { timeout: LAUNCH_MS });
  await expectFits(page);

  const panes = page.getByRole("navigation", { name: "Panes" });
  await panes.getByRole("button", { name: "Preview" }).click();
  await expect(workspace.field).toBeHidden();
  await expect(workspace.app.getByRole("heading", { name: word })).toBeVisible({ timeout: PREVIEW_MS });
  await expectFits(page);

  await panes.getByRole("button", { name: "Files" }).click();
  await page.getByRole("navigation", { name: "Files" }).getByRole("button", { name: "src" }).click();
  await page.getByRole("navigation", { name: "Files" }).getByRole("button", { name: "App.tsx" }).click();
  await expect(page.getByRole("region", { name: "src/App.tsx" })).toContainText(word);
  await expectFits(page);
  await page.getByRole("button", { name: "Back to the files" }).click();
  await expect(page.getByRole("navigation", { name: "Files" })).toBeVisible();

  await panes.getByRole("button", { name: "More" }).click();
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await expect(workspace.state).toHaveText("Stopped", { timeout: LAUNCH_MS });
  await expectFits(page);

  await panes.getByRole("button", { name: "Conversation" }).click();
  await expect(workspace.prompts).toContainText(word);
  await page.goto("/settings/providers");
  await expect(page.getByRole("heading", { name: "Anthropic" })).toBeVisible();
  await expectFits(page);
});
