// Hooks of Node's module loader: a TypeScript file becomes JavaScript when it is loaded.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const TYPESCRIPT = /\.([mc]?)ts$/;
const WRITTEN = [[/\.js$/, ".ts"], [/\.mjs$/, ".mts"], [/\.cjs$/, ".cts"], [/$/, ".ts"], [/$/, "/index.ts"]];
let transform;

export async function initialize({ esbuild }) {
  const found = await import(esbuild);
  transform = found.transformSync ?? found.default.transformSync;
}

// TypeScript imports ./other.js or ./other, and means other.ts.
export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (!specifier.startsWith(".") || !TYPESCRIPT.test(context.parentURL ?? "")) throw error;
    for (const [ending, other] of WRITTEN) {
      if (!ending.test(specifier)) continue;
      const found = await next(specifier.replace(ending, other), context).catch(() => null);
      if (found) return found;
    }
    throw error;
  }
}

export async function load(url, context, next) {
  const kind = TYPESCRIPT.exec(new URL(url).pathname);
  if (!kind || !url.startsWith("file:")) return next(url, context);
  const file = fileURLToPath(url);
  const commonjs = kind[1] === "c";
  const { code } = transform(readFileSync(file, "utf8"), {
    loader: "ts",
    format: commonjs ? "cjs" : "esm",
    target: `node${process.versions.node}`,
    sourcefile: file,
    sourcemap: "inline",
  });
  return { format: commonjs ? "commonjs" : "module", source: code, shortCircuit: true };
}
