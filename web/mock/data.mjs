// What the pretend server knows at the start, one world per scenario. For development and pictures only.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
let ids = 0;

export const id = (prefix) => `${prefix}_${(++ids).toString(36).padStart(8, "0")}`;
export const iso = (ago = 0) => new Date(Date.now() - ago).toISOString();

const API_KEY = { index: 0, kind: "api", label: "API key", prompts: [], refusal: null };
const DIRECT = (name) => ({ mode: "direct", reason: `Delivered directly: this project’s agent can read this ${name} key.` });

const POPULAR = [
  ["anthropic", "Anthropic", "https://console.anthropic.com/settings/keys", "https://api.anthropic.com/v1"],
  ["openai", "OpenAI", "https://platform.openai.com/api-keys", "https://api.openai.com/v1"],
  ["google", "Google", "https://aistudio.google.com/apikey", "https://generativelanguage.googleapis.com/v1beta"],
  ["openrouter", "OpenRouter", "https://openrouter.ai/settings/keys", "https://openrouter.ai/api/v1"],
  ["ollama", "Ollama", null, null],
];
const OTHERS =
  "302.AI,Abacus,AIHubMix,Alibaba,Amazon Bedrock,Azure,Baseten,Cerebras,Chutes,Cloudflare Workers AI,Cohere,Cortecs,DeepInfra,DeepSeek,Fastrouter,Fireworks AI,Friendli,GitHub Copilot,GitHub Models,GitLab Duo,Groq,Hugging Face,Inception,Inference,IO.NET,Kimi For Coding,Llama,LM Studio,LucidQuery AI,Minimax,Mistral,ModelScope,Moonshot AI,Morph,Nebius Token Factory,Nvidia,OVHcloud AI Endpoints,OpenCode Go,OpenCode Zen,Perplexity,Poe,Requesty,SAP AI Core,Scaleway,STACKIT,Submodel,Synthetic,Together AI,Upstage,v0,Venice AI,Vercel AI Gateway,Vertex,Vultr,Weights & Biases,xAI,Xiaomi,Z.AI,ZenMux".split(
    ",",
  );
const slug = (name) => name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "");

function provider(providerId, name, popular, keyUrl, baseUrl) {
  return {
    id: providerId,
    name,
    popular,
    methods: [API_KEY],
    connectable: true,
    refusal: null,
    delivery: DIRECT(name),
    default_base_url: baseUrl,
    base_url_required: providerId === "ollama" || providerId === "lm-studio",
    key_url: keyUrl,
    credit_url: keyUrl === null ? null : new URL("/billing", keyUrl).href,
    model_count: 14,
    connected: false,
  };
}

export function providers() {
  const list = [
    ...POPULAR.map(([providerId, name, keyUrl, baseUrl]) => provider(providerId, name, true, keyUrl, baseUrl)),
    ...OTHERS.map((name) => provider(slug(name), name, false, null, `https://api.${slug(name)}.example/v1`)),
  ];
  const refuse = (providerId, methods, refusal) => Object.assign(list.find((each) => each.id === providerId), { connectable: false, methods, refusal });
  refuse("github-copilot", [{ index: 0, kind: "oauth", label: "Sign-in", prompts: [], refusal: "Not in this preview." }], "GitHub Copilot has no API keys, only a sign-in, and this version of doce connects by API key.");
  refuse("gitlab-duo", [API_KEY], "GitLab Duo’s SDK isn’t part of OpenCode: it would be third-party code inside the agent’s server.");
  Object.assign(list.find((each) => each.id === "azure"), {
    methods: [
      {
        index: 0,
        refusal: null,
        kind: "api",
        label: "API key",
        prompts: [
          { kind: "select", key: "kind", message: "Deployment", placeholder: null, when: null, options: [{ value: "resource", label: "A resource of mine", hint: "The usual case." }, { value: "gateway", label: "A company gateway", hint: "Ask who runs it for the name." }] },
          { kind: "text", key: "resourceName", message: "Resource name", placeholder: "my-models", options: [], when: { key: "kind", op: "eq", value: "resource" } },
        ],
      },
    ],
  });
  return list;
}

const model = (modelId, name, context, costs, extra = {}) => ({
  id: modelId,
  name,
  context,
  output: 64_000,
  cost_input: costs?.[0] ?? null,
  cost_output: costs?.[1] ?? null,
  image_input: true,
  tool_call: true,
  reasoning: true,
  recommended: false,
  ...extra,
});

export const MODELS = {
  anthropic: [
    model("claude-sonnet-4-6", "Claude Sonnet 4.6", 1_000_000, [3, 15], { recommended: true }),
    model("claude-opus-4-7", "Claude Opus 4.7", 1_000_000, [5, 25]),
    model("claude-haiku-4-5", "Claude Haiku 4.5", 200_000, [1, 5]),
  ],
  openai: [model("gpt-5.4", "GPT-5.4", 400_000, [1.25, 10], { recommended: true }), model("gpt-5.4-mini", "GPT-5.4 mini", 400_000, [0.25, 2]), model("gpt-image-2", "GPT Image 2", null, null, { tool_call: false })],
  ollama: [model("qwen3-coder:30b", "Qwen3 Coder 30B", 262_144, [0, 0], { recommended: true })],
  groq: [model("kimi-k2", "Kimi K2", 131_072, [1, 3], { recommended: true })],
};

const STEPS = [
  ["prepare_workspace", "Preparing the workspace"],
  ["start_instance", "Starting the agent"],
  ["wait_healthy", "Waiting until it answers"],
  ["deliver_credentials", "Delivering your keys"],
  ["create_session", "Opening a session"],
  ["send_prompt", "Sending your prompt"],
];

/** A job whose first `done` steps succeeded; the next one is in `state`. */
export function launchJob(projectId, done, state, error = null, detail = null) {
  const start = Date.now() - 9_000;
  return {
    id: id("job"),
    kind: "launch_project",
    project_id: projectId,
    state: state === "failed" ? "failed" : done === STEPS.length ? "succeeded" : "running",
    direction: "forward",
    steps: STEPS.map(([name, label], index) => ({
      name,
      label,
      state: index < done ? "succeeded" : index === done ? state : "pending",
      attempts: index < done ? 1 : index === done ? (state === "failed" ? 3 : 1) : 0,
      started_at: index <= done ? new Date(start + index * 1400).toISOString() : null,
      ended_at: index < done || (index === done && state === "failed") ? new Date(start + index * 1400 + 640 + index * 210).toISOString() : null,
      detail: index === done ? detail : null,
    })),
    error,
    created_at: new Date(start - 100).toISOString(),
    started_at: new Date(start).toISOString(),
    finished_at: state === "failed" ? iso() : null,
    next_attempt_at: null,
    waits_for: null,
  };
}

export function project(name, more = {}) {
  const projectId = more.id ?? id("prj");
  return {
    name,
    slug: `${slug(name)}-${projectId.slice(-4)}`,
    state: "running",
    desired: "running",
    model: { provider_id: "anthropic", model_id: "claude-sonnet-4-6" },
    created_at: iso(3 * DAY),
    updated_at: iso(2 * MINUTE),
    last_active_at: iso(2 * MINUTE),
    job: null,
    instance: { id: id("ins"), observed: "healthy", started_at: iso(HOUR) },
    session: { kind: "idle", attempt: null, message: null, next_at: null },
    preview: { state: "ready", reason: null },
    ...more,
    id: projectId,
  };
}

const stopped = (ago) => ({ state: "stopped", desired: "stopped", instance: null, session: { kind: "none", attempt: null, message: null, next_at: null }, preview: { state: "off", reason: null }, last_active_at: iso(ago), updated_at: iso(ago) });

export function connection(providerId, providerName, label, more = {}) {
  return {
    id: id("con"),
    provider_id: providerId,
    provider_name: providerName,
    label,
    expires_at: null,
    key_since: iso(30 * DAY),
    max_age_days: null,
    replace_by: null,
    renews: false,
    auth_type: "api",
    status: "connected",
    error_message: null,
    verification: { outcome: "valid", at: iso(2 * HOUR), detail: "The key works: its models were listed." },
    base_url: null,
    is_default: false,
    fingerprint: "b3:9f1c2a",
    last_four: "k7Qx",
    version: 1,
    delivery: DIRECT(providerName),
    created_at: iso(9 * DAY),
    updated_at: iso(2 * HOUR),
    last_used_at: iso(4 * MINUTE),
    project_count: 0,
    deliveries: [],
    ...more,
  };
}

const part = (kind, text) => ({ id: id("prt"), kind, text, tool: null });
const tool = (name, input, output, more = {}) => ({
  id: id("prt"),
  kind: "tool",
  text: null,
  tool: { name, status: "completed", title: null, input, output, error: null, started_at: iso(60_000), ended_at: iso(58_600), ...more },
});
const message = (role, ago, parts, more = {}) => ({
  id: id("msg"),
  role,
  created_at: iso(ago),
  completed_at: role === "assistant" ? iso(ago - 20_000) : null,
  model: role === "assistant" ? { provider_id: "anthropic", model_id: "claude-sonnet-4-6" } : null,
  connection_id: null,
  state: role === "assistant" ? "complete" : "sent",
  error: null,
  parts,
  ...more,
});

export const HOURS = `import { useState } from "react";

type Day = { name: string; open: string | null; close: string | null };

const WEEK: Day[] = [
  { name: "Monday", open: null, close: null },
  { name: "Tuesday", open: "7:00", close: "18:00" },
  { name: "Wednesday", open: "7:00", close: "18:00" },
];

// The day is picked by the visitor's clock.
export function Hours() {
  const [today] = useState(() => new Date().getDay());
  return (
    <ul className="divide-y">
      {WEEK.map((day, index) => (
        <li key={day.name} aria-current={index === today}>
          {day.name} {day.open === null ? "closed" : \`\${day.open} to \${day.close}\`}
        </li>
      ))}
    </ul>
  );
}
`;

const TODOS = (done) => ["Layout with a header and three sections", "Opening hours that know what day it is", "Booking form with a confirmation", "Check it on a phone"].map((content, index) => ({ content, status: index < done ? "completed" : index === done ? "in_progress" : "pending", priority: "medium" }));

export function bakeryTalk() {
  return [
    message("user", 12 * MINUTE, [part("text", "A booking page for a small bakery, with opening hours and a form for ordering a cake. Warm, a bit old-fashioned, easy on a phone.")]),
    message("assistant", 11.8 * MINUTE, [
      part("reasoning", "The person wants a booking page. The template has Vite, React and Tailwind, so I start with the layout, then the opening hours and the form.\n\nKeep the palette warm: cream, brown, one strong red."),
      part("text", "I’ll start with the layout, then the opening hours and the order form."),
      tool("todowrite", { todos: TODOS(2) }, null),
      tool("read", { filePath: "src/App.tsx" }, 'import "./index.css";\n\nexport default function App() {\n  return <main />;\n}\n'),
      tool("write", { filePath: "src/Hours.tsx", content: HOURS }, "Wrote file successfully."),
      tool("edit", { filePath: "src/App.tsx", oldString: 'import "./index.css";\n\nexport default function App() {\n  return <main />;\n}\n', newString: 'import "./index.css";\nimport { Hours } from "./Hours";\n\nexport default function App() {\n  return (\n    <main className="mx-auto max-w-2xl p-6">\n      <Hours />\n    </main>\n  );\n}\n' }, "Edit applied."),
      tool("bash", { command: "npm run build", description: "Build the app" }, "> bakery@0.0.0 build\n> vite build\n\n✓ 41 modules transformed.\ndist/index.html   0.46 kB │ gzip: 0.30 kB\n✓ built in 1.2s", { started_at: iso(60_000), ended_at: iso(52_000) }),
    ]),
    message("assistant", 11 * MINUTE, [
      part(
        "text",
        "The page is there. What it has:\n\n- **Opening hours** that mark today, and say *closed* on Mondays\n- **Cake order form** with a date that can’t be in the past\n- A `Hours` component of its own, in `src/Hours.tsx`\n\n| Section | File | State |\n| --- | --- | --- |\n| Header | `src/App.tsx` | done |\n| Hours | `src/Hours.tsx` | done |\n| Order form | `src/Order.tsx` | done |\n\nThe times are in one place:\n\n```tsx\nconst WEEK: Day[] = [\n  { name: \"Monday\", open: null, close: null },\n  { name: \"Tuesday\", open: \"7:00\", close: \"18:00\" },\n];\n```\n\nSee the [React docs](https://react.dev) for how the state works. ![a cake](https://example.com/cake.png)",
      ),
    ]),
    message("user", 5 * MINUTE, [part("text", "Nice. Make the buttons larger on phones, and add a note that we take orders two days ahead.")]),
    message("assistant", 4.8 * MINUTE, [
      tool("grep", { pattern: "<button", include: "*.tsx" }, "src/Order.tsx:31"),
      tool("edit", { filePath: "src/Order.tsx", oldString: '<button className="px-3 py-1">Order</button>', newString: '<button className="px-5 py-3 text-lg sm:px-3 sm:py-1.5 sm:text-base">Order</button>\n<p className="text-sm text-stone-500">Please order two days ahead.</p>' }, "Edit applied."),
      tool("bash", { command: "npx tsc --noEmit" }, null, { status: "error", error: "src/Order.tsx(12,9): error TS6133: 'today' is declared but its value is never read." }),
      tool("edit", { filePath: "src/Order.tsx", oldString: "  const today = new Date();\n", newString: "" }, "Edit applied."),
      part("text", "Done: the button is 48 px high on phones, and the note stands under it. I also removed a variable that nothing used."),
    ]),
  ];
}

export function interruptedTalk() {
  return [
    message("user", 40 * MINUTE, [part("text", "A recipe box: I paste a recipe, it splits ingredients and steps, and I can scale the portions.")]),
    message("assistant", 39 * MINUTE, [part("text", "I’ll begin with the parser, because everything else depends on"), tool("write", { filePath: "src/parse.ts", content: "export function parse(text: string) {\n" }, null, { status: "running", ended_at: null })], {
      state: "interrupted",
      completed_at: null,
    }),
  ];
}

export function failedTalk() {
  return [
    message("user", 3 * MINUTE, [part("text", "A dashboard of my running shoes: kilometres per pair, and a warning when one is worn out.")]),
    message("assistant", 2.8 * MINUTE, [part("text", "Let me look at the workspace first."), tool("list", { path: "." }, "src/\npackage.json\nindex.html")], {
      state: "failed",
      error: { code: "no_credit", message: "Anthropic says there is no credit left (402). Top it up and continue, or choose another model.", until: null, action: { kind: "top_up", label: "Top up", connection_id: null } },
    }),
  ];
}

export const ANSWER = [
  ["reasoning", "The person wants a change. I look at what is there before I touch anything."],
  ["text", "I’ll look at what is there, then make the change.\n\n"],
  ["tool", "read", { filePath: "src/App.tsx" }, "export default function App() {}\n"],
  ["tool", "write", { filePath: "src/Board.tsx", content: "export function Board() {\n  const [cards, setCards] = useState<Card[]>([]);\n  return <div className=\"grid grid-cols-3 gap-4\">{/* … */}</div>;\n}\n" }, "Wrote file successfully."],
  ["tool", "bash", { command: "npm run build" }, "✓ built in 1.1s"],
  [
    "text",
    "Done. The board has three columns, **To do**, **Doing** and **Done**:\n\n1. Cards can be added with the field on top of each column.\n2. They move by dragging, and by the arrow keys.\n3. Everything is kept in `localStorage`, so a reload loses nothing.\n\n```ts\nfunction move(card: Card, to: Column) {\n  // A card belongs to one column only.\n  return { ...card, column: to };\n}\n```\n\nTell me if the columns should be renamed.",
  ],
];

/** Makes the world of a scenario. */
export function world(scenario) {
  const base = {
    scenario,
    setup_required: scenario === "setup",
    signedIn: scenario !== "setup" && scenario !== "signed-out",
    user: { id: "usr_1", username: "ana", role: "admin", created_at: iso(9 * DAY) },
    system: {
      version: "0.1.0",
      opencode: { state: "ready", version: "1.18.33", detail: null, downloaded: null, total: null },
      sandbox: { state: "active", detail: "bubblewrap 0.8.0, with user namespaces." },
      unsandboxed_warning: false,
      encrypted: true,
      preview: { mode: "port" },
      data_dir: "/home/ana/.local/share/doce",
    },
    providers: providers(),
    connections: [],
    projects: [],
    messages: new Map(),
    imports: { directories: ["/srv/doce.dev"], opencode_file: "/home/ana/.local/share/opencode/auth.json", run: null },
    masterKey: { id: "0a1b2c3d4e5f6071", files: ["/home/ana/.local/share/doce/master.key"], since: iso(9 * DAY), values: 12, copied_at: null, old_files: [], rotation: { state: "idle", done: 0, total: 0, reason: null } },
    signIns: [
      { id: "sin_1", created_at: iso(2 * DAY), last_seen_at: iso(), address: "127.0.0.1", user_agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36", current: true },
      { id: "sin_2", created_at: iso(6 * DAY), last_seen_at: iso(5 * HOUR), address: "192.168.1.23", user_agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Mobile/15E148 Safari/604.1", current: false },
    ],
  };
  if (scenario === "banners") {
    base.system.encrypted = false;
    base.system.unsandboxed_warning = true;
    base.system.sandbox = { state: "overridden", detail: "DOCE_UNSANDBOXED is set." };
  }
  if (scenario === "full" || scenario === "banners") {
    const bakery = project("Bakery", { id: "prj_bakery" });
    const kanban = project("Kanban board", { id: "prj_kanban", last_active_at: iso(5_000) });
    const notebook = project("Markdown notebook", { id: "prj_notebook", ...stopped(2 * DAY) });
    const invoices = project("Invoices", { id: "prj_invoices", state: "failed", instance: null, session: { kind: "none", attempt: null, message: null, next_at: null }, preview: { state: "off", reason: null }, last_active_at: iso(3 * HOUR) });
    const habits = project("Habit tracker", { id: "prj_habits", state: "launching", instance: { id: "ins_h", observed: "starting", started_at: iso(4000) }, session: { kind: "none", attempt: null, message: null, next_at: null }, preview: { state: "off", reason: null }, last_active_at: iso(8_000) });
    const weather = project("Weather for sailors", { id: "prj_weather", session: { kind: "retry", attempt: 2, message: "Anthropic is overloaded (529)", next_at: new Date(Date.now() + 3 * MINUTE).toISOString() }, last_active_at: iso(1 * MINUTE) });
    const recipes = project("Recipe box", { id: "prj_recipes", preview: { state: "failed", reason: "vite ended with code 1: failed to resolve import \"./parse\" from src/App.tsx" }, last_active_at: iso(40 * MINUTE) });
    const shoes = project("Running shoes", { id: "prj_shoes", preview: { state: "installing", reason: null }, last_active_at: iso(3 * MINUTE) });
    const anthropic = connection("anthropic", "Anthropic", "personal", { is_default: true });
    const groq = connection("groq", "Groq", "groq", { status: "error", error_message: "Groq rejected this key (401). Copy it again, or create a new one.", verification: { outcome: "invalid", at: iso(20 * MINUTE), detail: "Groq answered 401." }, last_four: "9xTe", last_used_at: iso(6 * DAY) });
    const ollama = connection("ollama", "Ollama", "workshop", { base_url: "http://192.168.1.40:11434/v1", verification: { outcome: "unreachable", at: iso(1 * DAY), detail: "192.168.1.40 didn’t answer in 8 s." }, last_four: "––––", last_used_at: null });
    const openai = connection("openai", "OpenAI", "work", { verification: { outcome: "limited", at: iso(3 * HOUR), detail: "The key works, but may not list models." }, last_four: "Zw31", last_used_at: iso(2 * DAY) });
    invoices.job = launchJob(invoices.id, 3, "failed", { code: "key_rejected", message: "Anthropic rejected the key (401): replace it, and the launch goes on from here.", action: { kind: "replace_key", label: "Replace the key", connection_id: anthropic.id } }, "PUT /auth/anthropic read back as unknown");
    habits.job = launchJob(habits.id, 2, "running");
    const held = (each, status, reason = null) => ({ project_id: each.id, project_name: each.name, instance_id: "ins_1", version: 1, mode: "direct", status, reason, at: iso(2 * MINUTE) });
    Object.assign(anthropic, { project_count: 4, deliveries: [held(bakery, "delivered"), held(kanban, "stale", "An answer is running"), held(invoices, "failed", "The agent didn’t take it")] });
    Object.assign(openai, { project_count: 1, deliveries: [held(shoes, "pending")] });
    base.connections = [anthropic, openai, groq, ollama];
    base.projects = [kanban, bakery, habits, weather, shoes, recipes, invoices, notebook];
    base.messages.set(bakery.id, bakeryTalk());
    base.messages.set(kanban.id, [message("user", 20_000, [part("text", "A kanban board with three columns. Cards can be added, edited, dragged between columns and deleted, and everything stays after a reload.")])]);
    base.messages.set(notebook.id, bakeryTalk());
    base.messages.set(invoices.id, [message("user", 3 * HOUR, [part("text", "Invoices for my studio: clients, line items, a PDF to send.")], { state: "waiting" })]);
    base.messages.set(habits.id, [message("user", 8_000, [part("text", "A habit tracker with a year of small squares, and a streak that is kind about one missed day.")], { state: "waiting" })]);
    base.messages.set(weather.id, [message("user", 2 * MINUTE, [part("text", "Wind, waves and tides for my bay, for the next two days.")])]);
    base.messages.set(recipes.id, interruptedTalk());
    base.messages.set(shoes.id, failedTalk());
    for (const each of base.providers) each.connected = base.connections.some((known) => known.provider_id === each.id);
  }
  return base;
}

export const FILES = {
  "": [
    ["src", "directory"],
    ["public", "directory"],
    ["node_modules", "directory"],
    ["AGENTS.md", "file"],
    ["index.html", "file"],
    ["package.json", "file"],
    ["vite.config.ts", "file"],
    ["current", "link"],
  ],
  src: [
    ["App.tsx", "file"],
    ["Hours.tsx", "file"],
    ["Order.tsx", "file"],
    ["index.css", "file"],
    ["main.tsx", "file"],
  ],
  public: [["logo.png", "file"]],
  node_modules: [],
};
