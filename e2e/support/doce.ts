// The real program on a data directory of its own.
import { copyFile, mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, type APIRequestContext } from "@playwright/test";
import { Program } from "./program";

/** The first start installs nothing here, but it reads OpenCode's catalogue. */
const START_BOUND_MS = 90_000;

const CATALOGUE_BOUND_MS = 180_000;
/** Where doce keeps it in its data directory. */
const CATALOGUE = "catalogue.json";

/** What of the surroundings the program needs: its agent, and the way to the network. */
const PASSED_ON = ["DOCE_OPENCODE", "DOCE_NPM_REGISTRY", "DOCE_LOG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"];

export const ANA = { username: "ana", password: "correct horse battery" };

export class Doce {
  readonly #path: string;
  readonly #folder: string;
  readonly #port: number;
  readonly #settings: Record<string, string>;
  #program: Program | undefined;

  private constructor(path: string, folder: string, port: number, settings: Record<string, string>) {
    this.#path = path;
    this.#folder = folder;
    this.#port = port;
    this.#settings = settings;
  }

  static async start(path: string, folder: string, settings: Record<string, string>): Promise<Doce> {
    const doce = new Doce(path, folder, await freePort(), settings);
    await doce.start();
    return doce;
  }

  /** Where a browser on this machine opens it. */
  get url(): string {
    return `http://localhost:${this.#port}`;
  }

  get dataDir(): string {
    return join(this.#folder, "data");
  }

  get logFile(): string {
    return join(this.#folder, "doce.log");
  }

  /** Gives it a catalogue that another doce has read, before its first start. */
  static async startWith(catalogue: string, path: string, folder: string, settings: Record<string, string>): Promise<Doce> {
    const data = join(folder, "data");
    await mkdir(data, { mode: 0o700 });
    await copyFile(catalogue, join(data, CATALOGUE));
    return Doce.start(path, folder, settings);
  }

  /** Starts it, or starts it again on the same data and the same port. */
  async start(): Promise<void> {
    if (this.#program !== undefined && !this.#program.hasEnded) return;
    const home = join(this.#folder, "home");
    await mkdir(home, { recursive: true });
    const env: Record<string, string> = {
      PATH: process.env.PATH ?? "",
      HOME: home,
      DOCE_DATA_DIR: this.dataDir,
      DOCE_LISTEN: `127.0.0.1:${this.#port}`,
    };
    for (const name of PASSED_ON) {
      const value = process.env[name];
      if (value !== undefined) env[name] = value;
    }
    Object.assign(env, this.#settings);
    this.#program = new Program(this.#path, ["serve"], env, this.logFile);
    await this.#program.saying(new RegExp(`:${this.#port}\\b`), START_BOUND_MS);
    await this.#answering();
  }

  /** Ends it as a person would; its agents end with it. */
  async stop(): Promise<void> {
    await this.#program?.stop();
  }

  /** Ends it as a crash would; its agents go on. */
  async kill(): Promise<void> {
    await this.#program?.kill();
  }

  /** Ends it and whatever it started, also after a test that killed it. */
  async close(): Promise<void> {
    // Agents outlive a crash; only the program knows how to find them again.
    await this.start();
    await this.stop();
  }

  /** It says its address when it listens; this makes sure that it also answers. */
  async #answering(): Promise<void> {
    const response = await fetch(`${this.url}/api/health`, { signal: AbortSignal.timeout(START_BOUND_MS) });
    if (!response.ok) throw new Error(`doce answered ${response.status} to the question whether it is well`);
  }
}

/** Lets a doce of its own read OpenCode's catalogue, and keeps the file: a start of OpenCode less for each test. */
export async function readCatalogue(path: string, folder: string, keepAs: string): Promise<void> {
  const doce = await Doce.start(path, folder, {});
  try {
    const setUp = await fetch(`${doce.url}/api/setup`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(ANA) });
    if (!setUp.ok) throw new Error(`doce refused the first account: ${await setUp.text()}`);
    const cookie = setUp.headers.getSetCookie().map((each) => each.split(";", 1)[0]).join("; ");
    // Answered when the catalogue is there, or refused while it is still being read.
    await expect
      .poll(async () => (await fetch(`${doce.url}/api/providers`, { headers: { cookie } })).status, { timeout: CATALOGUE_BOUND_MS })
      .toBe(200);
    await copyFile(join(doce.dataDir, CATALOGUE), keepAs);
  } finally {
    await doce.stop();
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === "string") throw new Error("no port was given");
  return address.port;
}

export type ModelRef = { provider_id: string; model_id: string };
export type Project = { id: string; name: string; state: string; session: { kind: string }; preview: { state: string; reason: string | null } };
export type Part = { id: string; kind: string; text: string | null; tool: { name: string; status: string } | null };
export type Message = { id: string; role: "user" | "assistant"; state: string; parts: Part[] };

/** Does by the API what a test needs but isn't about. Shares the browser's cookies. */
export class Api {
  readonly #request: APIRequestContext;
  readonly #url: string;

  constructor(request: APIRequestContext, url: string) {
    this.#request = request;
    this.#url = url;
  }

  /** Makes the first account, which signs the browser in. */
  async setUp(): Promise<void> {
    await this.#post("/api/setup", ANA);
  }

  /** Waits until doce has found its OpenCode; from then on nothing tells the pages of it. */
  async openCodeReady(): Promise<void> {
    await expect.poll(async () => (await this.#get<{ opencode: { state: string } }>("/api/system")).opencode.state, { timeout: START_BOUND_MS }).toBe("ready");
  }

  async connect(providerId: string, baseUrl: string, key: string): Promise<{ id: string }> {
    return this.#post("/api/connections", { provider_id: providerId, auth_type: "api", key, base_url: baseUrl });
  }

  /** The model that the page would choose by itself. */
  async model(providerId: string): Promise<ModelRef> {
    const { items } = await this.#get<{ items: { id: string; recommended: boolean; tool_call: boolean }[] }>(`/api/providers/${providerId}/models`);
    const model = items.find((each) => each.recommended) ?? items.find((each) => each.tool_call);
    if (model === undefined) throw new Error(`${providerId} has no model that can use tools`);
    return { provider_id: providerId, model_id: model.id };
  }

  async createProject(prompt: string, model: ModelRef): Promise<Project> {
    const { project } = await this.#post<{ project: Project }>("/api/projects", { prompt, model });
    return project;
  }

  /** Pauses the queue, so that no job begins, or lets it go on. */
  async pauseQueue(paused: boolean): Promise<void> {
    const response = await this.#request.put(`${this.#url}/api/queue`, { data: { paused } });
    if (!response.ok()) throw new Error(`the queue was not paused or resumed: ${await response.text()}`);
  }

  async project(id: string): Promise<Project> {
    return this.#get(`/api/projects/${id}`);
  }

  async messages(id: string): Promise<Message[]> {
    const { items } = await this.#get<{ items: Message[] }>(`/api/projects/${id}/messages`);
    return items;
  }

  async file(id: string, path: string): Promise<string> {
    const response = await this.#request.get(`${this.#url}/api/projects/${id}/file`, { params: { path } });
    return response.ok() ? response.text() : "";
  }

  async #get<T>(path: string): Promise<T> {
    const response = await this.#request.get(this.#url + path);
    if (!response.ok()) throw new Error(`GET ${path} was answered with ${response.status()}: ${await response.text()}`);
    return (await response.json()) as T;
  }

  async #post<T>(path: string, data: unknown): Promise<T> {
    const response = await this.#request.post(this.#url + path, { data });
    if (!response.ok()) throw new Error(`POST ${path} was answered with ${response.status()}: ${await response.text()}`);
    return (await response.json()) as T;
  }
}
