// A phone, and what has to hold on its screen.
import { expect, type Page } from "@playwright/test";

const WIDTH = 390;

export const PHONE = { viewport: { width: WIDTH, height: 844 }, hasTouch: true, isMobile: true };

/** The page doesn't move sideways, and nothing that can be pressed lies beside the screen. */
export async function expectFits(page: Page): Promise<void> {
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(WIDTH);
  const beside = await page.getByRole("button").evaluateAll((buttons, width) => {
    const outside = (button: Element) => {
      const box = button.getBoundingClientRect();
      return box.width > 0 && (box.left < -1 || box.right > width + 1);
    };
    return buttons.filter(outside).map((button) => button.getAttribute("aria-label") ?? button.textContent);
  }, WIDTH);
  expect(beside).toEqual([]);
}

/** The open dialog lies on the screen with everything that can be pressed or filled in, after scrolling inside it at most. */
export async function expectDialogFits(page: Page): Promise<void> {
  await expectFits(page);
  const dialog = page.getByRole("dialog");
  // It slides in: where it comes to rest is what counts.
  await expect.poll(() => dialog.evaluate((element) => element.getAnimations().length)).toBe(0);
  const beside = await dialog.evaluate((element) => {
    const { left, right, top, bottom } = element.getBoundingClientRect();
    const wrong: string[] = [];
    if (left < 0 || right > window.innerWidth || top < 0 || bottom > window.innerHeight) wrong.push(`the dialog: ${[left, top, right, bottom].join(" ")}`);
    for (const each of Array.from(element.querySelectorAll("button, a, input, select, textarea, p, li, code"))) {
      const box = each.getBoundingClientRect();
      if (box.width > 0 && (box.left < left - 1 || box.right > right + 1)) wrong.push(`${each.tagName} ${each.getAttribute("aria-label") ?? each.textContent}`);
    }
    return wrong;
  });
  expect(beside).toEqual([]);
}
