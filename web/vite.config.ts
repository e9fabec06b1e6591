/// <reference types="vitest/config" />
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompress, constants } from "node:zlib";
import { promisify } from "node:util";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const compress = promisify(brotliCompress);
const COMPRESSIBLE = /\.(?:js|css|html|svg|json|webmanifest)$/;
/** Below this, a compressed sibling costs more in bookkeeping than it saves on the wire. */
const COMPRESS_FROM_BYTES = 512;

/** Writes a `.br` file beside every text file of the build, for a server that sends them as they are. */
function precompress(): Plugin {
  let outDir = "dist";
  return {
    name: "precompress",
    apply: "build",
    configResolved(config) {
      outDir = join(config.root, config.build.outDir);
    },
    async closeBundle() {
      const files = await readdir(outDir, { recursive: true, withFileTypes: true });
      await Promise.all(
        files
          .filter((file) => file.isFile() && COMPRESSIBLE.test(file.name))
          .map(async (file) => {
            const path = join(file.parentPath, file.name);
            const bytes = await readFile(path);
            if (bytes.length < COMPRESS_FROM_BYTES) return;
            const options = { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } };
            await writeFile(`${path}.br`, await compress(bytes, options));
          }),
      );
    },
  };
}

export default defineConfig({
  plugins: [react(), tailwindcss(), precompress()],
  resolve: {
    alias: {
      // The Content-Security-Policy forbids inline <style>, and the original injects one to lock scrolling.
      "react-remove-scroll": fileURLToPath(new URL("./src/ui/scroll-lock.tsx", import.meta.url)),
    },
  },
  build: {
    outDir: "dist",
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Few chunks: what a page needs comes with it, and each request costs more than the odd kilobyte that another page uses.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: "first", test: /\/src\/(?:main|pages\/sign-in)\.tsx$/, priority: 3 },
            { name: "signed-in", test: /\/src\/(?:pages\/(?:signed-in|dashboard)\.tsx|stream\/start\.ts|components\/provider-logos\.ts)$/, priority: 2 },
            { name: "shared", test: /./, minShareCount: 2, priority: 1 },
          ],
        },
      },
    },
  },
  server: {
    port: 5173,
    proxy: { "/api": { target: process.env.DOCE_API ?? "http://127.0.0.1:4321", changeOrigin: true } },
  },
  test: {
    environment: "jsdom",
    environmentOptions: { jsdom: { url: "http://localhost/" } },
    include: ["src/**/*.spec.{ts,tsx}", "test/**/*.spec.{ts,tsx}"],
    setupFiles: ["./test/setup.ts"],
    restoreMocks: true,
    testTimeout: 20_000,
    // By itself it leaves one core alone, which is half of what a small machine has.
    maxWorkers: "100%",
    pool: "threads",
    server: { deps: { inline: [/radix/] } },
  },
});
