// When a provider, the network or a package registry fails: a name, a reason, and one button that does something.
import { expect, test } from "../fixtures";
import type { Api } from "../support/doce";
import type { ScriptedModel } from "../support/model";
import { cutAfter, delay, randomWord, say, status } from "../support/say";
import { LAUNCH_MS, PREVIEW_MS, turnsAbout, Workspace } from "../support/workspace";

const KEY = "sk-ant-first-key";
const NEW_KEY = "sk-ant-second-key";
/** The agent itself tries five times, over up to 75 seconds, before it gives up on a failing provider. */
const GIVEN_UP_MS = 150_000;

// Some wait for more than a minute until the agent gives up, and do nothing meanwhile: so they don't wait one after another.
test.describe.configure({ mode: "parallel" });

async function launched(prompt: string, api: Api, model: ScriptedModel, workspace: Workspace): Promise<void> {
  await model.acceptOnly(KEY, NEW_KEY);
  await api.setUp();
  await api.connect("anthropic", model.anthropicBaseUrl, KEY);
  const project = await api.createProject(prompt, await api.model("anthropic"));
  await workspace.open(project.id);
}

test("a key that the provider takes back is named, replaced from there, and the next prompt works", async ({ page, api, model }) => {
  const workspace = new Workspace(page);
  const hello = randomWord();
  await launched(`Say it. ${say(`I say ${hello}.`)}`, api, model, workspace);
  await expect(workspace.answers.last()).toContainText(hello, { timeout: LAUNCH_MS });
  await workspace.idle();

  await model.acceptOnly(NEW_KEY);
  const lost = randomWord();
  await workspace.prompt(`Say more, ${lost}.`);
  const card = workspace.conversation.getByRole("alert");
  await expect(card).toContainText("Anthropic rejected the key (401)", { timeout: LAUNCH_MS });
  expect(turnsAbout(await model.turns(), lost)).toHaveLength(1);

  await card.getByRole("button", { name: /replace/i }).click();
  const dialog = page.getByRole("dialog", { name: /^Replace the key/ });
  await dialog.getByLabel("New API key").fill(NEW_KEY);
  await dialog.getByRole("button", { name: "Check and replace" }).click();
  await expect(dialog.getByRole("status")).toContainText("Works");
  await dialog.getByRole("button", { name: "Done" }).click();

  const word = randomWord();
  await expect(async () => {
    // The agent is given the new key as soon as it is idle; until then it is busy with that.
    await workspace.field.fill(`Again. ${say(`I say ${word}.`)}`);
    await workspace.send.click({ timeout: 2_000 });
    await expect(workspace.prompts.last()).toContainText(word, { timeout: 5_000 });
  }).toPass({ timeout: LAUNCH_MS });
  await expect(workspace.answers.last()).toContainText(word, { timeout: LAUNCH_MS });
  for (const turn of turnsAbout(await model.turns(), word)) expect(turn.key).toBe(NEW_KEY);
});

test("no credit is said at once and leads to another model", async ({ page, api, model }) => {
  const workspace = new Workspace(page);
  await launched(`Say something. ${status(402)}`, api, model, workspace);
  const card = workspace.conversation.getByRole("alert");
  await expect(card).toContainText("no credit left (402)", { timeout: LAUNCH_MS });
  await expect(card.getByRole("button", { name: "Top up" })).toBeVisible();
  await card.getByRole("button", { name: "Pick another model" }).click();
  await expect(page.getByRole("listbox", { name: "Models" })).toBeVisible();
});

test("a provider that limits requests is waited for, and the page says until when", async ({ page, api, model }) => {
  const workspace = new Workspace(page);
  const word = randomWord();
  await launched(`Say it. ${status(429, { retryAfter: 6, times: 1 })} ${say(`I say ${word}.`)}`, api, model, workspace);
  await expect(workspace.conversation.getByText(/Retrying at/)).toBeVisible({ timeout: LAUNCH_MS });
  await expect(workspace.answers.last()).toContainText(word, { timeout: LAUNCH_MS });
  await workspace.idle();
  await expect(workspace.conversation.getByRole("alert")).toHaveCount(0);
});

test("a launch whose key was withdrawn waits for another one and then goes on by itself", async ({ page, api, model }) => {
  const workspace = new Workspace(page);
  const word = randomWord();
  await api.setUp();
  await api.connect("anthropic", model.anthropicBaseUrl, KEY);
  await model.acceptOnly(NEW_KEY);
  await page.goto("/settings/providers");
  await page.getByRole("button", { name: "Verify" }).click();
  await expect(page.getByText("rejected", { exact: true })).toBeVisible();

  const project = await api.createProject(`Say it. ${say(`I say ${word}.`)}`, await api.model("anthropic"));
  await workspace.open(project.id);
  await expect(page.getByRole("heading", { name: /needs a key$/ })).toBeVisible({ timeout: LAUNCH_MS });
  await expect(workspace.conversation).toContainText("Waiting for a key");
  expect(await model.turns()).toHaveLength(0);

  await page.getByRole("button", { name: "Replace key" }).filter({ visible: true }).click();
  const dialog = page.getByRole("dialog", { name: /^Replace the key/ });
  await dialog.getByLabel("New API key").fill(NEW_KEY);
  await dialog.getByRole("button", { name: "Check and replace" }).click();
  await dialog.getByRole("button", { name: "Done" }).click();
  await expect(workspace.answers.last()).toContainText(word, { timeout: LAUNCH_MS });
  expect(turnsAbout(await model.turns(), word)).toHaveLength(1);
});

test("a provider that keeps failing is given up with a reason, and the answer is taken up again", async ({ page, api, model }) => {
  const workspace = new Workspace(page);
  const word = randomWord();
  await launched(`Try ${word}. ${status(500)}`, api, model, workspace);
  const card = workspace.conversation.getByRole("alert");
  await expect(card).toContainText("Anthropic failed (500)", { timeout: GIVEN_UP_MS });

  // `Continue` asks in words of its own, which the model answers with a greeting.
  await card.getByRole("button", { name: "Continue" }).click();
  await expect(workspace.answers.last()).toContainText("I am ready to build", { timeout: LAUNCH_MS });
  await expect(card).toHaveCount(0);
});

test("a stream that breaks off in every answer ends in a card, and what was said stays", async ({ page, api, model }) => {
  const workspace = new Workspace(page);
  const word = randomWord();
  // Words that come together with the reset of their connection are lost with it: these have time to arrive.
  await launched(`Tell me. ${delay(300)} ${say(`It begins ${word} and then it goes on for a while`)} ${cutAfter(6)}`, api, model, workspace);
  await expect(workspace.answers.first()).toContainText(word, { timeout: LAUNCH_MS });
  const end = workspace.conversation.getByRole("button", { name: "Continue" });
  await expect(end).toBeVisible({ timeout: GIVEN_UP_MS });
  await expect(workspace.answers.first()).toContainText(word);
  await end.click();
  await expect(workspace.answers.last()).toContainText("I am ready to build", { timeout: LAUNCH_MS });
});

test.describe("without a package registry", () => {
  // Nothing listens on this port.
  test.use({ settings: { DOCE_NPM_REGISTRY: "http://127.0.0.1:9" } });

  test("the agent works, and the preview says why it doesn't", async ({ page, api, model }) => {
    const workspace = new Workspace(page);
    const word = randomWord();
    await launched(`Say it. ${say(`I say ${word}.`)}`, api, model, workspace);
    await expect(workspace.answers.last()).toContainText(word, { timeout: LAUNCH_MS });
    await expect(page.getByRole("heading", { name: "The app’s packages couldn’t be installed" })).toBeVisible({ timeout: PREVIEW_MS });
    await expect(page.getByRole("button", { name: "Try again" })).toBeVisible();
    await page.getByRole("button", { name: "Open the log" }).click();
    await expect(page.getByRole("region", { name: /^Log of the/ })).toContainText(/ECONNREFUSED|127\.0\.0\.1:9/);

    // The conversation isn't held up by it.
    const second = randomWord();
    await workspace.prompt(`And now? ${say(`Now ${second}.`)}`);
    await expect(workspace.answers.last()).toContainText(second, { timeout: LAUNCH_MS });
  });
});
