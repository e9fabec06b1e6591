/**
 * The HTTP API's types in the shape openapi-typescript gives them. `npm run generate` writes this file.
 */
type Answer<T> = { headers: { [name: string]: unknown }; content: { "application/json": T } };
type Empty = { headers: { [name: string]: unknown }; content?: never };
type Refused = { headers: { [name: string]: unknown }; content: { "application/problem+json": components["schemas"]["Problem"] } };
type Body<T> = { content: { "application/json": T } };
type None = { query?: never; header?: never; path?: never; cookie?: never };
type ById = { query?: never; header?: never; path: { id: string }; cookie?: never };
type Query<Q> = { query?: Q; header?: never; path?: never; cookie?: never };
type ByIdQuery<Q> = { query?: Q; header?: never; path: { id: string }; cookie?: never };
type Op<Params, Responses, Request = never> = {
  parameters: Params;
  responses: Responses & { default: Refused };
} & ([Request] extends [never] ? { requestBody?: never } : { requestBody: Request });
type S = components["schemas"];
type List<T> = { items: T[]; next: string | null };
type Unused = { put?: never; options?: never; head?: never; trace?: never; parameters: None };
type G<T> = { get: T; post?: never; delete?: never; patch?: never } & Unused;
type P<T> = { get?: never; post: T; delete?: never; patch?: never } & Unused;
type ModelRef = S["ModelRef"];

export interface paths {
  "/api/health": G<Op<None, { 200: Answer<S["Health"]> }>>;
  "/api/system": G<Op<None, { 200: Answer<S["System"]> }>>;
  "/api/setup": P<Op<None, { 201: Answer<S["User"]> }, Body<{ username: string; password: string; setup_code?: string }>>>;
  "/api/sign-in": P<Op<None, { 200: Answer<S["User"]> }, Body<{ username: string; password: string }>>>;
  "/api/sign-out": P<Op<None, { 204: Empty }>>;
  "/api/me": { get: Op<None, { 200: Answer<S["User"]> }>; patch: Op<None, { 200: Answer<S["User"]> }, Body<{ current_password: string; new_password: string }>>; post?: never; delete?: never } & Unused;
  "/api/sign-ins": G<Op<None, { 200: Answer<List<S["SignIn"]>> }>>;
  "/api/sign-ins/{id}": { delete: Op<ById, { 204: Empty }>; get?: never; post?: never; patch?: never } & Unused;
  "/api/providers": G<Op<Query<{ q?: string }>, { 200: Answer<List<S["Provider"]>> }>>;
  "/api/providers/{id}/models": G<Op<ById, { 200: Answer<List<S["Model"]>> }>>;
  "/api/connections": {
    get: Op<None, { 200: Answer<List<S["Connection"]>> }>;
    post: Op<None, { 201: Answer<S["Connection"]> }, Body<{ provider_id: string; auth_type: "api"; key: string; label?: string; base_url?: string; metadata?: { [key: string]: string }; keep_unverified?: boolean }>>;
    delete?: never;
    patch?: never;
  } & Unused;
  "/api/connections/{id}": {
    get: Op<ById, { 200: Answer<S["Connection"]> }>;
    patch: Op<ById, { 200: Answer<S["Connection"]> }, Body<{ label?: string; key?: string; base_url?: string | null; is_default?: boolean; keep_unverified?: boolean }>>;
    delete: Op<ById, { 204: Empty }>;
    post?: never;
  } & Unused;
  "/api/connections/{id}/verify": P<Op<ById, { 200: Answer<S["Connection"]> }>>;
  "/api/projects": {
    get: Op<Query<{ limit?: number; cursor?: string }>, { 200: Answer<List<S["Project"]>> }>;
    post: Op<None, { 202: Answer<{ project: S["Project"]; job: S["Job"] }> }, Body<{ prompt: string; name?: string; model: ModelRef; connections?: { [provider: string]: string } }>>;
    delete?: never;
    patch?: never;
  } & Unused;
  "/api/projects/{id}": {
    get: Op<ById, { 200: Answer<S["Project"]> }>;
    patch: Op<ById, { 200: Answer<S["Project"]> }, Body<{ name?: string; model?: ModelRef }>>;
    delete: Op<ById, { 202: Answer<S["Job"]> }>;
    post?: never;
  } & Unused;
  "/api/projects/{id}/start": P<Op<ById, { 202: Answer<S["Job"]> }>>;
  "/api/projects/{id}/stop": P<Op<ById, { 202: Answer<S["Job"]> }>>;
  "/api/projects/{id}/preview-ticket": P<Op<ById, { 200: Answer<{ url: string; expires_at: string }> }>>;
  "/api/projects/{id}/messages": G<Op<ByIdQuery<{ before?: string; limit?: number }>, { 200: Answer<List<S["Message"]> & { event_id: string | null }> }>>;
  "/api/projects/{id}/prompts": P<Op<ById, { 202: Answer<{ message: S["Message"]; job: S["Job"] }> }, Body<{ text: string; model?: ModelRef }>>>;
  "/api/projects/{id}/continue": P<Op<ById, { 202: Answer<{ message: S["Message"] | null; job: S["Job"] }> }>>;
  "/api/projects/{id}/abort": P<Op<ById, { 202: Answer<S["Project"]> }>>;
  "/api/projects/{id}/files": G<Op<ByIdQuery<{ path?: string }>, { 200: Answer<List<S["FileEntry"]>> }>>;
  "/api/jobs/{id}/cancel": P<Op<ById, { 200: Answer<S["Job"]> }>>;
  "/api/jobs/{id}/retry": P<Op<ById, { 200: Answer<S["Job"]> }>>;
}

export interface components {
  schemas: {
    Problem: { type: string; title: string; status: number; detail: string; code: string; hint: string | null; field: string | null; request_id: string };
    Health: { status: "ok"; version: string; setup_required: boolean; setup_code_required: boolean };
    System: {
      version: string;
      opencode_version: string | null;
      sandbox: { state: "active" | "unavailable" | "overridden"; detail: string };
      unsandboxed_warning: boolean;
      encrypted: boolean;
      preview: { mode: "host" | "port" };
      data_dir: string | null;
    };
    User: { id: string; username: string; role: "admin" | "member"; created_at: string };
    SignIn: { id: string; created_at: string; last_seen_at: string; address: string; user_agent: string; current: boolean };
    ProviderDelivery: { mode: "direct"; reason: string };
    PromptWhen: { key: string; op: "eq" | "neq"; value: string };
    MethodPrompt: {
      kind: "text" | "select";
      key: string;
      message: string;
      placeholder: string | null;
      options: { value: string; label: string; hint: string | null }[];
      when: components["schemas"]["PromptWhen"] | null;
    };
    Method: { kind: "api" | "oauth"; label: string; prompts: components["schemas"]["MethodPrompt"][] };
    Provider: {
      id: string;
      name: string;
      popular: boolean;
      methods: components["schemas"]["Method"][];
      connectable: boolean;
      refusal: string | null;
      delivery: components["schemas"]["ProviderDelivery"];
      default_base_url: string | null;
      base_url_required: boolean;
      key_url: string | null;
      model_count: number;
      connected: boolean;
    };
    Model: {
      id: string;
      name: string;
      context: number | null;
      output: number | null;
      cost_input: number | null;
      cost_output: number | null;
      image_input: boolean;
      tool_call: boolean;
      reasoning: boolean;
      recommended: boolean;
    };
    ModelRef: { provider_id: string; model_id: string };
    Verification: { outcome: "valid" | "limited" | "no_credit" | "invalid" | "unreachable" | "unsupported"; at: string; detail: string };
    Delivery: {
      instance_id: string;
      version: number;
      mode: "direct";
      status: "pending" | "delivered" | "stale" | "revoked" | "failed";
      reason: string | null;
      at: string;
    };
    ConnectionProject: { project_id: string; project_name: string; delivery: components["schemas"]["Delivery"] | null };
    Connection: {
      id: string;
      provider_id: string;
      provider_name: string;
      label: string;
      auth_type: "api";
      status: "connected" | "expired" | "error" | "revoked";
      error_message: string | null;
      verification: components["schemas"]["Verification"] | null;
      base_url: string | null;
      is_default: boolean;
      fingerprint: string;
      last_four: string;
      version: number;
      delivery: components["schemas"]["ProviderDelivery"];
      created_at: string;
      updated_at: string;
      last_used_at: string | null;
      projects: components["schemas"]["ConnectionProject"][];
    };
    FailureAction: {
      kind: "connect_provider" | "replace_key" | "retry" | "continue" | "start" | "switch_model" | "open_logs" | "none";
      label: string;
      connection_id: string | null;
    };
    Failure: { code: string; message: string; action: components["schemas"]["FailureAction"] };
    JobStep: {
      name: string;
      label: string;
      state: "pending" | "running" | "succeeded" | "failed" | "undone" | "skipped";
      attempts: number;
      started_at: string | null;
      ended_at: string | null;
      detail: string | null;
    };
    Job: {
      id: string;
      kind: string;
      project_id: string | null;
      state: "queued" | "running" | "succeeded" | "failed" | "cancelled" | "stuck";
      direction: "forward" | "undo";
      steps: components["schemas"]["JobStep"][];
      error: components["schemas"]["Failure"] | null;
      created_at: string;
      started_at: string | null;
      finished_at: string | null;
      next_attempt_at: string | null;
    };
    Project: {
      id: string;
      name: string;
      slug: string;
      state: "launching" | "running" | "stopping" | "stopped" | "failed" | "deleting";
      desired: "running" | "stopped" | "deleted";
      model: components["schemas"]["ModelRef"];
      created_at: string;
      updated_at: string;
      last_active_at: string;
      job: components["schemas"]["Job"] | null;
      instance: { id: string; observed: "starting" | "healthy" | "unhealthy" | "exited"; started_at: string } | null;
      session: { kind: "none" | "idle" | "busy" | "retry"; attempt: number | null; message: string | null; next_at: string | null };
      preview: { state: "off" | "installing" | "starting" | "ready" | "failed"; reason: string | null };
    };
    Tool: {
      name: string;
      status: "pending" | "running" | "completed" | "error";
      title: string | null;
      input: unknown;
      output: string | null;
      error: string | null;
      started_at: string | null;
      ended_at: string | null;
    };
    Part: { id: string; kind: "text" | "reasoning" | "tool" | "notice"; text: string | null; tool: components["schemas"]["Tool"] | null };
    Message: {
      id: string;
      role: "user" | "assistant";
      created_at: string;
      completed_at: string | null;
      model: components["schemas"]["ModelRef"] | null;
      connection_id: string | null;
      state: "waiting" | "sent" | "streaming" | "complete" | "interrupted" | "failed" | "aborted";
      error: components["schemas"]["Failure"] | null;
      parts: components["schemas"]["Part"][];
    };
    FileEntry: { name: string; path: string; kind: "file" | "directory" | "link" | "other"; size: number | null };
  };
}
