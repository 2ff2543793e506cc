// Writes lacuna.vsix: the bundled client, the Python wheel of the server that it sets up, pictures and licence.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");
const CLIENT = join(ROOT, "vscode-client");
const PICTURES = join(ROOT, "docs", "images");
const WINDOWS = process.platform === "win32";

process.chdir(CLIENT);
buildWheel();
copyFileSync(join(ROOT, "LICENSE"), "LICENSE");
copyPictures();
run(process.execPath, ["scripts/build.mjs"]);
run(process.execPath, [
  join("node_modules", "@vscode", "vsce", "vsce"),
  "package",
  "--out",
  "lacuna.vsix",
  "--no-dependencies",
  "--allow-missing-repository",
  "--no-rewrite-relative-links",
]);

function buildWheel() {
  rmSync("wheel", { recursive: true, force: true });
  run(python(), ["-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--wheel-dir", join(CLIENT, "wheel"), ROOT]);
  const [file] = readdirSync("wheel").filter((name) => name.endsWith(".whl"));
  const version = file.split("-")[1];
  const sha256 = createHash("sha256")
    .update(readFileSync(join("wheel", file)))
    .digest("hex");
  writeFileSync("wheel/wheel.json", `${JSON.stringify({ file, version, sha256 }, null, 2)}\n`);
}

function python() {
  const inside = join(ROOT, ".venv", WINDOWS ? "Scripts/python.exe" : "bin/python");
  return process.env.PYTHON ?? (existsSync(inside) ? inside : WINDOWS ? "python" : "python3");
}

// Those that the walkthrough shows.
function copyPictures() {
  const steps = JSON.parse(readFileSync("package.json", "utf8")).contributes.walkthroughs.flatMap((walkthrough) => walkthrough.steps);
  const shown = new Set(steps.flatMap(({ media }) => (typeof media.image === "string" ? media.image : Object.values(media.image))));
  mkdirSync("media/walkthrough", { recursive: true });
  for (const path of shown) {
    copyFileSync(join(PICTURES, basename(path)), path);
  }
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: "inherit" });
  if (error !== undefined || status !== 0) {
    console.error(`${command} ${args[0]} failed${error === undefined ? "" : `: ${error.message}`}`);
    process.exit(1);
  }
}
