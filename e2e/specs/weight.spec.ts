// What a page weighs when a browser has nothing of it: requests, bytes on the wire, and whether they have to be sent again.
//
// `DOCE_WEIGHTS` names a file that the figures are written to, page by page, for a report.
import { readFile, writeFile } from "node:fs/promises";
import type { Browser, Cookie, Page, Request, Response } from "@playwright/test";
import { expect, test } from "../fixtures";

const KB = 1_024;

type Loaded = { path: string; type: string; bytes: number };
type Weight = { page: string; requests: number; requests_max: number; bytes: number; bytes_max: number; loaded: Loaded[] };

const isAsset = (response: Response) => new URL(response.url()).pathname.startsWith("/assets/");

/** Loads a page in a browser that has nothing, and waits until it asks for nothing more. */
async function cold(browser: Browser, url: string, path: string, cookies: Cookie[], ready: (page: Page) => Promise<void>): Promise<{ loaded: Loaded[]; responses: Response[] }> {
  const context = await browser.newContext({ baseURL: url });
  await context.addCookies(cookies);
  const page = await context.newPage();
  const finished: Request[] = [];
  let asked = 0;
  // The stream never ends, and is one per browser.
  const counts = (request: Request) => request.url().startsWith(url) && new URL(request.url()).pathname !== "/api/stream";
  page.on("request", (request) => (asked += counts(request) ? 1 : 0));
  page.on("requestfinished", (request) => counts(request) && finished.push(request));
  await page.goto(path);
  await ready(page);
  await expect.poll(() => asked === finished.length && finished.length).toBeTruthy();
  const loaded = await Promise.all(
    finished.map(async (request) => {
      const { responseHeadersSize, responseBodySize } = await request.sizes();
      return { path: new URL(request.url()).pathname, type: request.resourceType(), bytes: responseHeadersSize + responseBodySize };
    }),
  );
  const responses = (await Promise.all(finished.map((request) => request.response()))).filter((response) => response !== null);
  await context.close();
  return { loaded, responses };
}

/** Puts the figures beside those of other pages in the file that a report is made from. */
async function tell(weight: Weight): Promise<void> {
  const file = process.env.DOCE_WEIGHTS;
  if (file === undefined) return;
  const known = JSON.parse(await readFile(file, "utf8").catch(() => "[]")) as Weight[];
  await writeFile(file, `${JSON.stringify([...known.filter((each) => each.page !== weight.page), weight], null, 2)}\n`);
}

async function expectLight(page: string, { loaded, responses }: Awaited<ReturnType<typeof cold>>, requestsMax: number, bytesMax: number): Promise<void> {
  const weight = { page, requests: loaded.length, requests_max: requestsMax, bytes: loaded.reduce((sum, each) => sum + each.bytes, 0), bytes_max: bytesMax, loaded };
  await tell(weight);
  const assets = responses.filter(isAsset);
  expect(assets.length).toBeGreaterThan(0);
  for (const response of assets) {
    const { "content-encoding": encoding, "cache-control": kept } = response.headers();
    expect(kept, response.url()).toContain("immutable");
    expect(encoding, response.url()).toBe("br");
  }
  const lines = loaded.map((each) => `${each.bytes} ${each.type} ${each.path}`).join("\n");
  expect(weight.requests, lines).toBeLessThanOrEqual(requestsMax);
  expect(weight.bytes, lines).toBeLessThanOrEqual(bytesMax);
}

test.beforeEach(async ({ api }) => {
  await api.setUp();
  await api.openCodeReady();
});

test("the sign-in page is light", async ({ browser, doce }) => {
  const loaded = await cold(browser, doce.url, "/sign-in", [], (page) => expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible());
  await expectLight("/sign-in", loaded, 8, 110 * KB);
});

test("the dashboard is light", async ({ browser, doce, page }) => {
  const loaded = await cold(browser, doce.url, "/", await page.context().cookies(), async (fresh) => {
    await expect(fresh.getByRole("button", { name: "Connect a provider first" })).toBeVisible();
    await expect(fresh.getByText(/no projects yet/i)).toBeVisible();
  });
  await expectLight("/", loaded, 8, 180 * KB);
});

test("a dashboard with providers and projects is light", async ({ browser, doce, api, model, page }) => {
  await api.connect("anthropic", model.anthropicBaseUrl, "sk-ant-weight-0123456789");
  await api.connect("openai", model.openaiBaseUrl, "sk-weight-0123456789");
  // They stay as they are: what is weighed is the page.
  await api.pauseQueue(true);
  const chosen = await api.model("anthropic");
  for (let number = 1; number <= 20; number += 1) await api.createProject(`A page about bread number ${number}`, chosen);
  const loaded = await cold(browser, doce.url, "/", await page.context().cookies(), async (fresh) => {
    await expect(fresh.getByRole("button", { name: /^Model: / })).toBeVisible();
    await expect(fresh.getByRole("link", { name: /bread number 20/ })).toBeVisible();
  });
  // One more than an empty one, however many providers and projects there are: the models.
  await expectLight("/ with twenty projects", loaded, 8, 180 * KB);
});
