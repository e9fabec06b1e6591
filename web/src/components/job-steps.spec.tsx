import { screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { aJob } from "../../test/nouns";
import { show } from "../../test/page";
import type { JobStep } from "../api/types";
import { JobSteps } from "./job-steps";

function aStep(name: string, state: JobStep["state"], attempts: number): JobStep {
  const at = "2026-01-02T10:00:00.000Z";
  return { name, label: name, state, attempts, started_at: at, ended_at: state === "running" ? null : at, detail: null };
}

it("a_step_says_how_often_it_was_tried_however_it_ended", async () => {
  const steps = [aStep("once", "succeeded", 1), aStep("twice", "succeeded", 2), aStep("undone", "undone", 3), aStep("failed", "failed", 4), aStep("running", "running", 5)];
  show(<JobSteps job={aJob({ steps, next_attempt_at: null })} />);
  await screen.findByRole("list", { name: "Steps" });
  const words = screen.getAllByRole("listitem").map((row) => row.textContent?.match(/\d+ attempts|Attempt \d+/)?.[0] ?? null);
  expect(words).toEqual([null, "2 attempts", "3 attempts", "4 attempts", "Attempt 5"]);
});

it("a_step_that_is_tried_again_says_when", async () => {
  const next = new Date(Date.now() + 60_000).toISOString();
  show(<JobSteps job={aJob({ steps: [aStep("deliver", "running", 3)], next_attempt_at: next })} />);
  expect(await screen.findByText(/^Attempt 3, next at \d/)).toBeTruthy();
});
