import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { findServer } from "../src/server/find";
import type { Wheel } from "../src/setup/environment";
import {
  bundledWheel,
  environmentOf,
  environments,
  findEnvironment,
  pythonIn,
  removeOthers,
  serverIn,
  stamp,
  unfinished,
} from "../src/setup/environment";

const platform = process.platform;
const newer: Wheel = { path: "/x/lacuna_lsp-0.2.0.whl", version: "0.2.0", sha256: "a".repeat(64) };
const older: Wheel = { path: "/x/lacuna_lsp-0.1.0.whl", version: "0.1.0", sha256: "b".repeat(64) };

function storage(): Promise<string> {
  return mkdtemp(join(tmpdir(), "lacuna-"));
}

/** What an environment of a wheel looks like, as far as that is looked at. */
async function make(folder: string, wheel: Wheel, { python = true, complete = true } = {}): Promise<string> {
  const program = pythonIn(folder, platform);
  await mkdir(dirname(program), { recursive: true });
  if (python) {
    await writeFile(program, "");
    await chmod(program, 0o755);
  }
  const { file, text } = stamp(wheel);
  if (complete) {
    await writeFile(join(folder, file), text);
  }
  return folder;
}

test("no environment, or none that is complete, is none", async () => {
  const place = await storage();
  assert.equal(await findEnvironment(place, newer, platform), undefined);
  await make(environmentOf(place, newer), newer, { complete: false });
  await make(unfinished(place, "1"), newer);
  assert.equal(await findEnvironment(place, newer, platform), undefined);
});

test("an environment whose Python has gone is none", async () => {
  const place = await storage();
  await make(environmentOf(place, newer), newer, { python: false });
  assert.equal(await findEnvironment(place, newer, platform), undefined);
});

test("that of the extension's own wheel is taken before others", async () => {
  const place = await storage();
  const kept = await make(environmentOf(place, newer), newer);
  await make(environmentOf(place, older), older);
  assert.deepEqual(await findEnvironment(place, newer, platform), { folder: kept, version: "0.2.0", current: true });
});

test("a server of another wheel is started, and known to be outdated", async () => {
  const place = await storage();
  const folder = await make(environmentOf(place, older), older);
  const found = await findServer({ command: [], storage: place, wheel: newer, platform });
  assert.deepEqual(found, { ...serverIn(folder, place, platform), outdated: "0.1.0" });
});

test("two builds of one version are told apart", async () => {
  const place = await storage();
  const build = { ...newer, sha256: "c".repeat(64) };
  await make(environmentOf(place, build), build);
  assert.equal((await findEnvironment(place, newer, platform))?.current, false);
});

test("the server is started neither in the workspace nor with anything but the environment on its path", async () => {
  const place = await storage();
  await make(environmentOf(place, newer), newer);
  const found = await findServer({ command: [], storage: place, wheel: newer, platform });
  assert.ok("program" in found);
  assert.equal(found.folder, place);
  assert.equal(found.args[0], "-I");
});

test("what the setting names goes before the environment", async () => {
  const place = await storage();
  await make(environmentOf(place, newer), newer);
  const found = await findServer({ command: ["/opt/lacuna-lsp", "--log-level", "debug"], storage: place, wheel: newer, platform });
  assert.deepEqual(found, { program: "/opt/lacuna-lsp", args: ["--log-level", "debug"], folder: place });
});

test("a home folder is written out", async () => {
  const found = await findServer({ command: ["~/bin/lacuna-lsp"], storage: "/s", wheel: undefined, platform: "linux" });
  assert.ok("program" in found && found.program.endsWith("/bin/lacuna-lsp") && !found.program.startsWith("~"));
});

test("without an environment it is said what there is not", async () => {
  const place = await storage();
  assert.deepEqual(await findServer({ command: [], storage: place, wheel: newer, platform }), { missing: "it is not set up yet" });
  assert.deepEqual(await findServer({ command: [" "], storage: place, wheel: undefined, platform }), {
    missing: "this copy of the extension carries no server",
  });
});

test("others are removed, but not what another window may be at", async () => {
  const place = await storage();
  const kept = await make(environmentOf(place, newer), newer);
  await make(environmentOf(place, older), older);
  const fresh = await make(unfinished(place, "fresh"), newer);
  const left = await make(unfinished(place, "left"), newer);
  const yesterday = new Date(Date.now() - 25 * 3600 * 1000);
  await utimes(left, yesterday, yesterday);
  await removeOthers(place, kept);
  assert.deepEqual((await readdir(environments(place))).map((name) => join(environments(place), name)).sort(), [fresh, kept].sort());
});

test("the wheel that lies in a folder", async () => {
  const place = await storage();
  assert.equal(await bundledWheel(place), undefined);
  await writeFile(join(place, "wheel.json"), JSON.stringify({ file: "lacuna.whl", version: "0.1.0", sha256: "ab" }));
  assert.deepEqual(await bundledWheel(place), { path: join(place, "lacuna.whl"), version: "0.1.0", sha256: "ab" });
  await writeFile(join(place, "wheel.json"), "{");
  assert.equal(await bundledWheel(place), undefined);
});
