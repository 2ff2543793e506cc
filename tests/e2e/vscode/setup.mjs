// Sets up the VS Code of the tests: code-server's build of it and a browser driver from the npm registry, versions as in
// package-lock.json and, for what VS Code itself needs, in the lists that its package carries. Nothing is compiled, and nothing
// is done where it was done before. `node tests/e2e/vscode/setup.mjs` prints where it is.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
export const ROOT = path.resolve(HERE, "../../..");
const CACHE = path.join(ROOT, ".vscode-test");
const CODE = path.join(CACHE, "node_modules/code-server/lib/vscode");
const LISTS = ["package.json", "package-lock.json", "setup.mjs"];
const MINUTES_FOR_NPM = 5;

/** Thrown where this machine lacks what is needed. */
export class Skipped extends Error {}

/** The path of a program, or undefined. */
function program(...names) {
  for (const name of names) {
    for (const folder of (process.env.PATH ?? "").split(path.delimiter)) {
      const file = path.join(folder, name);
      if (fs.existsSync(file)) {
        return file;
      }
    }
  }
  return undefined;
}

/** Run npm, with its output on stderr. Throws Skipped with its last lines: most often there is no network. */
export function npm(folder, ...args) {
  const done = spawnSync("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: folder,
    encoding: "utf8",
    timeout: MINUTES_FOR_NPM * 60_000,
  });
  process.stderr.write((done.stdout ?? "") + (done.stderr ?? ""));
  if (done.status !== 0) {
    const reason = done.error?.message ?? ((done.stderr ?? "") + (done.stdout ?? "")).trim().split("\n").slice(-6).join("\n");
    throw new Skipped(`npm ${args.join(" ")} failed in ${folder}: ${reason}`);
  }
}

function link(target, file) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.rmSync(file, { force: true });
  fs.symlinkSync(target, file);
}

/** What the tests need of this machine; throws Skipped. */
function needs() {
  const found = { chromium: program("chromium", "chromium-browser", "google-chrome"), ripgrep: program("rg"), npm: program("npm") };
  const missing = Object.keys(found).filter((name) => found[name] === undefined);
  if (missing.length > 0) {
    throw new Skipped(`not installed: ${missing.join(", ")}`);
  }
  return found;
}

/** Set up what isn't there yet. Returns where the server's script, the browser and its driver are. */
export function setUp() {
  const { chromium, ripgrep } = needs();
  const hash = createHash("sha256");
  LISTS.forEach((name) => hash.update(fs.readFileSync(path.join(HERE, name))));
  const wanted = hash.digest("hex");
  const mark = path.join(CACHE, "set-up");
  if (!fs.existsSync(mark) || fs.readFileSync(mark, "utf8") !== wanted) {
    fs.rmSync(CACHE, { recursive: true, force: true });
    fs.mkdirSync(CACHE);
    ["package.json", "package-lock.json"].forEach((name) => fs.copyFileSync(path.join(HERE, name), path.join(CACHE, name)));
    npm(CACHE, "ci", "--ignore-scripts");
    // Both folders carry an npm-shrinkwrap.json, by which npm installs; `npm ci` refuses them.
    npm(CODE, "install", "--ignore-scripts", "--omit=dev");
    npm(path.join(CODE, "extensions"), "install", "--ignore-scripts", "--omit=dev");
    // What the scripts that were left out would have made.
    link("node_modules", path.join(CODE, "node_modules.asar"));
    link("code-linux.sh", path.join(CODE, "bin/remote-cli/code-server"));
    link("browser-linux.sh", path.join(CODE, "bin/helpers/browser.sh"));
    fs.writeFileSync(mark, wanted);
  }
  link(path.join(HERE, "agent"), path.join(CODE, "extensions/lacuna-test-agent"));
  link(ripgrep, path.join(CODE, "node_modules/@vscode/ripgrep/bin/rg"));
  return {
    server: path.join(CODE, "out/server-main.js"),
    chromium,
    playwright: createRequire(path.join(CACHE, "package.json"))("playwright-core"),
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  try {
    console.log(setUp().server);
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
