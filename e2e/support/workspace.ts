// The workspace page, by what a person sees of it.
import { expect, type FrameLocator, type Locator, type Page } from "@playwright/test";
import type { ModelRequest } from "./model";

/** A launch starts an agent: seconds on a quiet machine, more on a busy one. */
export const LAUNCH_MS = 90_000;
/** The preview installs its packages first. */
export const PREVIEW_MS = 180_000;

export class Workspace {
  readonly page: Page;
  readonly conversation: Locator;
  readonly prompts: Locator;
  readonly answers: Locator;
  readonly field: Locator;
  readonly send: Locator;
  readonly stopAnswer: Locator;
  readonly state: Locator;

  constructor(page: Page) {
    this.page = page;
    this.conversation = page.getByRole("log", { name: "Conversation" });
    this.prompts = this.conversation.getByRole("article", { name: "Your prompt" });
    this.answers = this.conversation.getByRole("article", { name: "The agent’s answer" });
    this.field = page.getByRole("textbox", { name: "Ask for a change" });
    this.send = page.getByRole("button", { name: "Send" });
    this.stopAnswer = page.getByRole("button", { name: /^Stop the answer/ });
    this.state = page.getByRole("banner").getByRole("status");
  }

  async open(projectId: string): Promise<void> {
    await this.page.goto(`/projects/${projectId}`);
    await expect(this.conversation).toBeVisible();
  }

  /** Waits until the agent has nothing left to do. */
  async idle(): Promise<void> {
    await expect(this.state).toHaveText("Running", { timeout: LAUNCH_MS });
  }

  async prompt(text: string): Promise<void> {
    await this.field.fill(text);
    await this.send.click();
  }

  /** The app itself, in its frame. */
  get app(): FrameLocator {
    return this.page.frameLocator('iframe[title$=", running"]');
  }

  get frame(): Locator {
    return this.page.locator('iframe[title$=", running"]');
  }

  /** A tool call of the agent, by the file or command that it is about. */
  tool(subject: string): Locator {
    return this.conversation.getByRole("button", { name: subject });
  }
}

/** Words that can be counted: `word1 word2 …`, each with the run's own stem. */
export function countedWords(stem: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${stem}${index + 1}`);
}

/** Which of the counted words a text holds, in order, as often as it holds them. */
export function wordsIn(text: string, stem: string): string[] {
  return text.match(new RegExp(`${stem}\\d+`, "g")) ?? [];
}

/** The turns that answer a prompt with this word in it. */
export function turnsAbout(turns: ModelRequest[], word: string): ModelRequest[] {
  return turns.filter((turn) => turn.user_text.includes(word));
}
