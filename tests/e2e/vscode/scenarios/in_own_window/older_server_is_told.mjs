// The environment has the server of another version: it is used, and an update offered.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { untilServing } from "../../stage.mjs";

export default async function (stage) {
  const storage = path.join(stage.home, "data/User/globalStorage/lacuna.lacuna/servers");
  const older = path.join(storage, "0.0.1-000000000000");
  fs.rmSync(storage, { recursive: true, force: true });
  fs.mkdirSync(path.join(older, "bin"), { recursive: true });
  fs.writeFileSync(path.join(older, "lacuna.json"), JSON.stringify({ version: "0.0.1", sha256: "0".repeat(64) }));
  fs.writeFileSync(path.join(older, "bin/python"), `#!/bin/sh\nexec "${stage.python}" "$@"\n`, { mode: 0o755 });
  const window = await stage.open("older", { "a.py": "x = ___\n" }, { "lacuna.server.command": [] });
  await window.show("a.py");
  await untilServing(window);
  const message = await window.message("0.0.1");
  assert.match(message, /\(0\.0\.1\) .*version of the extension \(\d+\.\d+\.\d+\)/);
  fs.rmSync(storage, { recursive: true });
}
