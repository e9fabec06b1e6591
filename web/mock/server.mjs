// A pretend doce for looking at the client before, or without, the real one. Development only: nothing here is shipped.
//   node mock/server.mjs [--port 4321] [--scenario full]
// It serves the built client too, under the real Content-Security-Policy. POST /__mock/scenario {"name"} changes the world.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ANSWER, connection, FILES, HOURS, id, iso, launchJob, MODELS, project, world } from "./data.mjs";

const { values } = parseArgs({ options: { port: { type: "string", default: "4321" }, scenario: { type: "string", default: "full" }, pace: { type: "string", default: "1" } } });
const PORT = Number(values.port);
const PREVIEW_PORT = PORT + 1;
const PACE = Number(values.pace);
const DIST = fileURLToPath(new URL("../dist", import.meta.url));
const BOOT = Math.random().toString(36).slice(2, 8);
const inline = /<script>([\s\S]*?)<\/script>/.exec(await readFile(join(DIST, "index.html"), "utf8").catch(() => ""))?.[1] ?? "";
const CSP = `default-src 'none'; script-src 'self' 'sha256-${createHash("sha256").update(inline).digest("base64")}'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; frame-src http://127.0.0.1:${PREVIEW_PORT} http://localhost:${PREVIEW_PORT}; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`;
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

let state = world(values.scenario);
let n = 0;
const preferences = { preferred: null, favourites: [], recents: [] };
let ring = [];
const clients = new Set();
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms * PACE));

function send(type, data, projectId = null) {
  const event = { id: `${BOOT}-${++n}`, type, data, projectId };
  ring = [...ring.slice(-999), event];
  for (const client of clients) if (projectId === null || client.projects.has(projectId)) write(client.response, event);
}
function write(response, { id: eventId, type, data }) {
  response.write(`id: ${eventId}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
}

let generation = 0;
const find = (projectId) => state.projects.find((each) => each.id === projectId);
function change(projectId, more) {
  const known = find(projectId);
  if (!known) return;
  Object.assign(known, more, { updated_at: iso(), last_active_at: iso() });
  send("project", { project: known });
}
function talk(projectId) {
  if (!state.messages.has(projectId)) state.messages.set(projectId, []);
  return state.messages.get(projectId);
}
const IDLE = { kind: "idle", attempt: null, message: null, next_at: null };

async function answer(projectId) {
  const begun = generation;
  const aborted = () => begun !== generation || find(projectId)?.session.kind !== "busy";
  change(projectId, { session: { ...IDLE, kind: "busy" } });
  await pause(500);
  if (begun !== generation) return;
  const message = { id: id("msg"), role: "assistant", created_at: iso(), completed_at: null, model: find(projectId)?.model ?? null, connection_id: null, state: "streaming", error: null, parts: [] };
  talk(projectId).push(message);
  const tell = () => send("message", { project_id: projectId, message: { ...message, parts: [] } }, projectId);
  tell();
  for (const [kind, ...rest] of ANSWER) {
    if (aborted()) break;
    const part = { id: id("prt"), kind, text: kind === "tool" ? null : "", tool: null };
    message.parts.push(part);
    const tellPart = () => send("part", { project_id: projectId, message_id: message.id, part }, projectId);
    if (kind === "tool") {
      const [name, input, output] = rest;
      part.tool = { name, status: "pending", title: null, input: {}, output: null, error: null, started_at: null, ended_at: null };
      tellPart();
      await pause(300);
      part.tool = { ...part.tool, status: "running", input, started_at: iso() };
      tellPart();
      await pause(name === "bash" ? 1800 : 500);
      part.tool = { ...part.tool, status: "completed", output, ended_at: iso() };
      tellPart();
      if (name === "write") send("files", { project_id: projectId }, projectId);
    } else {
      tellPart();
      for (const word of rest[0].match(/\s*\S+\s*/g) ?? []) {
        if (aborted()) break;
        send("delta", { project_id: projectId, message_id: message.id, part_id: part.id, offset: part.text.length, delta: word }, projectId);
        part.text += word;
        await pause(45);
      }
      tellPart();
    }
  }
  if (begun !== generation) return;
  Object.assign(message, { state: aborted() ? "aborted" : "complete", completed_at: iso() });
  tell();
  change(projectId, { session: IDLE });
}

async function launch(projectId, reply = true) {
  const job = launchJob(projectId, 0, "running");
  const from = Date.now();
  for (let done = 0; done <= 6; done += 1) {
    const at = launchJob(projectId, done, "running");
    for (const [index, step] of at.steps.entries()) {
      step.started_at = index <= done ? new Date(from + index * 900 * PACE).toISOString() : null;
      step.ended_at = index < done ? new Date(from + (index + 1) * 900 * PACE).toISOString() : null;
    }
    const next = { ...at, id: job.id, created_at: job.created_at, started_at: new Date(from).toISOString() };
    const known = find(projectId);
    if (!known || known.state !== "launching") return;
    known.job = done === 6 ? null : next;
    send("job", { job: done === 6 ? { ...next, state: "succeeded" } : next });
    if (done < 6) await pause(900);
  }
  for (const message of talk(projectId)) {
    if (message.state !== "waiting") continue;
    message.state = "sent";
    send("message", { project_id: projectId, message: { ...message, parts: [] } }, projectId);
  }
  change(projectId, { state: "running", instance: { id: id("ins"), observed: "healthy", started_at: iso() }, preview: { state: "installing", reason: null } });
  void (async () => {
    await pause(2500);
    change(projectId, { preview: { state: "starting", reason: null } });
    await pause(1200);
    change(projectId, { preview: { state: "ready", reason: null } });
  })();
  if (reply) await answer(projectId);
}

function problem(status, code, detail, more = {}) {
  return { status, problem: { type: `https://doce.example/errors/${code}`, title: code, status, detail, code, hint: null, field: null, request_id: id("req"), ...more } };
}
const notFound = () => problem(404, "not_found", "There is no such thing.");
const page = (items) => ({ status: 200, body: { items, next: null } });

function checkKey(key, name, keep) {
  if (keep) return { outcome: "invalid", at: iso(), detail: `${name} rejected it (401); kept because you said so.` };
  if (/bad|wrong/.test(key)) return null;
  if (/away/.test(key)) return { outcome: "unreachable", at: iso(), detail: `${name} couldn’t be reached in 8 s.` };
  if (/poor/.test(key)) return { outcome: "no_credit", at: iso(), detail: "The key works, but its account has no credit." };
  return { outcome: "valid", at: iso(), detail: `${name} took the key and listed its models.` };
}
const rejection = (name) => problem(422, "key_rejected", `${name} rejected this key (401).`, { field: "key", hint: "Check that you copied all of it." });

const routes = [
  ["GET", "/api/health", () => ({ status: 200, body: { status: "ok", version: "0.1.0", setup_required: state.setup_required, setup_code_required: true } })],
  [
    "POST",
    "/api/setup",
    ({ body }) => {
      if (body.setup_code !== "1234") return problem(403, "setup_code_wrong", "This isn’t the code that doce printed.");
      if (body.password.length < 8) return problem(422, "invalid", "The password needs at least 8 characters.", { field: "password" });
      state = { ...world("empty"), user: { ...state.user, username: body.username } };
      return { status: 201, body: state.user };
    },
  ],
  [
    "POST",
    "/api/sign-in",
    ({ body }) => {
      if (body.password === "wrong") return problem(401, "sign_in_failed", "The username or the password is wrong.");
      state.signedIn = true;
      return { status: 200, body: state.user };
    },
  ],
  ["POST", "/api/sign-out", () => ((state.signedIn = false), { status: 204 })],
  ["GET", "/api/start", () => ({ status: 200, body: { user: state.user, system: state.system, model_preferences: preferences, connections: state.connections, live_jobs: state.projects.flatMap(({ job }) => (job === null || job.finished_at !== null ? [] : [{ id: job.id, state: job.state }])), event_id: `${BOOT}-${n}` } })],
  ["GET", "/api/me", () => ({ status: 200, body: state.user })],
  ["PATCH", "/api/me", ({ body }) => (body.current_password === "wrong" ? problem(422, "invalid", "This isn’t your password.", { field: "current_password" }) : { status: 200, body: state.user })],
  ["GET", "/api/system", () => ({ status: 200, body: state.system })],
  ["GET", "/api/sign-ins", () => page(state.signIns)],
  ["DELETE", "/api/sign-ins/:id", ({ id: key }) => ((state.signIns = state.signIns.filter((each) => each.id !== key)), { status: 204 })],
  ["GET", "/api/users", () => page([state.user])],
  ["GET", "/api/imports", () => ({ status: 200, body: state.imports })],
  ["POST", "/api/imports/preview", ({ body }) => (body.directory === "/wrong" ? problem(422, "invalid", "doce.dev was not here.", { field: "directory" }) : { status: 200, body: { title: IMPORTED, changes: state.imports.run === null, people: ["berta"], lines: IMPORT_LINES } })],
  ["POST", "/api/imports", () => (void bringOver(), { status: 202, body: state.imports.run })],
  ["GET", "/api/keys", () => ({ status: 200, body: state.masterKey })],
  ["POST", "/api/keys/copy", () => ({ status: 200, body: Object.assign(state.masterKey, { copied_at: iso() }) })],
  ["POST", "/api/keys/rotate", () => (void changeKey(), { status: 202, body: state.masterKey })],
  ["POST", "/api/keys/export", ({ body }) => (body.password === "wrong" ? problem(422, "invalid", "That is not your password.", { field: "password" }) : { status: 200, text: "age-encryption.org/v1\n", type: "application/octet-stream" })],
  [
    "GET",
    "/api/audit",
    ({ query }) => {
      const noun = (kind, key, name, open = false) => ({ kind, id: key, name, open });
      const me = noun("user", state.user.id, state.user.username);
      const base = { at: iso(), actor: me, owner: me, project: null, outcome: "ok", fingerprint: null, detail: null, request_id: "req_1", address: "127.0.0.1", hash: "0".repeat(64) };
      const signedIn = { ...base, seq: 1, action: "sign_in", noun: noun("sign_in", "sin_1", null) };
      const connected = state.connections.map((each, index) => ({ ...base, seq: index + 2, action: "connect", fingerprint: each.fingerprint, noun: noun("connection", each.id, `${each.provider_name} (${each.label})`, true) }));
      return page([...connected.toReversed(), signedIn].filter((each) => [null, each.action].includes(query.get("action")) && [null, each.noun.id].includes(query.get("connection") ?? query.get("noun"))));
    },
  ],
  ["GET", "/api/providers", () => page(state.providers)],
  ["GET", "/api/providers/:id/models", ({ id: key }) => page(MODELS[key] ?? [])],
  ["GET", "/api/models/preferences", () => ({ status: 200, body: preferences })],
  [
    "PATCH",
    "/api/models/preferences",
    ({ body }) => {
      const same = (ref) => ref?.provider_id === body.model.provider_id && ref?.model_id === body.model.model_id;
      if (body.preferred === true) preferences.preferred = body.model;
      if (body.preferred === false && same(preferences.preferred)) preferences.preferred = null;
      if (body.favourite !== undefined) preferences.favourites = [...preferences.favourites.filter((each) => !same(each)), ...(body.favourite ? [body.model] : [])];
      send("model_preferences", { preferences });
      return { status: 200, body: preferences };
    },
  ],
  ["GET", "/api/projects/:id/connections", () => page(state.connections.filter((each) => each.is_default).map((each) => ({ provider_id: each.provider_id, provider_name: each.provider_name, connection_id: each.id, label: each.label, chosen: false, delivery: null })))],
  ["GET", "/api/connections/:id/projects", ({ id: key }) => page((state.connections.find((each) => each.id === key)?.deliveries ?? []).map(({ project_id, project_name }) => ({ project_id, project_name })))],
  ["GET", "/api/connections", () => page(state.connections)],
  [
    "POST",
    "/api/connections",
    async ({ body }) => {
      await pause(700);
      const provider = state.providers.find((each) => each.id === body.provider_id);
      if (!provider) return problem(404, "provider_not_found", "There is no such provider.");
      const verification = checkKey(body.key, provider.name, body.keep_unverified);
      if (verification === null) return rejection(provider.name);
      const first = !state.connections.some((each) => each.provider_id === provider.id);
      const made = connection(provider.id, provider.name, body.label ?? "default", { verification, is_default: first, last_four: body.key.slice(-4), last_used_at: null, base_url: body.base_url ?? null, created_at: iso() });
      state.connections.push(made);
      provider.connected = true;
      send("connection", { connection: made });
      return { status: 201, body: made };
    },
  ],
  [
    "PATCH",
    "/api/connections/:id",
    async ({ id: key, body }) => {
      const known = state.connections.find((each) => each.id === key);
      if (!known) return notFound();
      if (body.key !== undefined) {
        await pause(700);
        const verification = checkKey(body.key, known.provider_name, body.keep_unverified);
        if (verification === null) return rejection(known.provider_name);
        Object.assign(known, { verification, status: "connected", error_message: null, last_four: body.key.slice(-4), version: known.version + 1 });
      }
      if (body.label !== undefined) known.label = body.label;
      if (body.is_default) for (const each of state.connections) if (each.provider_id === known.provider_id) each.is_default = each === known;
      send("connection", { connection: known });
      return { status: 200, body: known };
    },
  ],
  [
    "DELETE",
    "/api/connections/:id",
    ({ id: key }) => {
      state.connections = state.connections.filter((each) => each.id !== key);
      send("connection_deleted", { connection_id: key });
      return { status: 204 };
    },
  ],
  [
    "POST",
    "/api/connections/:id/verify",
    async ({ id: key }) => {
      await pause(900);
      const known = state.connections.find((each) => each.id === key);
      if (!known) return notFound();
      known.verification = { ...(known.verification ?? { outcome: "valid", detail: "" }), at: iso() };
      send("connection", { connection: known });
      return { status: 200, body: known };
    },
  ],
  ["GET", "/api/projects", () => page(state.projects)],
  [
    "POST",
    "/api/projects",
    ({ body }) => {
      if (!body.prompt.trim()) return problem(422, "invalid", "The prompt is empty.", { field: "prompt" });
      const made = project(body.name ?? body.prompt.split(/\s+/).slice(0, 4).join(" "), { state: "launching", model: body.model, created_at: iso(), last_active_at: iso(), instance: null, session: { ...IDLE, kind: "none" }, preview: { state: "off", reason: null } });
      made.job = launchJob(made.id, 0, "running");
      state.projects.unshift(made);
      talk(made.id).push({ id: id("msg"), role: "user", created_at: iso(), completed_at: null, model: body.model, connection_id: null, state: "waiting", error: null, parts: [{ id: id("prt"), kind: "text", text: body.prompt, tool: null }] });
      send("project", { project: made });
      void launch(made.id);
      return { status: 202, body: { project: made, job: made.job } };
    },
  ],
  ["GET", "/api/projects/:id", ({ id: key }) => (find(key) ? { status: 200, body: find(key) } : notFound())],
  ["PATCH", "/api/projects/:id", ({ id: key, body }) => (change(key, body), { status: 200, body: find(key) })],
  [
    "DELETE",
    "/api/projects/:id",
    ({ id: key }) => {
      change(key, { state: "deleting", desired: "deleted" });
      void pause(1500).then(() => {
        state.projects = state.projects.filter((each) => each.id !== key);
        send("project_deleted", { project_id: key });
      });
      return { status: 202, body: { ...launchJob(key, 0, "running"), kind: "delete_project" } };
    },
  ],
  [
    "POST",
    "/api/projects/:id/start",
    ({ id: key }) => {
      change(key, { state: "launching", desired: "running", job: launchJob(key, 0, "running") });
      void launch(key, false);
      return { status: 202, body: find(key).job };
    },
  ],
  [
    "POST",
    "/api/projects/:id/stop",
    ({ id: key }) => {
      change(key, { state: "stopping", desired: "stopped", session: { ...IDLE, kind: "none" }, preview: { state: "off", reason: null }, job: { ...launchJob(key, 0, "running"), kind: "stop_project", steps: [] } });
      const { job } = find(key);
      void pause(1500).then(() => change(key, { state: "stopped", instance: null, job: null }));
      return { status: 202, body: job };
    },
  ],
  ["POST", "/api/projects/:id/preview-ticket", () => ({ status: 200, body: { url: `http://127.0.0.1:${PREVIEW_PORT}/.doce/enter?ticket=${id("tkt")}`, expires_at: iso(-30_000) } })],
  ["GET", "/api/projects/:id/messages", ({ id: key }) => ({ status: 200, body: { items: talk(key), next: null, event_id: `${BOOT}-${n}` } })],
  [
    "POST",
    "/api/projects/:id/prompts",
    ({ id: key, body }) => {
      const known = find(key);
      if (known.session.kind === "busy") return problem(409, "busy", "An answer is running.");
      const waits = known.state === "stopped";
      const message = { id: id("msg"), role: "user", created_at: iso(), completed_at: null, model: known.model, connection_id: null, state: waits ? "waiting" : "sent", error: null, parts: [{ id: id("prt"), kind: "text", text: body.text, tool: null }] };
      talk(key).push(message);
      send("message", { project_id: key, message: { ...message, parts: [] } }, key);
      send("part", { project_id: key, message_id: message.id, part: message.parts[0] }, key);
      if (waits) {
        change(key, { state: "launching", desired: "running", job: launchJob(key, 0, "running") });
        void launch(key);
      } else void answer(key);
      return { status: 202, body: { message, job: { ...launchJob(key, 5, "running"), kind: "send_prompt", state: "succeeded" } } };
    },
  ],
  ["POST", "/api/projects/:id/continue", ({ id: key }) => (void answer(key), { status: 202, body: { message: null, job: { ...launchJob(key, 5, "running"), state: "succeeded" } } })],
  ["POST", "/api/projects/:id/abort", ({ id: key }) => (change(key, { session: IDLE }), { status: 202, body: find(key) })],
  [
    "GET",
    "/api/projects/:id/files",
    ({ query }) => {
      const path = query.get("path") ?? "";
      return page((FILES[path] ?? []).map(([name, kind]) => ({ name, path: path === "" ? name : `${path}/${name}`, kind, size: kind === "file" ? 812 : null })));
    },
  ],
  ["GET", "/api/projects/:id/file", ({ query }) => ({ status: 200, text: query.get("path")?.endsWith(".png") ? "\u0000PNG" : HOURS, type: query.get("path")?.endsWith(".png") ? "application/octet-stream" : "text/plain; charset=utf-8" })],
  ["GET", "/api/projects/:id/logs", ({ query }) => ({ status: 200, type: "text/plain; charset=utf-8", text: query.get("source") === "install" ? "" : "\u001b[32mVITE v8.3.8\u001b[0m  ready in 312 ms\n\n  ➜  Local:   http://127.0.0.1:5173/\n10:02:11 [vite] hmr update /src/Hours.tsx\n10:02:14 [vite] hmr update /src/App.tsx, /src/index.css\n" })],
  ["POST", "/api/jobs/:id/retry", ({ id: key }) => ({ status: 200, body: state.projects.map((each) => each.job).find((job) => job?.id === key) ?? launchJob(null, 0, "running") })],
];

const IMPORTED = "doce.dev (H6, 2026-05-14) in /srv/doce.dev/data";
const IMPORT_LINES = [
  { outcome: "new", kind: "user", name: "berta", detail: "member" },
  { outcome: "new", kind: "key", name: "openrouter", detail: "becomes the connection `imported`, ends in 0001 (from user_settings)" },
  { outcome: "new", kind: "project", name: "Bakery", detail: "41 files, 212 kB, stopped, last used openrouter/claude-sonnet-4" },
  { outcome: "left", kind: "setting", name: "base_url", detail: "doce has its own" },
  { outcome: "refused", kind: "project", name: "Shop", detail: "its path leads out of the directory" },
];

async function bringOver() {
  const run = { title: IMPORTED, began_at: iso(), ended_at: null, done: 0, total: IMPORT_LINES.length, doing: null, lines: [] };
  state.imports.run = run;
  for (const line of IMPORT_LINES) {
    run.doing = `${line.kind} ${line.name}`;
    send("import", { import: run });
    await pause(900);
    run.done += 1;
  }
  Object.assign(run, { ended_at: iso(), doing: null });
  send("import", { import: run });
  run.lines = IMPORT_LINES;
}

async function changeKey() {
  const key = state.masterKey;
  for (let done = 0; done < key.values; done += 4) {
    key.rotation = { state: "running", done, total: key.values, reason: null };
    send("key_rotation", { rotation: key.rotation });
    await pause(900);
  }
  Object.assign(key, { old_files: [`${key.files[0]}.old-${key.id}`], id: id("key").slice(-16), since: iso(), copied_at: null, rotation: { state: "idle", done: key.values, total: key.values, reason: null } });
  send("key_rotation", { rotation: key.rotation });
}

function match(method, path) {
  for (const [verb, pattern, run] of routes) {
    if (verb !== method) continue;
    const found = new RegExp(`^${pattern.replace(":id", "([^/]+)")}$`).exec(path);
    if (found) return { run, id: found[1] && decodeURIComponent(found[1]) };
  }
  return null;
}

function openStream(response, query) {
  const projects = new Set(query.getAll("project_id"));
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  response.write(`id: ${BOOT}-${n}\nevent: hello\ndata: ${JSON.stringify({ event_id: `${BOOT}-${n}` })}\n\n`);
  const last = query.get("last_event_id");
  if (last !== null) {
    const at = ring.findIndex((event) => event.id === last);
    if (at < 0 && last !== `${BOOT}-${n}`) response.write(`event: reset\ndata: {}\n\n`);
    else for (const event of ring.slice(at + 1)) if (event.projectId === null || projects.has(event.projectId)) write(response, event);
  }
  const client = { response, projects };
  clients.add(client);
  const beat = setInterval(() => response.write(": beat\n\n"), 15_000);
  response.on("close", () => {
    clearInterval(beat);
    clients.delete(client);
  });
}

async function serveClient(path, response) {
  const file = extname(path) === "" ? "index.html" : path.slice(1);
  try {
    const bytes = await readFile(join(DIST, file));
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "content-security-policy": CSP });
    response.end(bytes);
  } catch {
    response.writeHead(404).end("not found");
  }
}

const OPEN = new Set(["/api/health", "/api/sign-in", "/api/setup"]);

createServer(async (request, response) => {
  const { pathname, searchParams: query } = new URL(request.url, "http://mock");
  let text = "";
  for await (const chunk of request) text += chunk;
  const body = text === "" ? {} : JSON.parse(text);
  if (pathname === "/__mock/scenario") {
    generation += 1;
    state = world(body.name);
    if (body.live) for (const each of state.projects) if (each.id === "prj_kanban") void answer(each.id);
    return response.writeHead(204).end();
  }
  if (pathname === "/__mock/clients") return response.writeHead(200).end(String(clients.size));
  if (pathname === "/__mock/drop") {
    for (const client of clients) client.response.end();
    return response.writeHead(204).end();
  }
  if (!pathname.startsWith("/api/")) return serveClient(pathname, response);
  const json = (status, value, type = "application/json") => response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(JSON.stringify(value));
  if (!state.signedIn && !OPEN.has(pathname)) return json(401, problem(401, "not_signed_in", "Nobody is signed in here.").problem, "application/problem+json");
  if (pathname === "/api/stream") return openStream(response, query);
  const found = match(request.method, pathname);
  const result = found ? await found.run({ id: found.id, query, body }) : notFound();
  if (result.problem) return json(result.status, result.problem, "application/problem+json");
  if (result.text !== undefined) return response.writeHead(200, { "content-type": result.type }).end(result.text);
  if (result.status === 204) return response.writeHead(204).end();
  return json(result.status, result.body);
}).listen(PORT, "127.0.0.1", () => process.stdout.write(`pretend doce on http://127.0.0.1:${PORT}\n`));

const APP = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Bakery</title><style>
body{margin:0;font:16px/1.6 Georgia,serif;background:#fbf4e6;color:#3b2a1a}header{padding:3rem 2rem 2rem;text-align:center;border-bottom:1px solid #e6d6b8}
h1{margin:0;font-size:2.4rem;font-weight:400}main{max-width:40rem;margin:2rem auto;padding:0 1.5rem;display:grid;gap:1.5rem}
li{display:flex;justify-content:space-between;border-bottom:1px dotted #d6c3a0;padding:.35rem 0}ul{list-style:none;padding:0;margin:0}
button{background:#a33327;color:#fff;border:0;border-radius:6px;padding:.8rem 1.4rem;font:inherit}small{color:#8a7455}</style>
<header><h1>Padaria do Largo</h1><small>bread since 1962</small></header><main><h2>Opening hours</h2><ul><li><span>Monday</span><span>closed</span></li><li><b>Tuesday</b><b>7:00 to 18:00</b></li>
<li><span>Wednesday</span><span>7:00 to 18:00</span></li><li><span>Thursday</span><span>7:00 to 18:00</span></li><li><span>Friday</span><span>7:00 to 19:00</span></li></ul>
<div><button>Order a cake</button><p><small>Please order two days ahead.</small></p></div></main></html>`;
createServer((_, response) => response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(APP)).listen(PREVIEW_PORT, "127.0.0.1");
