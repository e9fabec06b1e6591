import { screen, waitFor, within } from "@testing-library/react";
import { beforeEach, describe, expect, it } from "vitest";
import { aConnection, aModel, aProvider } from "../../test/nouns";
import { page, problem, route } from "../../test/network";
import { show } from "../../test/page";
import type { OAuthAttempt } from "../api/types";
import { openDialog } from "../components/dialogs";
import { groupsOf } from "./connect-provider";
import { applicable, defaultOf } from "./method-prompts";

const PROVIDERS = [
  aProvider(),
  aProvider({ id: "zed", name: "Zed Gateway", popular: false }),
  aProvider({ id: "github-copilot", name: "GitHub Copilot", popular: false, connectable: false, refusal: "It has no API keys.", methods: [{ index: 0, tested: null, refusal: "It can’t be done here.", kind: "oauth", label: "Sign-in", prompts: [] }] }),
  aProvider({ id: "ollama", name: "Ollama", default_base_url: null, base_url_required: true, key_url: null }),
];

beforeEach(() => {
  route("get", "/api/providers", page(PROVIDERS));
  route("get", "/api/connections", page([]));
  route("get", "/api/providers/:id/models", page([aModel(), aModel({ id: "opus" })]));
});

async function opened() {
  const shown = show(<p>page</p>);
  await screen.findByText("page");
  openDialog({ kind: "connect-provider" });
  await screen.findByRole("combobox", { name: "Providers" });
  return shown;
}

it("a_provider_is_found_by_typing_and_connected_by_its_key", async () => {
  const asked = route("post", "/api/connections", { status: 201, json: aConnection({ is_default: false }) });
  const { user } = await opened();
  expect(document.activeElement).toBe(screen.getByRole("combobox"));
  await user.keyboard("anth{Enter}");
  await user.type(await screen.findByLabelText("API key"), " sk-1 ");
  await user.type(screen.getByLabelText(/^Label/), "work");
  await user.click(screen.getByRole("button", { name: "Check and connect" }));
  expect(await screen.findByText("Works")).toBeTruthy();
  expect(await screen.findByText("· 2 models")).toBeTruthy();
  expect(asked[0]?.body).toEqual({ provider_id: "anthropic", auth_type: "api", key: "sk-1", label: "work" });
  expect(screen.getByRole("button", { name: "Make it my default" })).toBeTruthy();
});

it("a_rejected_key_can_be_edited_or_kept_anyway", async () => {
  const asked = route("post", "/api/connections", ({ body }) => (body.keep_unverified ? { status: 201, json: aConnection({ verification: { outcome: "invalid", at: "2026-01-01T00:00:00.000Z", detail: "" } }) } : problem(422, "key_rejected", "Anthropic rejected this key (401).")));
  const { user } = await opened();
  await user.keyboard("anth{Enter}");
  await user.type(await screen.findByLabelText("API key"), "sk-bad{Enter}");
  expect(await screen.findByText("Anthropic rejected this key (401).")).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Edit" }));
  expect(screen.queryByText("Anthropic rejected this key (401).")).toBeNull();
  expect(screen.getByLabelText("API key")).toHaveProperty("value", "sk-bad");
  await user.click(screen.getByRole("button", { name: "Check and connect" }));
  await user.click(await screen.findByRole("button", { name: "Keep anyway" }));
  expect(await screen.findByText("Kept, although it was rejected")).toBeTruthy();
  expect(asked.at(-1)?.body).toMatchObject({ key: "sk-bad", keep_unverified: true });
});

it("an_unreachable_provider_is_saved_and_can_be_tried_again", async () => {
  const away = aConnection({ verification: { outcome: "unreachable", at: "2026-01-01T00:00:00.000Z", detail: "No answer in 8 s." } });
  route("post", "/api/connections", { status: 201, json: away });
  route("post", "/api/connections/con_1/verify", { json: aConnection() });
  const { user } = await opened();
  await user.keyboard("anth{Enter}");
  await user.type(await screen.findByLabelText("API key"), "sk{Enter}");
  expect(await screen.findByText("Saved, not verified")).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByText("Works")).toBeTruthy();
});

it("a_provider_that_can_not_be_connected_says_why", async () => {
  const { user } = await opened();
  await user.keyboard("copilot{Enter}");
  expect(await screen.findByText("It has no API keys.")).toBeTruthy();
  expect(screen.queryByLabelText("API key")).toBeNull();
  await user.click(screen.getByRole("button", { name: "Pick another" }));
  expect(await screen.findByRole("combobox")).toBeTruthy();
});

it("where_a_base_url_is_needed_it_is_asked_for_and_said_at_its_field", async () => {
  route("post", "/api/connections", problem(422, "invalid", "This isn’t an address.", { field: "base_url" }));
  const { user } = await opened();
  await user.keyboard("ollama{Enter}");
  const field = await screen.findByLabelText("Base URL");
  await user.type(field, "http://localhost:11434/v1{Enter}");
  await waitFor(() => expect(field.getAttribute("aria-invalid")).toBe("true"));
  expect(screen.getByText("This isn’t an address.")).toBeTruthy();
});

it("the_page_says_who_will_be_able_to_read_the_key", async () => {
  const { user } = await opened();
  await user.keyboard("anth{Enter}");
  expect(await screen.findByText(/This project’s agent can read this key\./)).toBeTruthy();
  expect(screen.getByRole("link", { name: /console\.anthropic\.com/ }).getAttribute("rel")).toContain("noopener");
});

it("the_list_is_walked_with_the_arrow_keys", async () => {
  const { user } = await opened();
  const selected = () => within(screen.getByRole("listbox")).getByRole("option", { selected: true }).textContent;
  expect(selected()).toContain("Anthropic");
  await user.keyboard("{ArrowDown}{ArrowDown}");
  expect(selected()).toContain("GitHub Copilot");
  await user.keyboard("{ArrowUp}{ArrowUp}{ArrowUp}");
  expect(selected()).toContain("Zed Gateway");
});

describe("groups", () => {
  it("popular_ones_are_first_and_the_rest_is_by_name", () => {
    const groups = groupsOf(PROVIDERS, "");
    expect(groups.map((group) => [group.label, group.items.map((item) => item.id)])).toEqual([
      ["Popular", ["anthropic", "ollama"]],
      ["All, A–Z", ["github-copilot", "zed"]],
    ]);
  });
  it("an_id_is_found_as_well_as_a_name_and_starts_come_first", () => {
    expect(groupsOf(PROVIDERS, "copilot")[0]?.items.map((item) => item.id)).toEqual(["github-copilot"]);
    expect(groupsOf(PROVIDERS, "g")[0]?.items.map((item) => item.id)).toEqual(["github-copilot", "zed"]);
  });
});

describe("prompts", () => {
  const prompt = (key: string, when: { key: string; op: "eq" | "neq"; value: string } | null) => ({ kind: "text" as const, key, message: key, placeholder: null, options: [], when });
  it("a_prompt_applies_when_its_condition_holds", () => {
    const prompts = [prompt("always", null), prompt("mine", { key: "kind", op: "eq", value: "own" }), prompt("other", { key: "kind", op: "neq", value: "own" })];
    expect(applicable(prompts, { kind: "own" }).map((each) => each.key)).toEqual(["always", "mine"]);
    expect(applicable(prompts, {}).map((each) => each.key)).toEqual(["always", "other"]);
  });
});

const GITLAB_METHOD = {
  index: 0,
  kind: "oauth" as const,
  label: "GitLab OAuth",
  refusal: null,
  tested: "against a fake authorization server, with the real OpenCode",
  prompts: [{ kind: "text" as const, key: "instanceUrl", message: "GitLab instance URL", placeholder: "https://gitlab.com", options: [], when: null }],
};

function anAttempt(more: Partial<OAuthAttempt> = {}): OAuthAttempt {
  return {
    id: "oat_1",
    provider_id: "gitlab",
    provider_name: "GitLab",
    kind: "redirect",
    url: "https://gitlab.com/oauth/authorize?state=s",
    code: null,
    address: "http://localhost:8080/callback",
    instructions: "",
    state: "waiting",
    reason: null,
    connection_id: null,
    expires_at: new Date(Date.now() + 600_000).toISOString(),
    ...more,
  };
}

it("a_sign_in_shows_its_steps_takes_the_pasted_address_and_ends_in_a_connection", async () => {
  route("get", "/api/providers", page([aProvider({ id: "gitlab", name: "GitLab", methods: [GITLAB_METHOD, { index: 1, kind: "api", label: "Access token", prompts: [], refusal: null, tested: null }] })]));
  const begun = route("post", "/api/oauth-attempts", { status: 201, json: anAttempt() });
  const answered = route("post", "/api/oauth-attempts/:id/code", { status: 202, json: anAttempt() });
  let attempt = anAttempt();
  route("get", "/api/oauth-attempts/:id", () => ({ json: attempt }));
  route("get", "/api/connections/:id", { json: aConnection({ id: "con_9", provider_id: "gitlab", provider_name: "GitLab", auth_type: "oauth", renews: true }) });
  const given = route("delete", "/api/oauth-attempts/:id", { status: 204 });
  const { user } = await opened();
  await user.keyboard("gitlab{Enter}");
  await user.click(await screen.findByRole("radio", { name: /GitLab OAuth/ }));
  expect(screen.getByText(/^Tested against a fake authorization server, with the real OpenCode, and not yet at GitLab itself/)).toBeTruthy();
  await user.type(screen.getByLabelText("GitLab instance URL"), "https://gitlab.com");
  await user.click(screen.getByRole("button", { name: "Sign in" }));
  expect(begun[0]?.body).toEqual({ provider_id: "gitlab", method: 0, inputs: { instanceUrl: "https://gitlab.com" } });
  expect((await screen.findByRole("link", { name: /Open gitlab.com/ })).getAttribute("rel")).toContain("noopener");
  expect(screen.getByRole("status").textContent).toMatch(/Waiting for you… (10:00|9:5\d) left/);
  await user.type(screen.getByLabelText("The address your browser could not open"), "http://localhost:8080/callback?code=c");
  attempt = anAttempt({ state: "succeeded", connection_id: "con_9" });
  await user.click(screen.getByRole("button", { name: "Use this address" }));
  expect(answered[0]?.body).toEqual({ code: "http://localhost:8080/callback?code=c" });
  expect(await screen.findByText(/Works/)).toBeTruthy();
  expect(given).toHaveLength(0);
});

it("a_way_to_sign_in_that_can_not_work_here_says_why_and_another_one_is_chosen", async () => {
  const refused = { ...GITLAB_METHOD, refusal: "Its sign-in comes back to a port that is taken on this server." };
  route("get", "/api/providers", page([aProvider({ id: "gitlab", name: "GitLab", methods: [refused, { index: 1, kind: "api", label: "Access token", prompts: [], refusal: null, tested: null }] })]));
  const begun = route("post", "/api/oauth-attempts", { status: 201, json: anAttempt() });
  const { user } = await opened();
  await user.keyboard("gitlab{Enter}");
  expect(await screen.findByLabelText("API key")).toBeTruthy();
  await user.click(screen.getByRole("radio", { name: /GitLab OAuth.*not here/ }));
  expect(screen.getByText("This way doesn’t work here")).toBeTruthy();
  expect(screen.getByText(refused.refusal)).toBeTruthy();
  // Nothing is asked that leads nowhere.
  expect(screen.queryByRole("button", { name: "Sign in" })).toBeNull();
  expect(screen.queryByLabelText("GitLab instance URL")).toBeNull();
  await user.click(screen.getByRole("radio", { name: /Access token/ }));
  expect(screen.getByLabelText("API key")).toBeTruthy();
  expect(begun).toHaveLength(0);
});

describe("an_address_that_is_the_provider_s_own", () => {
  const gitlab = aProvider({ id: "gitlab", name: "GitLab", default_base_url: "https://gitlab.com", methods: [GITLAB_METHOD] });

  it("stands_there_from_the_start_may_be_emptied_and_is_given", async () => {
    route("get", "/api/providers", page([gitlab]));
    const begun = route("post", "/api/oauth-attempts", problem(409, "login_busy", "Somebody else signs in."));
    const { user } = await opened();
    await user.keyboard("gitlab{Enter}");
    const field = await screen.findByLabelText("GitLab instance URL");
    expect(field).toHaveProperty("value", "https://gitlab.com");
    expect(field).toHaveProperty("required", false);
    await user.clear(field);
    await user.click(screen.getByRole("button", { name: "Sign in" }));
    expect(await screen.findByText(/Somebody else signs in\./)).toBeTruthy();
    await user.type(field, "https://git.acme.test{Enter}");
    await waitFor(() => expect(begun.map((each) => each.body.inputs)).toEqual([{ instanceUrl: "https://gitlab.com" }, { instanceUrl: "https://git.acme.test" }]));
  });

  it("is_not_guessed_for_a_sign_in_that_is_done_again", async () => {
    route("get", "/api/providers", page([gitlab]));
    show(<p>page</p>);
    await screen.findByText("page");
    openDialog({ kind: "connect-provider", providerId: "gitlab", renewing: aConnection({ provider_id: "gitlab", auth_type: "oauth" }) });
    const field = await screen.findByLabelText("GitLab instance URL");
    expect(field).toHaveProperty("value", "");
    expect(field).toHaveProperty("required", true);
  });

  it("is_told_apart_from_an_example", () => {
    const prompt = { ...GITLAB_METHOD.prompts[0]!, placeholder: "e.g. my-gateway" };
    expect(defaultOf(prompt, "https://gitlab.com")).toBe("");
    expect(defaultOf({ ...prompt, placeholder: null }, null)).toBe("");
  });
});

it("a_device_code_is_large_and_closing_gives_the_sign_in_up", async () => {
  route("get", "/api/providers", page([aProvider({ id: "gitlab", name: "GitLab", methods: [{ ...GITLAB_METHOD, prompts: [] }] })]));
  route("post", "/api/oauth-attempts", { status: 201, json: anAttempt({ kind: "device", code: "AB12-CD34", url: "https://github.com/login/device", address: null }) });
  const given = route("delete", "/api/oauth-attempts/:id", { status: 204 });
  const { user } = await opened();
  await user.keyboard("gitlab{Enter}");
  await user.click(await screen.findByRole("button", { name: "Sign in" }));
  expect((await screen.findByText("AB12-CD34")).className).toContain("text-2xl");
  expect(screen.getByRole("button", { name: "Copy the code" })).toBeTruthy();
  expect(await screen.findByRole("img", { name: /read by a phone/ })).toBeTruthy();
  await user.keyboard("{Escape}");
  await waitFor(() => expect(given).toHaveLength(1));
});

it("a_sign_in_that_failed_says_why_and_is_begun_again", async () => {
  route("get", "/api/providers", page([aProvider({ id: "gitlab", name: "GitLab", methods: [{ ...GITLAB_METHOD, prompts: [] }] })]));
  route("post", "/api/oauth-attempts", { status: 201, json: anAttempt({ state: "failed", reason: "GitLab did not finish the sign-in." }) });
  const { user } = await opened();
  await user.keyboard("gitlab{Enter}");
  await user.click(await screen.findByRole("button", { name: "Sign in" }));
  expect(await screen.findByText("GitLab did not finish the sign-in.")).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Begin again" }));
  expect(await screen.findByRole("button", { name: "Sign in" })).toBeTruthy();
});

describe("a_key_that_is_pasted_first", () => {
  const KEY = "sk-ant-api03-abcDEF0123456789abcDEF0123456789";

  it("leads_to_its_provider_and_never_stands_in_the_search", async () => {
    const asked = route("post", "/api/connections", { status: 201, json: aConnection({ is_default: false }) });
    const { user, container } = await opened();
    await user.paste(` "${KEY}"\n`);
    const field = await screen.findByLabelText("API key");
    expect(field).toHaveProperty("type", "password");
    expect(field).toHaveProperty("value", KEY);
    expect(container.ownerDocument.location.href).not.toContain("sk-ant");
    await user.click(screen.getByRole("button", { name: "Check and connect" }));
    expect(await screen.findByText("Works")).toBeTruthy();
    expect(asked[0]?.body).toEqual({ provider_id: "anthropic", auth_type: "api", key: KEY });
  });

  it("is_offered_to_those_whose_keys_look_so_and_forgotten_on_the_way_back", async () => {
    route("get", "/api/providers", page([...PROVIDERS, aProvider({ id: "openai", name: "OpenAI" }), aProvider({ id: "deepseek", name: "DeepSeek", popular: false })]));
    const { user } = await opened();
    await user.paste("sk-abcDEF0123456789abcDEF0123456789");
    const likely = await screen.findByRole("group", { name: "Your key looks like one of these" });
    expect(within(likely).getAllByRole("option").map((option) => option.textContent)).toEqual([expect.stringContaining("OpenAI"), expect.stringContaining("DeepSeek")]);
    expect(screen.getByRole("combobox")).toHaveProperty("value", "");
    expect(document.body.textContent).not.toContain("abcDEF");
    await user.click(within(likely).getByRole("option", { name: /DeepSeek/ }));
    expect(await screen.findByLabelText("API key")).toHaveProperty("value", "sk-abcDEF0123456789abcDEF0123456789");
    await user.click(screen.getByRole("button", { name: "Back" }));
    await screen.findByRole("combobox");
    await user.keyboard("anth{Enter}");
    expect(await screen.findByLabelText("API key")).toHaveProperty("value", "");
  });

  it("of_no_known_shape_asks_whose_it_is", async () => {
    const { user } = await opened();
    await user.paste("0123456789abcdef0123456789abcdef");
    expect(await screen.findByRole("group", { name: "Your key is kept. Which provider is it for?" })).toBeTruthy();
    await user.keyboard("zed{Enter}");
    expect(await screen.findByLabelText("API key")).toHaveProperty("value", "0123456789abcdef0123456789abcdef");
  });

  it("leaves_a_pasted_name_in_the_search", async () => {
    const { user } = await opened();
    await user.paste("zed");
    expect(screen.getByRole("combobox")).toHaveProperty("value", "zed");
  });
});
