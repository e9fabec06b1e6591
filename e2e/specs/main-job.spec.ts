// What doce is for: from an empty server to a running app, with a real agent.
//
// A word that no other run has used travels from the prompt through the model's tool call into a file, and from there onto the screen of the preview.
import { expect, test } from "../fixtures";
import { connect } from "../support/connect";
import { ANA } from "../support/doce";
import { randomWord, say, write } from "../support/say";
import { LAUNCH_MS, PREVIEW_MS, turnsAbout, Workspace } from "../support/workspace";

const appThatSays = (words: string) => `export default function App() {\n  return <h1>${words}</h1>;\n}\n`;

test.describe("on a new machine", () => {
  test.use({ firstStart: true });

  test("a new user connects a provider, describes an app and watches it run", async ({ page, doce, api, model }) => {
    const word = randomWord();
    const closing = randomWord();
    const key = `sk-ant-${randomWord()}`;
    await model.acceptOnly(key);
    const prompt = `A page that greets ${word}. ${write("src/App.tsx", appThatSays(word))} ${say(`The page greets, ${closing}.`)}`;

    await page.goto("/");
    await page.getByLabel("Username").fill(ANA.username);
    await page.getByLabel("Password").fill(ANA.password);
    await page.getByRole("button", { name: "Make the account" }).click();

    // What was typed stays while a provider is connected.
    const description = page.getByRole("textbox", { name: "What are you building?" });
    await description.fill(prompt);
    await page.getByRole("button", { name: "Connect a provider first" }).click();
    await connect(page, { provider: "Anthropic", key, baseUrl: model.anthropicBaseUrl });
    await expect(description).toHaveValue(prompt);
    await expect(page.getByRole("button", { name: /^Model: / })).toContainText(/claude/i);
    await page.getByRole("button", { name: "Create" }).click();

    // The page is there at once, with the prompt and the steps in it.
    await expect(page).toHaveURL(/\/projects\/prj_/);
    const workspace = new Workspace(page);
    await expect(workspace.prompts).toHaveCount(1);
    await expect(workspace.prompts).toContainText(word);
    await expect(page.getByRole("list", { name: "Steps" }).getByRole("listitem")).not.toHaveCount(0);

    await expect(workspace.answers.last()).toContainText(closing, { timeout: LAUNCH_MS });
    await expect(workspace.tool("src/App.tsx")).toBeVisible();
    await workspace.idle();
    await expect(workspace.app.getByRole("heading", { name: word })).toBeVisible({ timeout: PREVIEW_MS });

    // The app is another origin's, so it can't read what is doce's.
    const source = await workspace.frame.getAttribute("src");
    expect(new URL(source ?? "", doce.url).origin).not.toBe(doce.url);

    const id = new URL(page.url()).pathname.split("/").at(-1) ?? "";
    expect(await api.file(id, "src/App.tsx")).toContain(word);

    const turns = turnsAbout(await model.turns(), word);
    expect(turns.map((turn) => turn.tool_results)).toEqual([0, 1]);
    for (const turn of turns) {
      expect(turn.protocol).toBe("anthropic");
      expect(turn.key_header).toBe("x-api-key");
      expect(turn.key).toBe(key);
    }

    // The card on the dashboard leads back to it.
    await page.getByRole("link", { name: "Projects" }).click();
    await expect(page.getByRole("listitem").filter({ hasText: "Running" })).toHaveCount(1);
  });
});

test("the same over an OpenAI-compatible protocol, and a change shows without a reload", async ({ page, api, model }) => {
  const first = randomWord();
  const second = randomWord();
  const key = `sk-${randomWord()}`;
  await model.acceptOnly(key);
  await api.setUp();
  await page.goto("/settings/providers");
  await page.getByRole("button", { name: "Connect a provider" }).click();
  await connect(page, { provider: "DeepSeek", key, baseUrl: model.openaiBaseUrl });

  await page.goto("/");
  await page.getByRole("textbox", { name: "What are you building?" }).fill(`Greet ${first}. ${write("src/App.tsx", appThatSays(first))}`);
  await page.getByRole("button", { name: "Create" }).click();
  const workspace = new Workspace(page);
  await expect(workspace.app.getByRole("heading", { name: first })).toBeVisible({ timeout: PREVIEW_MS });
  await workspace.idle();

  // A page that was loaded again has forgotten this mark.
  const document = workspace.app.locator("html");
  await document.evaluate((html) => html.setAttribute("data-mark", "same page"));
  await workspace.prompt(`Now greet ${second}. ${write("src/App.tsx", appThatSays(second))}`);
  await expect(workspace.app.getByRole("heading", { name: second })).toBeVisible({ timeout: LAUNCH_MS });
  await expect(document).toHaveAttribute("data-mark", "same page");
  // The page changes when the file does, which is before the answer's last turn.
  await workspace.idle();

  for (const word of [first, second]) {
    const turns = turnsAbout(await model.turns(), word);
    expect(turns.map((turn) => turn.tool_results)).toEqual([0, 1]);
    for (const turn of turns) {
      expect(turn.protocol).toBe("chat");
      expect(turn.key_header).toBe("authorization");
      expect(turn.key).toBe(key);
    }
  }
});
