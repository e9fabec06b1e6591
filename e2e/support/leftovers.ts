// What a program left running: processes whose command line names the test's folder, and all below them.
import { readdir, readFile } from "node:fs/promises";

type Running = { pid: number; parent: number; command: string };

async function running(): Promise<Running[]> {
  const found: Running[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = await readFile(`/proc/${name}/stat`, "utf8");
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (state === "Z") continue;
      const command = (await readFile(`/proc/${name}/cmdline`, "utf8")).replaceAll("\0", " ").trim();
      found.push({ pid: Number(name), parent: Number(parent), command });
    } catch {
      // It ended while it was looked at.
    }
  }
  return found;
}

/** The processes that name the folder, and their children whether they name it or not. */
export async function leftIn(folder: string): Promise<Running[]> {
  const all = await running();
  const left = all.filter(({ pid, command }) => pid !== process.pid && command.includes(folder));
  for (const parent of left) {
    for (const child of all) if (child.parent === parent.pid && !left.includes(child)) left.push(child);
  }
  return left;
}

/** Ends them, each by its pid. */
export function end(left: Running[]): void {
  for (const { pid } of left) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
}
