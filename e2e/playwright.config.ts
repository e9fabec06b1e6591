// The browser tests: the real program, a real OpenCode in its sandbox, a real Chromium, and a model that follows a script.
//
// `cargo xtask test browser` builds and installs what they need. Three files run at a time: an agent takes most of a gigabyte,
// and spends much of a test waiting. Each test has a doce, ports and a folder of its own; what needs a port that is the same for
// everybody stands in one file (`logins.spec.ts`).
import { existsSync } from "node:fs";
import { defineConfig } from "@playwright/test";

/** Debian's browser, or the one that CHROMIUM names. */
const chromium = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => existsSync(path));

export default defineConfig({
  testDir: "specs",
  outputDir: "../target/e2e",
  workers: 3,
  fullyParallel: false,
  forbidOnly: true,
  retries: 0,
  // A first launch on two busy cores: the agent, its first answer, npm for the preview.
  timeout: 240_000,
  expect: { timeout: 20_000 },
  reporter: "list",
  use: {
    browserName: "chromium",
    viewport: { width: 1280, height: 800 },
    locale: "en-GB",
    timezoneId: "Europe/Berlin",
    // Here every frame is drawn by the processor that the agent needs.
    contextOptions: { reducedMotion: "reduce" },
    actionTimeout: 20_000,
    navigationTimeout: 30_000,
    // Without a film: it costs the processor as much as the page.
    trace: { mode: "retain-on-failure", screenshots: false },
    screenshot: "only-on-failure",
    launchOptions: {
      ...(chromium === undefined ? {} : { executablePath: chromium }),
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
  },
});
