// The scripted model: plays a provider for the real OpenCode and remembers what it was asked.
import { Program } from "./program";

/** One request that the model received, as far as the tests look at it. */
export type ModelRequest = {
  number: number;
  protocol: "anthropic" | "chat" | "responses" | "models" | "other";
  path: string;
  headers: Record<string, string>;
  key_header: string | null;
  key: string | null;
  key_accepted: boolean;
  model: string | null;
  user_text: string;
  tool_results: number;
  tools: string[];
  outcome: "open" | "completed" | "closed_by_client" | "cut";
};

export class ScriptedModel {
  readonly #program: Program;
  readonly url: string;

  private constructor(program: Program, port: number) {
    this.#program = program;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(path: string, logFile: string): Promise<ScriptedModel> {
    const program = new Program(path, [], { PATH: process.env.PATH ?? "" }, logFile);
    try {
      const [, port] = await program.saying(/"port":\s*(\d+)/, 20_000);
      return new ScriptedModel(program, Number(port));
    } catch (error) {
      await program.kill();
      throw error;
    }
  }

  /** What Anthropic's SDK appends `/messages` to. */
  get anthropicBaseUrl(): string {
    return `${this.url}/anthropic/v1`;
  }

  /** What an OpenAI-compatible SDK appends `/chat/completions` to. */
  get openaiBaseUrl(): string {
    return `${this.url}/v1`;
  }

  async requests(): Promise<ModelRequest[]> {
    const response = await fetch(`${this.url}/__requests`);
    if (!response.ok) throw new Error(`the model answered ${response.status} for its record`);
    return (await response.json()) as ModelRequest[];
  }

  /** The turns of an agent: with tools on offer, so neither titles nor lists of models. */
  async turns(): Promise<ModelRequest[]> {
    const requests = await this.requests();
    return requests.filter((request) => request.tools.length > 0);
  }

  /** The record in short, for reading after a failure. */
  async summary(): Promise<object[]> {
    const requests = await this.requests();
    return requests.map(({ path, key_accepted, user_text, tool_results, tools, outcome }) => ({
      path,
      key_accepted,
      user_text: user_text.slice(0, 120),
      tool_results,
      tools: tools.length,
      outcome,
    }));
  }

  /** Accepts only these keys from here on. */
  async acceptOnly(...keys: string[]): Promise<void> {
    const response = await fetch(`${this.url}/__script`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ accept_keys: keys }),
    });
    if (!response.ok) throw new Error(`the model refused the script: ${await response.text()}`);
  }

  async stop(): Promise<void> {
    await this.#program.kill();
  }
}
