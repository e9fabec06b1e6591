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
