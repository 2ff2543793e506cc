import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Wheel } from "../src/setup/environment";
import { environmentOf, environments, findEnvironment } from "../src/setup/environment";
import { install } from "../src/setup/install";

const wheel: Wheel = { path: "/x/lacuna_lsp-0.1.0-py3-none-any.whl", version: "0.1.0", sha256: "a".repeat(64) };

interface Attempt {
  readonly storage: string;
  readonly outcome: Promise<string>;
  readonly heard: string[];
  readonly doing: string[];
}

/** An installation with a Python that is a shell script: it makes environments, and does `pip` where it should install. */
async function attempt(pip: string, place?: string): Promise<Attempt> {
  const storage = place ?? (await mkdtemp(join(tmpdir(), "lacuna-")));
  const executable = join(storage, "python");
  const script = `#!/bin/sh
case "$2 $3" in
"-m venv") mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
"-m pip") ${pip} ;;
esac
`;
  await writeFile(executable, script);
  await chmod(executable, 0o755);
  const abort = new AbortController();
  const heard: string[] = [];
  const doing: string[] = [];
  const outcome = install({
    python: { executable, version: [3, 12, 0] },
    wheel,
    storage,
    onLine: (line) => heard.push(line),
    onProgress: (words) => {
      doing.push(words);
      if (words === "looking for numpy") {
        abort.abort(new Error("cancelled"));
      }
    },
    onComplete: () => Promise.resolve(),
    signal: abort.signal,
  });
  return { storage, outcome, heard, doing };
}

describe("an installation", { skip: process.platform === "win32" ? "its Python is a shell script" : false }, () => {
  test("leaves an environment that is found", async () => {
    const { storage, outcome, doing, heard } = await attempt("echo 'Installing collected packages: numpy'; echo \"$@\"");
    assert.equal(await outcome, environmentOf(storage, wheel));
    assert.deepEqual(await readdir(environments(storage)), [`0.1.0-${"a".repeat(12)}`]);
    assert.equal((await findEnvironment(storage, wheel, process.platform))?.current, true);
    assert.deepEqual(doing, ["making a virtual environment", "installing", "installing the packages", "trying it"]);
    assert.ok(heard.some((line) => line.endsWith(`${wheel.path}[languages]`)));
  });

  test("that fails says why, and leaves nothing", async () => {
    const { storage, outcome } = await attempt(
      "echo 'ERROR: Failed to establish a new connection: [Errno 111] Connection refused' >&2; exit 1",
    );
    await assert.rejects(outcome, /could not be reached/);
    assert.deepEqual(await readdir(environments(storage)), []);
  });

  test("that is cancelled leaves nothing", async () => {
    const { storage, outcome } = await attempt("echo 'Collecting numpy'; exec sleep 600");
    await assert.rejects(outcome, { message: "cancelled" });
    assert.deepEqual(await readdir(environments(storage)), []);
  });

  test("takes the place of an older one of the same wheel", async () => {
    const first = await attempt("true");
    await first.outcome;
    const folder = environmentOf(first.storage, wheel);
    await writeFile(join(folder, "old"), "");
    await (
      await attempt("true", first.storage)
    ).outcome;
    assert.ok(!(await readdir(folder)).includes("old"));
  });
});
