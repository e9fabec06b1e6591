// A PostgreSQL database for each doce, where DOCE_TEST_PG names a server that may be filled with them.
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";

const run = promisify(execFile);

export class OwnDatabase {
  readonly url: string;
  readonly #server: string;
  readonly #name: string;

  private constructor(server: string, name: string) {
    this.#server = server;
    this.#name = name;
    const url = new URL(server);
    url.pathname = `/${name}`;
    this.url = url.href;
  }

  /** Makes one; undefined where doce's own SQLite is what is tested. */
  static async make(): Promise<OwnDatabase | undefined> {
    const server = process.env.DOCE_TEST_PG;
    if (server === undefined || server === "") return undefined;
    const database = new OwnDatabase(server, `doce_e2e_${randomBytes(6).toString("hex")}`);
    await database.#tell(`CREATE DATABASE ${database.#name}`);
    return database;
  }

  async drop(): Promise<void> {
    await this.#tell(`DROP DATABASE ${this.#name} WITH (FORCE)`);
  }

  async #tell(statement: string): Promise<void> {
    await run("psql", ["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--command", statement, this.#server]);
  }
}
