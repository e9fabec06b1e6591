// Keys that change while an agent answers with them: what waits, what is cut, and what is said before.
import { expect, test } from "../fixtures";
import { expectDialogFits, PHONE } from "../support/phone";
import { delay, randomWord, say } from "../support/say";
import { countedWords, LAUNCH_MS, turnsAbout, Workspace } from "../support/workspace";

const FIRST = "sk-ant-busy-first-0123-aaaa";
const SECOND = "sk-ant-busy-second-0123-bbbb";
const THIRD = "sk-ant-busy-third-0123-cccc";

/** An answer that takes minutes, so that it is under way for as long as a test looks. */
const slowly = (stem: string) => `Tell me about ${stem}. ${delay(1_000)} ${say(countedWords(stem, 300).join(" "))}`;

test("a newer key is applied at once at the cost of an answer, and disconnecting names who is answering", async ({ page, api, model }) => {
  const [one, two, three] = [randomWord(), randomWord(), randomWord()];
  await api.setUp();
  await model.acceptOnly(FIRST, SECOND, THIRD);
  await api.connect("anthropic", model.anthropicBaseUrl, FIRST);
  const project = await api.createProject(slowly(one), await api.model("anthropic"));
  const workspace = new Workspace(page);
  await workspace.open(project.id);
  await expect(workspace.answers.last()).toContainText(`${one}2`, { timeout: LAUNCH_MS });

  await page.goto("/settings/providers");
  const anthropic = page.getByRole("listitem").filter({ has: page.getByRole("heading", { name: "Anthropic" }) });
  await anthropic.getByRole("button", { name: "Replace key" }).click();
  const replace = page.getByRole("dialog", { name: /^Replace the key/ });
  await replace.getByLabel("New API key").fill(SECOND);
  await replace.getByRole("button", { name: "Check and replace" }).click();
  await expect(replace.getByRole("status")).toContainText("Works");
  await replace.getByRole("button", { name: "Done" }).click();
  const apply = anthropic.getByRole("button", { name: `Apply now in ${project.name}` });
  await expect(apply).toBeVisible();
  expect((await api.project(project.id)).session.kind).toBe("busy");
  await page.setViewportSize(PHONE.viewport);
  await apply.press("Enter");
  const question = page.getByRole("dialog", { name: "Apply the key now?" });
  await expect(question).toContainText(project.name);
  await expect(question.getByRole("button", { name: "Let it finish" })).toBeFocused();
  await expectDialogFits(page);
  await question.getByRole("button", { name: "Stop the answer and apply" }).press("Enter");
  await expect(question).toBeHidden();
  await expect(apply).toBeHidden({ timeout: LAUNCH_MS });
  await expect(anthropic.getByText("delivered")).toBeVisible({ timeout: LAUNCH_MS });
  await page.setViewportSize({ width: 1280, height: 800 });

  await workspace.open(project.id);
  await workspace.idle();
  await workspace.prompt(slowly(two));
  await expect(workspace.answers.last()).toContainText(`${two}2`, { timeout: LAUNCH_MS });
  expect(new Set(turnsAbout(await model.turns(), two).map((turn) => turn.key))).toEqual(new Set([SECOND]));

  await page.goto("/settings/providers");
  const disconnect = page.getByRole("dialog", { name: "Disconnect Anthropic?" });
  await anthropic.getByRole("button", { name: "Disconnect" }).press("Enter");
  await expect(disconnect.getByRole("listitem").filter({ hasText: project.name })).toContainText("is answering: cut off after a minute at most");
  await expect(disconnect).toContainText("needs another key");
  await page.setViewportSize(PHONE.viewport);
  await expectDialogFits(page);
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.keyboard.press("Escape");

  // With another connection nothing is cut: it pays from the next prompt on.
  await api.connect("anthropic", model.anthropicBaseUrl, THIRD);
  const bbbb = anthropic.filter({ hasText: "bbbb" });
  await expect(anthropic).toHaveCount(2);
  await bbbb.getByRole("button", { name: "Disconnect" }).press("Enter");
  await expect(disconnect.getByRole("listitem").filter({ hasText: project.name })).toContainText("this answer ends first");
  await expect(disconnect).toContainText("(··cccc) pays in this project from then on.");
  await disconnect.getByRole("button", { name: "Disconnect" }).press("Enter");
  await expect(anthropic).toHaveCount(1);
  expect((await api.project(project.id)).session.kind).toBe("busy");

  await workspace.open(project.id);
  await workspace.stopAnswer.click();
  await workspace.idle();
  await workspace.prompt(`Say it. ${say(`I say ${three}.`)}`);
  await expect(workspace.answers.last()).toContainText(three, { timeout: LAUNCH_MS });
  expect(new Set(turnsAbout(await model.turns(), three).map((turn) => turn.key))).toEqual(new Set([THIRD]));
});
