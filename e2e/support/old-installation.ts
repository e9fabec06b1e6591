// A data directory of doce.dev, made by the test kit: Berta with the project Bakery and one key.
import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export const BERTA = { username: "berta", password: "correct horse" };
/** How her key begins; no page and no event may show it. */
export const PLANTED = "sk-or-v1-planted";

export async function makeOldInstallation(directory: string): Promise<void> {
  await run(process.env.DOCE_OLD_INSTALLATION ?? resolve(import.meta.dirname, "../../target/debug/old-installation"), [directory]);
}
