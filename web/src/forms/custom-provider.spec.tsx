import { screen, waitFor, within } from "@testing-library/react";
import { beforeEach, expect, it } from "vitest";
import { aConnection, aProvider } from "../../test/nouns";
import { page, problem, route } from "../../test/network";
import { show } from "../../test/page";
import { openDialog } from "../components/dialogs";

const acme = aConnection({ id: "con_9", provider_id: "custom-acme", provider_name: "Acme", last_four: "" });
const model = (id: string, context: number | null = null) => ({ id, name: null, context, output: context === null ? null : context / 4 });

beforeEach(() => {
  route("get", "/api/me", { json: { id: "usr_1", username: "ana", role: "admin", created_at: "2026-01-01T00:00:00.000Z" } });
  route("get", "/api/providers", page([aProvider()]));
  route("get", "/api/connections", page([]));
  route("get", "/api/providers/:id/models", page([]));
  route("get", "/api/local-providers", page([]));
});

async function opened() {
  const shown = show(<p>page</p>);
  await screen.findByText("page");
  openDialog({ kind: "connect-provider" });
  await screen.findByRole("combobox", { name: "Providers" });
  return shown;
}

it("an_endpoint_of_ones_own_lists_its_models_and_is_connected", async () => {
  const listed = route("post", "/api/custom-providers/models", { json: { name: "ai.acme.test", base_url: "https://ai.acme.test/v1", models: [model("large", 8000), model("small")] } });
  const made = route("post", "/api/custom-providers", { status: 201, json: acme });
  const { user } = await opened();
  await user.click(screen.getByRole("button", { name: "Custom endpoint" }));
  await user.type(await screen.findByLabelText("Name"), "Acme");
  await user.type(screen.getByLabelText("Base URL"), "https://ai.acme.test");
  await user.type(screen.getByLabelText(/^API key/), "sk-acme");
  await user.click(screen.getByRole("button", { name: "List models" }));
  expect(await screen.findByText("large")).toBeTruthy();
  // The address that the models were found at is the one that is used.
  expect(screen.getByLabelText("Base URL")).toHaveProperty("value", "https://ai.acme.test/v1");
  await user.click(screen.getByRole("button", { name: "Remove small" }));
  await user.type(screen.getByLabelText("Id of another model"), "typed{Enter}");
  await user.type(screen.getByLabelText("Context of typed"), "1000");
  await user.type(screen.getByLabelText("Output of typed"), "100");
  await user.click(screen.getByRole("button", { name: "Check and connect" }));
  await waitFor(() => expect(made).toHaveLength(1));
  expect(listed[0]?.body).toEqual({ base_url: "https://ai.acme.test", key: "sk-acme" });
  expect(made[0]?.body).toEqual({ name: "Acme", base_url: "https://ai.acme.test/v1", key: "sk-acme", models: [model("large", 8000), { id: "typed", name: null, context: 1000, output: 100 }] });
});

it("a_program_on_the_server_is_offered_with_its_models", async () => {
  route("get", "/api/local-providers", page([{ name: "Ollama", base_url: "http://127.0.0.1:11434/v1", models: [model("llama3.1:8b")] }]));
  const made = route("post", "/api/custom-providers", { status: 201, json: acme });
  const { user } = await opened();
  await user.click(await screen.findByRole("button", { name: /^Ollama/ }));
  expect(await screen.findByLabelText("Name")).toHaveProperty("value", "Ollama");
  await user.click(screen.getByRole("button", { name: "Check and connect" }));
  await waitFor(() => expect(made[0]?.body).toEqual({ name: "Ollama", base_url: "http://127.0.0.1:11434/v1", models: [model("llama3.1:8b")] }));
});

it("what_is_wrong_with_an_endpoint_stands_at_its_field", async () => {
  route("post", "/api/custom-providers/models", problem(422, "endpoint_unusable", "ai.acme.test doesn’t list its models: type their ids."));
  const { user } = await opened();
  await user.click(screen.getByRole("button", { name: "Custom endpoint" }));
  await user.type(await screen.findByLabelText("Base URL"), "https://ai.acme.test");
  await user.click(screen.getByRole("button", { name: "List models" }));
  expect(await screen.findByText(/doesn’t list its models/)).toBeTruthy();
  expect(screen.getByRole("button", { name: "Check and connect" })).toHaveProperty("disabled", true);
});

it("an_organisations_document_is_shown_with_its_command_which_is_not_run", async () => {
  route("post", "/api/custom-providers/well-known", {
    json: {
      address: "https://acme.test",
      token_name: "ACME_TOKEN",
      command: ["acme", "login"],
      providers: [
        { name: "Acme", base_url: "https://ai.acme.test/v1", models: [model("large")], refusal: null },
        { name: "Strange", base_url: "", models: [], refusal: "It wants a package." },
      ],
    },
  });
  const { user } = await opened();
  await user.click(screen.getByRole("button", { name: "Custom endpoint" }));
  await user.click(await screen.findByRole("button", { name: /organisation’s address/ }));
  await user.type(await screen.findByLabelText("Your organisation’s address"), "https://acme.test{Enter}");
  expect(await screen.findByText("acme login")).toBeTruthy();
  expect(screen.getByText(/doesn’t run it/)).toBeTruthy();
  const entries = within(screen.getByRole("list", { name: "What it describes" })).getAllByRole("button", { name: "Use" });
  expect(entries[1]).toHaveProperty("disabled", true);
  await user.click(entries[0]!);
  expect(await screen.findByLabelText("Base URL")).toHaveProperty("value", "https://ai.acme.test/v1");
  expect(screen.getByLabelText(/^ACME_TOKEN/)).toBeTruthy();
});

it("an_endpoints_models_are_changed_while_agents_run", async () => {
  route("get", "/api/custom-providers", page([{ id: "custom-acme", name: "Acme", base_url: "https://ai.acme.test/v1", models: [model("large")], created_at: "2026-01-01T00:00:00.000Z", updated_at: "2026-01-01T00:00:00.000Z" }]));
  const changed = route("patch", "/api/custom-providers/:id", ({ body }) => ({ json: { id: "custom-acme", created_at: "2026-01-01T00:00:00.000Z", updated_at: "2026-01-02T00:00:00.000Z", ...(body as object) } }));
  const { user } = show(<p>page</p>);
  await screen.findByText("page");
  openDialog({ kind: "edit-custom-provider", providerId: "custom-acme" });
  await user.type(await screen.findByLabelText("Id of another model"), "next{Enter}");
  await user.click(screen.getByRole("button", { name: "Save" }));
  await waitFor(() => expect(changed[0]?.body).toEqual({ name: "Acme", base_url: "https://ai.acme.test/v1", models: [model("large"), model("next")] }));
  expect(await screen.findByText(/agents get the change/)).toBeTruthy();
});
