// A program that a test starts: its output is kept, and it is ended with the test.
import { spawn, type ChildProcess } from "node:child_process";
import { createWriteStream, type WriteStream } from "node:fs";

/** How long a program may take to end after it was asked to. */
const END_BOUND_MS = 30_000;

export class Program {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #log: WriteStream;
  #output = "";
  #waiting: (() => void)[] = [];

  constructor(path: string, args: string[], env: Record<string, string>, logFile: string) {
    this.#log = createWriteStream(logFile, { flags: "a" });
    this.#child = spawn(path, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (piece: Buffer) => {
        this.#log.write(piece);
        this.#output += piece.toString("utf8");
        this.#wake();
      });
    }
    this.#ended = new Promise((resolve) => {
      const over = () => {
        this.#log.end();
        this.#wake();
        resolve();
      };
      this.#child.once("exit", over);
      this.#child.once("error", (error) => {
        this.#output += `\n${error.message}`;
        over();
      });
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`the program could not be started: ${this.#output}`);
    return this.#child.pid;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined;
  }

  /** Everything it has written so far. */
  get output(): string {
    return this.#output;
  }

  /** Waits until its output matches; a program that ends before that is an error. */
  async saying(pattern: RegExp, boundMs: number): Promise<RegExpMatchArray> {
    const until = Date.now() + boundMs;
    for (;;) {
      const match = this.#output.match(pattern);
      if (match !== null) return match;
      if (this.hasEnded) throw new Error(`the program ended without saying ${pattern}:\n${this.#output}`);
      if (Date.now() >= until) throw new Error(`the program didn't say ${pattern} within ${boundMs} ms:\n${this.#output}`);
      await this.#nextOutput(until - Date.now());
    }
  }

  /** Asks it to end, as a person would with Ctrl-C, and waits until it has. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Ends it at once, as a crash would. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.hasEnded) return;
    this.#child.kill(signal);
    let late: NodeJS.Timeout | undefined;
    const bound = new Promise<"late">((resolve) => {
      late = setTimeout(() => resolve("late"), END_BOUND_MS);
    });
    const outcome = await Promise.race([this.#ended, bound]);
    clearTimeout(late);
    if (outcome === "late") {
      this.#child.kill("SIGKILL");
      await this.#ended;
      throw new Error(`the program didn't end within ${END_BOUND_MS} ms of ${signal}:\n${this.#output}`);
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }

  async #nextOutput(boundMs: number): Promise<void> {
    let late: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      late = setTimeout(resolve, boundMs);
    });
    clearTimeout(late);
  }
}
