// Which model answers and which connection pays: preferred, favourites, what is gone, and a switch while an agent runs.
import type { Page } from "@playwright/test";
import { expect, test } from "../fixtures";
import { expectFits, PHONE } from "../support/phone";
import { randomWord, say } from "../support/say";
import { LAUNCH_MS, Workspace } from "../support/workspace";

const FIRST = "sk-ant-models-first-0123-aaaa";
const SECOND = "sk-ant-models-second-0123-bbbb";

const chip = (page: Page) => page.getByRole("button", { name: /^Model: / });
const options = (page: Page) => page.getByRole("listbox", { name: "Models" }).getByRole("option");

test.beforeEach(async ({ api, model }) => {
  await api.setUp();
  await model.acceptOnly(FIRST, SECOND);
});

test("a preferred model is where a new project begins, also after a restart and in another tab", async ({ page, api, model, doce, context }) => {
  await api.connect("anthropic", model.anthropicBaseUrl, FIRST);
  await page.goto("/settings/models");
  await page.getByRole("searchbox", { name: "Filter models" }).fill("haiku");
  const prefer = page.getByRole("button", { name: /: preferred$/ }).first();
  const name = ((await prefer.getAttribute("aria-label")) ?? "").replace(/: preferred$/, "");
  const other = await context.newPage();
  await other.goto("/");
  await expect(chip(other)).toBeVisible();
  await prefer.click();
  await expect(prefer).toHaveAttribute("aria-pressed", "true");
  await expect(chip(other)).toHaveAccessibleName(`Model: ${name}`);

  await doce.kill();
  await doce.start();
  await page.goto("/");
  await expect(chip(page)).toHaveAccessibleName(`Model: ${name}`);
});

test.describe("on a phone", () => {
  test.use(PHONE);

  test("the model settings are worked with the keyboard, and nothing is wider than the screen", async ({ page, api, model }) => {
    await api.connect("anthropic", model.anthropicBaseUrl, FIRST);
    await page.goto("/settings/models");
    await expect(page.getByRole("heading", { level: 1, name: "Models" })).toBeVisible();
    await expectFits(page);
    const filter = page.getByRole("searchbox", { name: "Filter models" });
    await filter.press("Control+a");
    await page.keyboard.type("haiku");
    const prefer = page.getByRole("button", { name: /: preferred$/ }).first();
    const name = ((await prefer.getAttribute("aria-label")) ?? "").replace(/: preferred$/, "");
    await prefer.press("Enter");
    await expect(prefer).toHaveAttribute("aria-pressed", "true");
    await expectFits(page);
    const favourite = page.getByRole("button", { name: `${name}: favourite`, exact: true });
    await favourite.press("Space");
    await expect(favourite).toHaveAttribute("aria-pressed", "true");
    await expect(page.getByRole("region", { name: "Favourites" })).toContainText(name);
    await expectFits(page);
    await page.reload();
    await expect(page.getByRole("region", { name: "Favourites" })).toContainText(name);
    await expect(page.getByRole("region", { name: "Preferred" })).toContainText(name);
    await filter.press("Control+a");
    await page.keyboard.type("no such model anywhere");
    await expect(prefer).toHaveCount(0);
    await expectFits(page);
  });
});

test("a favourite is made with the keyboard and stands first", async ({ page, api, model }) => {
  await api.connect("anthropic", model.anthropicBaseUrl, FIRST);
  await page.goto("/");
  await chip(page).click();
  await page.getByRole("combobox", { name: "Models" }).fill("opus");
  await expect(options(page).first()).toContainText(/opus/i);
  await page.keyboard.press("ControlOrMeta+d");
  const favourites = page.getByRole("group", { name: "Favourites" });
  await expect(favourites.getByRole("option")).toHaveCount(1);
  await page.getByRole("combobox", { name: "Models" }).fill("");
  await expect(options(page).first()).toContainText(/opus/i);
  await expect(options(page).first()).toContainText("context");
  await favourites.getByTitle("No favourite any more").click();
  await expect(favourites).toHaveCount(0);
});

test("hundreds of models are found as one types, on a phone too", async ({ page, api, model }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await api.connect("openrouter", model.openaiBaseUrl, FIRST);
  await page.goto("/");
  await chip(page).click();
  await expect(options(page).first()).toBeVisible();
  // Few are drawn at first, and more towards the end.
  const drawn = await options(page).count();
  expect(drawn).toBeLessThan(200);
  const list = page.getByRole("listbox", { name: "Models" });
  await list.evaluate((element) => element.scrollTo(0, element.scrollHeight));
  await expect.poll(() => options(page).count()).toBeGreaterThan(drawn);
  await page.getByRole("combobox", { name: "Models" }).fill("no such model anywhere");
  await expect(options(page)).toHaveCount(0);
  await expect(page.getByText("No model matches")).toBeVisible();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  expect(wide).toBe(false);
});

test("a model whose provider was disconnected says so, and nothing takes its place", async ({ page, api, model }) => {
  const word = randomWord();
  await api.connect("anthropic", model.anthropicBaseUrl, FIRST);
  const project = await api.createProject(`Say it. ${say(`I say ${word}.`)}`, await api.model("anthropic"));
  const workspace = new Workspace(page);
  await workspace.open(project.id);
  await expect(workspace.answers.last()).toContainText(word, { timeout: LAUNCH_MS });
  await workspace.idle();
  await page.goto("/settings/providers");
  await page.getByRole("listitem").getByRole("button", { name: "Disconnect" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Disconnect" }).click();
  await expect(page.getByRole("heading", { name: "No provider is connected" })).toBeVisible();
  const asked = (await model.requests()).length;

  await workspace.open(project.id);
  await expect(page.getByText("Anthropic is not connected")).toBeVisible();
  await workspace.field.fill("go on");
  await expect(workspace.send).toBeDisabled();
  await expect(page.getByRole("button", { name: "Connect it" })).toBeVisible();
  expect(await model.requests()).toHaveLength(asked);
});

test("another connection pays after a switch, and the agent goes on", async ({ page, api, model }) => {
  const [one, two] = [randomWord(), randomWord()];
  await api.connect("anthropic", model.anthropicBaseUrl, FIRST);
  await api.connect("anthropic", model.anthropicBaseUrl, SECOND);
  const project = await api.createProject(`Say it. ${say(`I say ${one}.`)}`, await api.model("anthropic"));
  const workspace = new Workspace(page);
  await workspace.open(project.id);
  await expect(workspace.answers.last()).toContainText(one, { timeout: LAUNCH_MS });
  await workspace.idle();

  await page.getByRole("tab", { name: "Connections" }).click();
  const pane = page.getByRole("tabpanel", { name: "Connections" });
  await expect(pane.getByText("delivered")).toBeVisible();
  await pane.getByRole("button", { name: /^Paid by: / }).click();
  await page.getByRole("menuitem", { name: /bbbb/ }).click();
  await expect(pane.getByRole("button", { name: "Paid by: main 2" })).toBeVisible();
  await expect(pane.getByText("delivered")).toBeVisible({ timeout: LAUNCH_MS });

  await workspace.prompt(`Again. ${say(`I say ${two}.`)}`);
  await expect(workspace.answers.last()).toContainText(two, { timeout: LAUNCH_MS });
  const turns = (await model.requests()).filter((request) => request.user_text.includes(two));
  expect(turns.length).toBeGreaterThan(0);
  expect(new Set(turns.map((request) => request.key))).toEqual(new Set([SECOND]));
});
