// Nouns with everything filled in; a test names only what it is about.
import type { AuditEvent, AuditNoun, Connection, Job, Message, Model, Part, Project, Provider, Tool } from "../src/api/types";

const AT = "2026-01-02T10:00:00.000Z";

export function aProject(more: Partial<Project> = {}): Project {
  return {
    id: "prj_1",
    name: "Bakery",
    slug: "bakery",
    state: "running",
    desired: "running",
    model: { provider_id: "anthropic", model_id: "sonnet" },
    created_at: AT,
    updated_at: AT,
    last_active_at: AT,
    job: null,
    instance: { id: "ins_1", observed: "healthy", started_at: AT },
    session: { kind: "idle", attempt: null, message: null, next_at: null },
    preview: { state: "off", reason: null },
    ...more,
  };
}

export function aJob(more: Partial<Job> = {}): Job {
  const step = (name: string, state: Job["steps"][number]["state"]) => ({ name, label: name, state, attempts: 1, started_at: AT, ended_at: state === "succeeded" ? AT : null, detail: null });
  return {
    id: "job_1",
    kind: "launch_project",
    project_id: "prj_1",
    state: "running",
    direction: "forward",
    steps: [step("first", "succeeded"), step("second", "running"), { ...step("third", "pending"), started_at: null }],
    error: null,
    created_at: AT,
    started_at: AT,
    finished_at: null,
    next_attempt_at: null,
    waits_for: null,
    ...more,
  };
}

export function aConnection(more: Partial<Connection> = {}): Connection {
  return {
    id: "con_1",
    provider_id: "anthropic",
    provider_name: "Anthropic",
    label: "personal",
    auth_type: "api",
    status: "connected",
    error_message: null,
    verification: { outcome: "valid", at: AT, detail: "Listed its models." },
    base_url: null,
    is_default: true,
    fingerprint: "abc",
    last_four: "k7Qx",
    version: 1,
    delivery: { mode: "direct", reason: "This project’s agent can read this key." },
    created_at: AT,
    updated_at: AT,
    expires_at: null,
    key_since: AT,
    max_age_days: null,
    replace_by: null,
    renews: false,
    last_used_at: null,
    project_count: 0,
    deliveries: [],
    ...more,
  };
}

export function aProvider(more: Partial<Provider> = {}): Provider {
  return {
    id: "anthropic",
    name: "Anthropic",
    popular: true,
    methods: [{ index: 0, refusal: null, tested: null, kind: "api", label: "API key", prompts: [] }],
    connectable: true,
    refusal: null,
    delivery: { mode: "direct", reason: "This project’s agent can read this key." },
    default_base_url: "https://api.anthropic.com/v1",
    base_url_required: false,
    key_url: "https://console.anthropic.com/settings/keys",
    credit_url: "https://console.anthropic.com/settings/billing",
    model_count: 2,
    connected: false,
    ...more,
  };
}

export function aModel(more: Partial<Model> = {}): Model {
  return { id: "sonnet", name: "Sonnet", context: 200_000, output: 8_000, cost_input: 3, cost_output: 15, image_input: true, tool_call: true, reasoning: true, recommended: true, ...more };
}

export function aMessage(more: Partial<Message> = {}): Message {
  return { id: "msg_1", role: "assistant", created_at: AT, completed_at: null, model: null, connection_id: null, state: "streaming", error: null, parts: [], ...more };
}

export function aText(text: string, id = "prt_1"): Part {
  return { id, kind: "text", text, tool: null };
}

export function aTool(more: Partial<Tool> = {}): Tool {
  return { name: "bash", status: "completed", title: null, input: {}, output: null, error: null, started_at: null, ended_at: null, ...more };
}

export function aNoun(more: Partial<AuditNoun> = {}): AuditNoun {
  return { kind: "connection", id: "con_1", name: "Anthropic (personal)", open: true, ...more };
}

export function anEvent(more: Partial<AuditEvent> = {}): AuditEvent {
  const ana = aNoun({ kind: "user", id: "usr_1", name: "ana", open: false });
  return { seq: 1, at: AT, actor: ana, action: "connect", noun: aNoun(), project: null, owner: ana, outcome: "ok", fingerprint: "abc", detail: null, request_id: "req_1", address: "127.0.0.1", hash: "0".repeat(64), ...more };
}
