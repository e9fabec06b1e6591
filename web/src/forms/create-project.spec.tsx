import { screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { aConnection, aJob, aModel, aProject, aProvider } from "../../test/nouns";
import { page, problem, route } from "../../test/network";
import { show } from "../../test/page";
import { CreateProjectForm } from "./create-project";

function connected() {
  route("get", "/api/connections", page([aConnection()]));
  route("get", "/api/providers/:id/models", page([aModel(), aModel({ id: "opus", name: "Opus", recommended: false })]));
}

it("without_a_provider_the_chip_opens_the_dialog_and_the_text_stays_over_a_reload", async () => {
  route("get", "/api/connections", page([]));
  route("get", "/api/providers", page([aProvider()]));
  const { user, unmount } = show(<CreateProjectForm />);
  await user.type(await screen.findByLabelText("What are you building?"), "a bakery");
  await user.click(await screen.findByRole("button", { name: "Connect a provider first" }));
  expect(await screen.findByRole("combobox", { name: "Providers" })).toBeTruthy();
  await user.keyboard("{Escape}");
  expect(screen.getByLabelText("What are you building?")).toHaveProperty("value", "a bakery");
  unmount();
  show(<CreateProjectForm />);
  expect(await screen.findByLabelText("What are you building?")).toHaveProperty("value", "a bakery");
});

it("a_prompt_and_the_recommended_model_make_a_project", async () => {
  connected();
  const asked = route("post", "/api/projects", { status: 202, json: { project: aProject({ id: "prj_9", state: "launching" }), job: aJob({ project_id: "prj_9" }) } });
  const { user, router } = show(<CreateProjectForm />);
  await screen.findByRole("button", { name: "Model: Sonnet" });
  await user.type(screen.getByLabelText("What are you building?"), "a bakery");
  await user.keyboard("{Control>}{Enter}{/Control}");
  await waitFor(() => expect(router.state.location.pathname).toBe("/projects/prj_9"));
  expect(asked[0]?.body).toEqual({ prompt: "a bakery", model: { provider_id: "anthropic", model_id: "sonnet" } });
  expect(sessionStorage.getItem("doce.draft.new-project")).toBeNull();
});

it("the_model_that_was_picked_is_used_for_this_draft", async () => {
  connected();
  const asked = route("post", "/api/projects", { status: 202, json: { project: aProject({ id: "prj_9" }), job: aJob() } });
  const { user } = show(<CreateProjectForm />);
  await user.click(await screen.findByRole("button", { name: "Model: Sonnet" }));
  await user.keyboard("opus{Enter}");
  await user.type(screen.getByLabelText("What are you building?"), "x");
  await user.click(screen.getByRole("button", { name: "Create" }));
  await waitFor(() => expect(asked).toHaveLength(1));
  expect(asked[0]?.body.model).toEqual({ provider_id: "anthropic", model_id: "opus" });
  await waitFor(() => expect(sessionStorage.getItem("doce.draft.new-project.model")).toBeNull());
});

it("a_refusal_stands_at_the_form_and_the_text_stays", async () => {
  connected();
  route("post", "/api/projects", problem(409, "sandbox_unavailable", "Projects can’t start: the sandbox doesn’t work.", { hint: "Run doce doctor." }));
  const { user } = show(<CreateProjectForm />);
  await screen.findByRole("button", { name: "Model: Sonnet" });
  await user.type(screen.getByLabelText("What are you building?"), "x");
  await user.click(screen.getByRole("button", { name: "Create" }));
  const alert = await screen.findByRole("alert");
  expect(alert.textContent).toContain("the sandbox doesn’t work");
  expect(alert.textContent).toContain("Run doce doctor.");
  expect(screen.getByLabelText("What are you building?")).toHaveProperty("value", "x");
});

it("an_empty_prompt_can_not_be_sent", async () => {
  connected();
  show(<CreateProjectForm />);
  await screen.findByRole("button", { name: "Model: Sonnet" });
  expect(screen.getByRole("button", { name: "Create" })).toHaveProperty("disabled", true);
});
