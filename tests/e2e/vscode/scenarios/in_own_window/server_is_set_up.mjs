// No server yet: the extension offers to make one. It makes a virtual environment with the user's Python, installs the wheel that it
// carries with what that needs, and starts it from there, neither with the workspace nor with PYTHONPATH on its path.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { Skipped } from "../../setup.mjs";
import { until } from "../../code.mjs";
import { serverOf, untilServing } from "../../stage.mjs";

export default async function (stage) {
  // A workspace that would like to be imported.
  const trap = "raise SystemExit('hijacked')\n";
  const files = { "a.py": "x = ___\n", "lsp_server/__init__.py": trap, "numpy.py": trap };
  const settings = { "lacuna.server.command": [], "lacuna.python": stage.python };
  const window = await stage.open("set_up", files, settings);
  await window.show("a.py");
  await window.press("Set it up now", "Set Up");
  const end = await until(
    "end of the installation",
    async () => {
      const server = await serverOf(window);
      const told = await window.page.locator(".notifications-toasts .notification-list-item-message").allInnerTexts();
      return server.kind === "running" ? "running" : told.find((text) => text.includes("could not be set up"));
    },
    140_000,
  );
  if (/index could not be reached|index has no/.test(end)) {
    throw new Skipped(`the server could not be installed here: ${end}`);
  }
  assert.equal(end, "running");
  const { pid } = await untilServing(window);
  const [program, ...args] = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  assert.match(program, /globalStorage\/lacuna\.lacuna\/servers\/[^/]+\/bin\/python$/);
  assert.ok(args.includes("-I"));
  assert.notEqual(path.relative(window.folder, fs.readlinkSync(`/proc/${pid}/cwd`)).slice(0, 2), "");
  await window.message("Lacuna is ready");
}
