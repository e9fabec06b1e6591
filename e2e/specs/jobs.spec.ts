// The jobs page: what doce does, step by step, in a real launch, and by its address.
import { expect, test } from "../fixtures";
import { expectFits, PHONE } from "../support/phone";
import { randomWord, say } from "../support/say";
import { LAUNCH_MS, Workspace } from "../support/workspace";

test("a launch is told step by step while it happens, found by its address, and fits a phone", async ({ page, api, model }) => {
  const key = `sk-ant-${randomWord()}`;
  await model.acceptOnly(key);
  await api.setUp();
  await page.goto("/settings/jobs");
  await expect(page.getByText("There was nothing to do yet.")).toBeVisible();

  await api.connect("anthropic", model.anthropicBaseUrl, key);
  const project = await api.createProject(`${randomWord()} ${say("Done.")}`, await api.model("anthropic"));
  // It comes by itself: nothing is read again by hand.
  const launch = page.getByRole("button", { name: `Launch ${project.name}` });
  await expect(launch).toBeVisible();
  await launch.press("Enter");
  await expect(page.getByRole("list", { name: "Steps" }).getByRole("listitem")).toHaveCount(6);
  await expect(launch).toContainText("Done", { timeout: LAUNCH_MS });
  // What comes after it, the first prompt, is over then, too.
  await expect(page.getByRole("button", { name: "Cancel" })).toHaveCount(0, { timeout: LAUNCH_MS });

  await page.getByRole("combobox", { name: "What" }).selectOption({ label: "Launch" });
  await expect(page).toHaveURL(/kind=launch_project/);
  await page.getByRole("combobox", { name: "State" }).selectOption({ label: "Failed" });
  await expect(page.getByText("No job is like this.")).toBeVisible();
  await page.goBack();
  await expect(launch).toBeVisible();
  await page.setViewportSize(PHONE.viewport);
  await launch.click();
  await expectFits(page);
  await page.getByRole("link", { name: `Open ${project.name}` }).click();
  await expect(new Workspace(page).answers.last()).toContainText("Done.", { timeout: LAUNCH_MS });
});

test("a pause lets nothing begin, is told where somebody waits, and ends with a click", async ({ page, api, model }) => {
  const key = `sk-ant-${randomWord()}`;
  await model.acceptOnly(key);
  await api.setUp();
  await api.connect("anthropic", model.anthropicBaseUrl, key);
  await page.goto("/settings/jobs");
  await page.getByRole("button", { name: "Pause", exact: true }).press("Enter");
  await page.getByRole("button", { name: "Pause the queue" }).press("Enter");
  await expect(page.getByText("The queue is paused")).toBeVisible();
  const project = await api.createProject(`${randomWord()} ${say("Done.")}`, await api.model("anthropic"));
  await expect(page.getByRole("button", { name: `Launch ${project.name}` })).toContainText("Queued");
  await page.setViewportSize(PHONE.viewport);
  await expectFits(page);
  await page.goto(`/projects/${project.id}`);
  await expect(page.getByText("The queue is paused").filter({ visible: true })).toBeVisible();
  await page.getByRole("button", { name: "Resume" }).click();
  await expect(page.getByText("The queue is paused")).toHaveCount(0);
  await expect(new Workspace(page).answers.last()).toContainText("Done.", { timeout: LAUNCH_MS });
});

test("a job that runs is cancelled, what it did is taken back, and it is done again", async ({ page, api, model }) => {
  const key = `sk-ant-${randomWord()}`;
  await model.acceptOnly(key);
  await api.setUp();
  await api.connect("anthropic", model.anthropicBaseUrl, key);
  await api.pauseQueue(true);
  const project = await api.createProject(`${randomWord()} ${say("Done.")}`, await api.model("anthropic"));
  await page.goto("/settings/jobs");
  const live = page.getByRole("banner").getByRole("link", { name: /^Jobs/ });
  await expect(live).toHaveText(/1 waiting/);
  const launches = page.getByRole("button", { name: `Launch ${project.name}` });
  await launches.click();
  await page.getByRole("button", { name: "Cancel", exact: true }).press("Enter");
  // Everything but the last click is done before it runs: a launch is over within seconds.
  const cancel = page.getByRole("button", { name: "Cancel the job" });
  await expect(cancel).toBeFocused();
  await api.pauseQueue(false);
  await expect(launches).toContainText("Running", { timeout: LAUNCH_MS });
  await expect(live).toHaveText(/1 running/);
  await cancel.press("Enter");
  await expect(launches).toContainText("Cancelled", { timeout: LAUNCH_MS });
  await expect(live).toHaveText("Jobs");
  await expect(page.getByRole("list", { name: "Steps" })).not.toContainText("Running");
  await page.getByRole("button", { name: "Do it again" }).press("Enter");
  await expect(launches).toHaveCount(2);
  await expect(launches.first()).toContainText("Done", { timeout: LAUNCH_MS });
  await expect(launches.last()).toContainText("Cancelled");
  await page.goto(`/projects/${project.id}`);
  await expect(new Workspace(page).answers.last()).toContainText("Done.", { timeout: LAUNCH_MS });
});
