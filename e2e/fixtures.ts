// What every browser test has: a doce of its own, a scripted model, and the API behind the pages.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test as base } from "@playwright/test";
import { Api, Doce, readCatalogue } from "./support/doce";
import { end, leftIn } from "./support/leftovers";
import { ScriptedModel } from "./support/model";
import { OwnDatabase } from "./support/postgres";

const built = (name: string) => resolve(import.meta.dirname, "../target/debug", name);

type Fixtures = {
  /** Holds the data and the logs; removed at the end. */
  folder: string;
  model: ScriptedModel;
  /** Variables for doce, over those of the surroundings. */
  settings: Record<string, string>;
  /** A server's database, where SQLite is not what is tested. */
  database: OwnDatabase | undefined;
  /** Whether doce has to read the catalogue by itself, as on a new machine. */
  firstStart: boolean;
  doce: Doce;
  api: Api;
};

type WorkerFixtures = {
  /** A catalogue of providers that was read once for all tests. */
  catalogue: string;
};

const temporary = () => mkdtemp(join(tmpdir(), "doce-e2e-"));
const remove = (folder: string) => rm(folder, { recursive: true, force: true });
const program = () => process.env.DOCE_BIN ?? built("doce");

export const test = base.extend<Fixtures, WorkerFixtures>({
  // Playwright reads the first parameter of a fixture to know what it needs, so it is `{}` where that is nothing.
  catalogue: [
    async ({}, use) => {
      const folder = await temporary();
      const file = join(folder, "kept.json");
      await readCatalogue(program(), folder, file);
      await use(file);
      await remove(folder);
    },
    { scope: "worker", timeout: 300_000 },
  ],
  folder: async ({}, use) => {
    const folder = await temporary();
    await use(folder);
    await remove(folder);
  },
  model: async ({ folder }, use, testInfo) => {
    const model = await ScriptedModel.start(process.env.DOCE_SCRIPTED_MODEL ?? built("scripted-model"), join(folder, "model.log"));
    try {
      await use(model);
      if (testInfo.status !== testInfo.expectedStatus) {
        await testInfo.attach("what the model was asked", { body: JSON.stringify(await model.summary(), null, 1), contentType: "application/json" });
      }
    } finally {
      await model.stop();
    }
  },
  settings: [{}, { option: true }],
  firstStart: [false, { option: true }],
  database: async ({}, use) => {
    const database = await OwnDatabase.make();
    try {
      await use(database);
    } finally {
      await database?.drop();
    }
  },
  doce: async ({ folder, settings, database, firstStart, catalogue }, use, testInfo) => {
    const all = database === undefined ? settings : { DOCE_DATABASE_URL: database.url, ...settings };
    const doce = firstStart ? await Doce.start(program(), folder, all) : await Doce.startWith(catalogue, program(), folder, all);
    try {
      await use(doce);
    } finally {
      try {
        await doce.close();
        // A clean exit takes everything along that it started.
        await expect.poll(async () => (await leftIn(folder)).map(({ pid, command }) => `${pid}: …${command.slice(-120)}`), { message: "left running after doce ended", timeout: 10_000 }).toEqual([]);
      } finally {
        end(await leftIn(folder));
        if (testInfo.status !== testInfo.expectedStatus) {
          await testInfo.attach("doce.log", { path: doce.logFile, contentType: "text/plain" });
        }
      }
    }
  },
  baseURL: async ({ doce }, use) => {
    await use(doce.url);
  },
  api: async ({ page, doce }, use) => {
    await use(new Api(page.request, doce.url));
  },
});

export { expect };
