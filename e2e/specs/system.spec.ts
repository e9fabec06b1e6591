// The system page: what runs and what it takes, told to admins, with the keyboard and on a phone.
import { expect, test } from "../fixtures";
import { expectFits, PHONE } from "../support/phone";
import { randomWord, say } from "../support/say";
import { LAUNCH_MS } from "../support/workspace";

test("an admin sees a project's agent, the queue and what doctor finds", async ({ page, api, model }) => {
  const key = `sk-ant-${randomWord()}`;
  await model.acceptOnly(key);
  await api.setUp();
  await page.goto("/settings/system");
  await expect(page.getByText("There is no project yet.")).toBeVisible();
  await expect(page.getByRole("list", { name: "Findings" }).getByRole("listitem").first()).toBeVisible({ timeout: LAUNCH_MS });

  await api.connect("anthropic", model.anthropicBaseUrl, key);
  const project = await api.createProject(`${randomWord()} ${say("Done.")}`, await api.model("anthropic"));
  await expect.poll(async () => (await api.project(project.id)).state, { timeout: LAUNCH_MS }).toBe("running");
  // Disks are measured once a minute; the agent is counted at once.
  await page.getByRole("button", { name: "Look again" }).press("Enter");
  await expect(page.getByText(/^1 running/)).toBeVisible();
  const used = page.getByRole("list", { name: "What each project takes" }).getByRole("listitem").filter({ hasText: project.name });
  await expect(used).toContainText("of memory");
  await expect(page.getByText("Active", { exact: true })).toBeVisible();
  await page.setViewportSize(PHONE.viewport);
  await expectFits(page);
});
