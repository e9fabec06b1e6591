// Prompts and answers: nothing is lost and nothing is doubled, whatever the browser or the server does meanwhile.
import type { Page } from "@playwright/test";
import { expect, test } from "../fixtures";
import type { Api } from "../support/doce";
import type { ScriptedModel } from "../support/model";
import { bash, delay, randomWord, say } from "../support/say";
import { countedWords, LAUNCH_MS, turnsAbout, wordsIn, Workspace } from "../support/workspace";

const KEY = "sk-ant-conversation";

/** A project whose first prompt is this, made behind the page's back. */
async function projectWith(prompt: string, api: Api, model: ScriptedModel): Promise<string> {
  await api.setUp();
  await api.connect("anthropic", model.anthropicBaseUrl, KEY);
  const project = await api.createProject(prompt, await api.model("anthropic"));
  return project.id;
}

/** Words that come one by one, slowly enough to do something in between. */
const slowly = (words: string[]) => `${delay(150)} ${say(words.join(" "))}`;

const shownWords = async (workspace: Workspace, stem: string) => wordsIn((await workspace.answers.allTextContents()).join("\n"), stem);

async function expectWholeAnswer(workspace: Workspace, stem: string, words: string[]): Promise<void> {
  await expect.poll(() => shownWords(workspace, stem), { timeout: LAUNCH_MS }).toEqual(words);
}

test("a second prompt goes on in the same conversation, with its tool calls", async ({ page, api, model }) => {
  const [first, second, third] = [randomWord(), randomWord(), randomWord()];
  const id = await projectWith(`Say it. ${say(`I say ${first}.`)}`, api, model);
  const workspace = new Workspace(page);
  await workspace.open(id);
  await expect(workspace.answers.last()).toContainText(first, { timeout: LAUNCH_MS });
  await workspace.idle();

  await workspace.prompt(`Run something, ${second}. ${say("First I look.")} ${bash(`echo ${second}`)} ${say(`Then I say ${third}.`)}`);
  await expect(workspace.prompts).toHaveCount(2);
  await expect(workspace.answers.last()).toContainText(third, { timeout: LAUNCH_MS });
  await workspace.idle();

  const command = workspace.tool(`echo ${second}`);
  await command.click();
  await expect(command).toHaveAttribute("aria-expanded", "true");
  await expect(workspace.conversation.getByText("Output")).toBeVisible();
  await command.click();
  await expect(command).toHaveAttribute("aria-expanded", "false");
  expect(turnsAbout(await model.turns(), second).map((turn) => turn.tool_results)).toEqual([0, 1]);

  // What is read again is what was streamed.
  const streamed = await workspace.answers.allTextContents();
  await page.reload();
  await expect(workspace.prompts).toHaveCount(2);
  await expect.poll(() => workspace.answers.allTextContents()).toEqual(streamed);
});

test("a running answer is stopped, what was said stays, and the next prompt is answered", async ({ page, api, model }) => {
  const stem = randomWord();
  const words = countedWords(stem, 300);
  const id = await projectWith(`Go on for long. ${slowly(words)}`, api, model);
  const workspace = new Workspace(page);
  await workspace.open(id);
  await expect(workspace.answers.last()).toContainText(`${stem}3`, { timeout: LAUNCH_MS });
  await workspace.stopAnswer.click();
  await expect(workspace.conversation.getByText("Stopped by you.")).toBeVisible();

  const said = await shownWords(workspace, stem);
  expect(said.length).toBeGreaterThanOrEqual(3);
  expect(said).toEqual(words.slice(0, said.length));
  await expect.poll(async () => turnsAbout(await model.turns(), stem).map((turn) => turn.outcome)).toEqual(["closed_by_client"]);

  const after = randomWord();
  await workspace.prompt(`And now? ${say(`Now ${after}.`)}`);
  await expect(workspace.answers.last()).toContainText(after, { timeout: LAUNCH_MS });
  // What was stopped wasn't asked again.
  expect(turnsAbout(await model.turns(), stem)).toHaveLength(1);
});

test("an answer is whole after a reload in the middle of it", async ({ page, api, model }) => {
  const stem = randomWord();
  const words = countedWords(stem, 60);
  const id = await projectWith(`Count. ${slowly(words)}`, api, model);
  const workspace = new Workspace(page);
  await workspace.open(id);
  for (const mark of [5, 20]) {
    await expect(workspace.answers.last()).toContainText(`${stem}${mark}`, { timeout: LAUNCH_MS });
    await page.reload();
  }
  await expectWholeAnswer(workspace, stem, words);
  await expect(workspace.prompts).toHaveCount(1);
});

test("ten tabs show the same, over one stream", async ({ page, context, api, model }) => {
  const streams = new Set<unknown>();
  context.on("request", (request) => {
    if (new URL(request.url()).pathname === "/api/stream") streams.add(request);
  });
  context.on("requestfinished", (request) => streams.delete(request));
  context.on("requestfailed", (request) => streams.delete(request));

  const stem = randomWord();
  const words = countedWords(stem, 120);
  const id = await projectWith(`Count. ${slowly(words)}`, api, model);
  const tabs: Page[] = [page];
  while (tabs.length < 10) tabs.push(await context.newPage());
  const workspaces = tabs.map((tab) => new Workspace(tab));
  for (const workspace of workspaces) await workspace.open(id);

  await expect.poll(() => streams.size).toBe(1);
  for (const workspace of workspaces) await expectWholeAnswer(workspace, stem, words);

  // Closing the tab that held the stream leaves the others alive.
  await page.close();
  const [heir, ...others] = workspaces.slice(1);
  if (heir === undefined) throw new Error("there are nine tabs left");
  const after = randomWord();
  await expect(heir.send).toBeVisible();
  await heir.prompt(`And now? ${say(`Now ${after}.`)}`);
  for (const workspace of [heir, ...others]) {
    await expect(workspace.answers.last()).toContainText(after, { timeout: LAUNCH_MS });
    await expect(workspace.prompts).toHaveCount(2);
  }
});

test("a stopped project is read without its agent, and a prompt starts it again", async ({ page, api, doce, model }) => {
  const [first, second] = [randomWord(), randomWord()];
  const id = await projectWith(`Say it. ${say(`I say ${first}.`)}`, api, model);
  const workspace = new Workspace(page);
  await workspace.open(id);
  await expect(workspace.answers.last()).toContainText(first, { timeout: LAUNCH_MS });
  await workspace.idle();
  await page.getByRole("banner").getByRole("button", { name: "Stop", exact: true }).click();
  await expect(workspace.state).toHaveText("Stopped", { timeout: LAUNCH_MS });

  // The next day.
  await doce.stop();
  await doce.start();
  await page.goto("/");
  await page.getByRole("listitem").filter({ hasText: "Stopped" }).getByRole("link").click();
  await expect(workspace.prompts).toHaveCount(1);
  await expect(workspace.answers.last()).toContainText(first);
  await expect(page.getByRole("heading", { name: "The project is stopped" })).toBeVisible();
  expect((await api.project(id)).state).toBe("stopped");

  await workspace.prompt(`And now? ${say(`Now ${second}.`)}`);
  await expect(workspace.answers.last()).toContainText(second, { timeout: LAUNCH_MS });
  await workspace.idle();
  await expect(workspace.prompts).toHaveCount(2);
  expect(turnsAbout(await model.turns(), first)).toHaveLength(1);
});

test("an answer goes on while doce is killed and started again", async ({ page, api, doce, model }) => {
  const stem = randomWord();
  const words = countedWords(stem, 80);
  const id = await projectWith(`Count. ${slowly(words)}`, api, model);
  const workspace = new Workspace(page);
  await workspace.open(id);
  await expect(workspace.answers.last()).toContainText(`${stem}5`, { timeout: LAUNCH_MS });
  await doce.kill();
  await doce.start();

  // The page comes back by itself.
  await expectWholeAnswer(workspace, stem, words);
  await workspace.idle();
  await expect(workspace.prompts).toHaveCount(1);
  expect(turnsAbout(await model.turns(), stem)).toHaveLength(1);
  await page.reload();
  await expectWholeAnswer(workspace, stem, words);
});
