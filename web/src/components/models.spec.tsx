import { act, screen, waitFor, within } from "@testing-library/react";
import { useState } from "react";
import { expect, it } from "vitest";
import { aConnection, aModel, aProject, aProvider } from "../../test/nouns";
import { page, problem, route } from "../../test/network";
import { show } from "../../test/page";
import { createCache } from "../api/cache";
import { keys } from "../api/queries";
import type { Connection, Model, ModelPreferences, ModelRef, ProjectConnection } from "../api/types";
import { CreateProjectForm } from "../forms/create-project";
import { SendPromptForm } from "../forms/send-prompt";
import ModelSettings from "../pages/settings/models";
import { applyEvents } from "../stream/cache";
import { ConnectionsPane, deliveryWords } from "./connections-pane";
import { ModelPicker } from "./model-picker";
import { useModels } from "./models";

const SONNET: ModelRef = { provider_id: "anthropic", model_id: "sonnet" };
const OPUS: ModelRef = { provider_id: "anthropic", model_id: "opus" };
const NONE: ModelPreferences = { preferred: null, favourites: [], recents: [] };

function world({ connections = [aConnection()], models = [aModel(), aModel({ id: "opus", name: "Opus", recommended: false })], preferences = NONE }: { connections?: Connection[]; models?: Model[]; preferences?: ModelPreferences } = {}) {
  route("get", "/api/connections", page(connections));
  route("get", "/api/providers/:id/models", page(models));
  route("get", "/api/providers", page([aProvider(), aProvider({ id: "openai", name: "OpenAI" }), aProvider({ id: "azure", name: "Azure", connectable: false, refusal: "Its SDK isn’t part of OpenCode." })]));
  route("get", "/api/models/preferences", { json: preferences });
}

function Picking({ first = SONNET }: { first?: ModelRef | null }) {
  const models = useModels();
  const [value, setValue] = useState(first);
  return <ModelPicker models={models} value={value} onChange={setValue} />;
}

const options = () => screen.getAllByRole("option").map((option) => option.textContent);

it("favourites_come_first_then_those_used_last_and_each_model_once", async () => {
  const third = aModel({ id: "haiku", name: "Haiku" });
  world({ models: [aModel(), aModel({ id: "opus", name: "Opus" }), third], preferences: { preferred: null, favourites: [OPUS], recents: [OPUS, { ...SONNET, model_id: "haiku" }] } });
  const { user } = show(<Picking />);
  await user.click(await screen.findByRole("button", { name: "Model: Sonnet" }));
  await waitFor(() => expect(options().map((text) => /Opus|Haiku|Sonnet/.exec(text)?.[0])).toEqual(["Opus", "Haiku", "Sonnet"]));
  expect(within(screen.getByRole("group", { name: "Used last" })).getByRole("option").textContent).toContain("Haiku");
});

it("a_model_shows_what_it_can_and_costs", async () => {
  world();
  const { user } = show(<Picking />);
  await user.click(await screen.findByRole("button", { name: "Model: Sonnet" }));
  const [first] = await screen.findAllByRole("option");
  for (const fact of ["200k context", "8k out", "$3 / $15"]) expect(first?.textContent).toContain(fact);
  expect(within(first!).getByRole("img", { name: "takes pictures" })).toBeTruthy();
  expect(within(first!).getByRole("img", { name: "reasons" })).toBeTruthy();
});

it("a_model_becomes_a_favourite_by_keyboard_and_by_pointer", async () => {
  world();
  const asked = route("patch", "/api/models/preferences", ({ body }) => ({ json: { ...NONE, favourites: body.favourite === true ? [SONNET] : [] } }));
  const { user } = show(<Picking />);
  await user.click(await screen.findByRole("button", { name: "Model: Sonnet" }));
  await screen.findAllByRole("option");
  await user.keyboard("{Control>}d{/Control}");
  expect(await screen.findByRole("group", { name: "Favourites" })).toBeTruthy();
  await user.click(await screen.findByTitle("No favourite any more"));
  await waitFor(() => expect(asked.map(({ body }) => body)).toEqual([{ model: SONNET, favourite: true }, { model: SONNET, favourite: false }]));
  expect(screen.getByRole("combobox", { name: "Models" })).toBeTruthy();
});

it("of_hundreds_of_models_few_are_drawn_and_all_are_found", async () => {
  world({ models: Array.from({ length: 400 }, (_, n) => aModel({ id: `vendor/model-${n}`, name: `Model ${n}`, recommended: false })) });
  const { user } = show(<Picking first={null} />);
  await user.click(await screen.findByRole("button", { name: "Model: Pick a model" }));
  await screen.findAllByRole("option");
  expect(options().length).toBeLessThan(130);
  await user.keyboard("model-399");
  await waitFor(() => expect(options()).toHaveLength(1));
  await user.keyboard("{Enter}");
  expect(await screen.findByRole("button", { name: "Model: Model 399" })).toBeTruthy();
});

it("an_id_is_typed_only_where_the_list_is_not_all_there_is", async () => {
  world({ connections: [aConnection({ base_url: "https://mine.test/v1" })] });
  const { user, unmount } = show(<Picking />);
  await user.click(await screen.findByRole("button", { name: "Model: Sonnet" }));
  await user.keyboard("my/own-model");
  await user.click(await screen.findByRole("option", { name: /Use “my\/own-model” at Anthropic/ }));
  expect(await screen.findByRole("button", { name: "Model: my/own-model" })).toBeTruthy();
  unmount();
  world();
  const again = show(<Picking />);
  await again.user.click(await screen.findByRole("button", { name: "Model: Sonnet" }));
  await again.user.keyboard("my/own-model");
  expect(await screen.findByText("No model matches “my/own-model”.")).toBeTruthy();
});

it("models_that_could_not_be_read_can_be_read_again", async () => {
  world();
  route("get", "/api/providers/:id/models", problem(503, "catalogue_unavailable", "The catalogue is being read."));
  const { user } = show(<Picking />);
  await user.click(await screen.findByRole("button", { name: "Model: sonnet" }));
  await screen.findByText("Some models could not be read.");
  route("get", "/api/providers/:id/models", page([aModel()]));
  await user.click(screen.getByRole("button", { name: "Read again" }));
  expect((await screen.findAllByRole("option"))[0]?.textContent).toContain("Sonnet");
});

it("a_new_project_begins_with_the_preferred_model_else_with_the_one_used_last", async () => {
  world({ preferences: { ...NONE, preferred: OPUS, recents: [SONNET] } });
  const first = show(<CreateProjectForm />);
  expect(await screen.findByRole("button", { name: "Model: Opus" })).toBeTruthy();
  first.unmount();
  world({ preferences: { ...NONE, recents: [{ provider_id: "gone", model_id: "x" }, OPUS] } });
  show(<CreateProjectForm />);
  expect(await screen.findByRole("button", { name: "Model: Opus" })).toBeTruthy();
});

it("a_preferred_model_whose_provider_is_gone_says_so_and_nothing_takes_its_place", async () => {
  world({ preferences: { ...NONE, preferred: { provider_id: "openai", model_id: "gpt" } } });
  const { user } = show(<CreateProjectForm />);
  expect(await screen.findByText("OpenAI is not connected")).toBeTruthy();
  await user.type(screen.getByLabelText("What are you building?"), "a bakery");
  expect(screen.getByRole("button", { name: "Create" })).toHaveProperty("disabled", true);
  await user.click(screen.getByRole("button", { name: "Choose another model" }));
  await user.click((await screen.findAllByRole("option"))[0]!);
  await waitFor(() => expect(screen.getByRole("button", { name: "Create" })).toHaveProperty("disabled", false));
  expect(screen.queryByText("OpenAI is not connected")).toBeNull();
});

it("of_several_connections_the_one_that_was_chosen_pays_for_a_new_project", async () => {
  world({ connections: [aConnection(), aConnection({ id: "con_2", label: "work", is_default: false })] });
  const asked = route("post", "/api/projects", problem(409, "busy", "Not here."));
  const { user } = show(<CreateProjectForm />);
  await user.click(await screen.findByRole("button", { name: "Paid by: personal" }));
  await user.click(await screen.findByRole("menuitem", { name: /work/ }));
  await user.type(screen.getByLabelText("What are you building?"), "a bakery");
  await user.click(screen.getByRole("button", { name: "Create" }));
  await waitFor(() => expect(asked[0]?.body.connections).toEqual({ anthropic: "con_2" }));
});

it.each([
  ["not connected", { provider_id: "openai", model_id: "gpt" }, {}, "OpenAI is not connected", "Connect it"],
  ["expired", SONNET, { status: "expired", auth_type: "oauth" }, "The sign-in at Anthropic ran out", "Sign in again"],
  ["refused", { provider_id: "azure", model_id: "gpt" }, {}, "Azure can’t be used by this version", null],
  ["unknown", { provider_id: "gone", model_id: "gpt" }, {}, "gone is not a provider of this version", null],
  ["vanished", { ...SONNET, model_id: "old" }, {}, "Anthropic doesn’t offer old", null],
] as const)("the_prompt_says_why_a_model_can_not_be_used_%s", async (_, model, more, title, button) => {
  world({ connections: [aConnection(more)] });
  route("get", "/api/projects/prj_1/connections", page([]));
  const { user } = show(<SendPromptForm project={aProject({ model })} text="more" onText={() => {}} fieldRef={null} pickingModel={false} onPickingModel={() => {}} />);
  const notice = (await screen.findByText(title)).closest('[role="status"]') as HTMLElement;
  expect(notice.textContent).toContain("Nothing else is used unless you choose it.");
  expect(within(notice).getAllByRole("button").map((each) => each.textContent)).toEqual([...(button === null ? [] : [button]), "Choose another model"]);
  const asked = route("post", "/api/projects/prj_1/prompts", problem(409, "busy", "Not here."));
  await user.click(screen.getByLabelText("Ask for a change"));
  await user.keyboard("{Control>}{Enter}{/Control}");
  expect(asked).toHaveLength(0);
});

const used = (more: Partial<ProjectConnection> = {}): ProjectConnection => ({ provider_id: "anthropic", provider_name: "Anthropic", connection_id: "con_1", label: "personal", chosen: false, delivery: null, ...more });
const delivery = (more: Partial<NonNullable<ProjectConnection["delivery"]>> = {}): NonNullable<ProjectConnection["delivery"]> => ({ connection_id: "con_1", provider_id: "anthropic", instance_id: "ins_1", version: 1, mode: "direct", status: "delivered", reason: null, at: "2026-01-02T10:00:00.000Z", ...more });

it("a_delivery_is_said_in_a_word_with_its_reason", () => {
  const all = [aConnection(), aConnection({ id: "con_2", label: "work" })];
  expect(deliveryWords(used(), all).word).toBe("when it runs");
  expect(deliveryWords(used({ delivery: delivery() }), all)).toEqual({ word: "delivered", tone: "green", reason: null });
  expect(deliveryWords(used({ connection_id: "con_2", delivery: delivery() }), all)).toEqual({ word: "applies when idle", tone: "amber", reason: "until then personal pays" });
  expect(deliveryWords(used({ connection_id: "con_2", delivery: delivery({ status: "failed", reason: "The agent is gone." }) }), all)).toEqual({ word: "failed", tone: "red", reason: "The agent is gone." });
});

it("a_project_is_switched_to_another_connection_and_shows_how_far_it_is", async () => {
  world({ connections: [aConnection(), aConnection({ id: "con_2", label: "work", is_default: false })] });
  let now = used({ delivery: delivery() });
  route("get", "/api/projects/prj_1/connections", () => page([now]));
  const asked = route("patch", "/api/projects/prj_1", () => {
    now = used({ connection_id: "con_2", label: "work", chosen: true, delivery: delivery({ status: "stale" }) });
    return { json: aProject() };
  });
  const cache = createCache();
  const { user } = show(<ConnectionsPane project={aProject()} />, cache);
  await user.click(await screen.findByRole("button", { name: "Paid by: personal" }));
  await user.click(await screen.findByRole("menuitem", { name: /work/ }));
  expect(await screen.findByText(/until then personal pays/)).toBeTruthy();
  expect(asked[0]?.body).toEqual({ connections: { anthropic: "con_2" } });
  now = { ...now, delivery: delivery({ connection_id: "con_2" }) };
  act(() => applyEvents(cache, [{ id: "b-1", type: "connection", connection: aConnection() }]));
  expect(await screen.findByText("delivered")).toBeTruthy();
});

it("a_switch_that_failed_says_why_and_can_be_tried_again", async () => {
  world();
  route("get", "/api/projects/prj_1/connections", page([used({ delivery: delivery({ status: "failed", reason: "The agent didn’t answer." }) })]));
  const asked = route("patch", "/api/projects/prj_1", { json: aProject() });
  const { user } = show(<ConnectionsPane project={aProject()} />);
  expect(await screen.findByText(/The agent didn’t answer\./)).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Try again" }));
  await waitFor(() => expect(asked[0]?.body).toEqual({ connections: { anthropic: "con_1" } }));
});

it("the_settings_show_preferences_with_their_troubles_and_what_is_usable", async () => {
  world({ preferences: { preferred: OPUS, favourites: [{ provider_id: "openai", model_id: "gpt" }], recents: [] } });
  const asked = route("patch", "/api/models/preferences", { json: NONE });
  const { user } = show(<ModelSettings />);
  expect(await screen.findByText("OpenAI is not connected")).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "gpt: no favourite any more" }));
  await waitFor(() => expect(asked[0]?.body).toEqual({ model: { provider_id: "openai", model_id: "gpt" }, favourite: false }));
  expect(await screen.findByText(/None yet: a new project begins with the model you used last/)).toBeTruthy();
  await user.type(screen.getByRole("searchbox", { name: "Filter models" }), "son");
  await user.click(await screen.findByRole("button", { name: "Sonnet: favourite" }));
  await user.click(screen.getByRole("button", { name: "Sonnet: preferred" }));
  await waitFor(() => expect(asked.slice(1).map(({ body }) => body)).toEqual([{ model: SONNET, favourite: true }, { model: SONNET, preferred: true }]));
  expect(screen.queryByRole("button", { name: "Opus: favourite" })).toBeNull();
});

it("the_settings_without_a_provider_offer_to_connect_one_and_what_fails_can_be_read_again", async () => {
  world({ connections: [] });
  route("get", "/api/models/preferences", problem(500, "internal", "Internal error."));
  const { user } = show(<ModelSettings />);
  expect(await screen.findByText(/No provider is connected, so there is no model/)).toBeTruthy();
  route("get", "/api/models/preferences", { json: NONE });
  await user.click(await screen.findByRole("button", { name: /again/i }));
  expect(await screen.findByText(/None yet\. The star/)).toBeTruthy();
});

it("preferences_that_changed_elsewhere_are_shown_at_once", () => {
  const cache = createCache();
  applyEvents(cache, [{ id: "b-1", type: "model_preferences", preferences: { ...NONE, preferred: OPUS } }]);
  expect(cache.getQueryData(keys.modelPreferences)).toEqual({ ...NONE, preferred: OPUS });
});
