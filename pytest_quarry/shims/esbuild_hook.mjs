// Lets Node load TypeScript through esbuild: node --import file:///…/esbuild_hook.mjs?esbuild=WHERE
import { register } from "node:module";
import { pathToFileURL } from "node:url";

const where = new URL(import.meta.url).searchParams.get("esbuild");
register("./esbuild_loader.mjs", import.meta.url, { data: { esbuild: pathToFileURL(where).href } });
