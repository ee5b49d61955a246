import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { pack } from "./pack.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// The bundle is committed, so the same source must give the same bytes: names
// come from contents, and nothing of the machine or the day goes in.
export default defineConfig({
  root: here("."),
  base: "./",
  resolve: { alias: { "@parleychat/client": here("../clients/js/src/index.ts") } },
  plugins: [pack()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    cssTarget: ["chrome120", "firefox121", "safari16.4"],
    outDir: process.env.WEB_OUT ?? here("dist"),
    emptyOutDir: true,
    assetsInlineLimit: 0, // the server's Content-Security-Policy knows files only
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: { "/ws": { target: "ws://127.0.0.1:8080", ws: true }, "/v1": "http://127.0.0.1:8080" } },
});
