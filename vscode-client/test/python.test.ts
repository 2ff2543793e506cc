import assert from "node:assert/strict";
import { test } from "node:test";
import type { Version } from "../src/setup/python";
import { candidates, findPython, isNewEnough, readProbe } from "../src/setup/python";
import type { Ran } from "../src/setup/run";

const said = (version: string, executable: string): Ran => ({ code: 0, lines: [`[[${version}], ${JSON.stringify(executable)}]`] });

/** A machine on which these programs answer so; others aren't there. */
function machine(programs: Record<string, Ran>): (program: string) => Promise<Ran> {
  return (program) => {
    const ran = programs[program];
    return ran === undefined ? Promise.reject(new Error(`there is no program ${program}`)) : Promise.resolve(ran);
  };
}

test("what a Python says of itself", () => {
  assert.deepEqual(readProbe(said("3, 12, 4", "C:\\Programs\\python.exe")), {
    version: [3, 12, 4],
    executable: "C:\\Programs\\python.exe",
  });
  const noise = { code: 0, lines: ["a message of the day", '[[3, 11, 0], "/usr/bin/python3"]'] };
  assert.equal(readProbe(noise)?.executable, "/usr/bin/python3");
});

test("what is no Python's answer", () => {
  const answers: Ran[] = [
    { code: 9009, lines: ["Python was not found; run without arguments to install from the Store"] },
    { code: 0, lines: ["hello"] },
    { code: 0, lines: [] },
    { code: null, lines: ['[[3, 11, 0], "/usr/bin/python3"]'] },
  ];
  assert.deepEqual(answers.map(readProbe), [undefined, undefined, undefined, undefined]);
});

test("3.11 is the oldest that will do", () => {
  const versions: Version[] = [
    [3, 11, 0],
    [3, 11, 9],
    [3, 12, 0],
    [4, 0, 0],
    [3, 10, 14],
    [3, 9, 0],
    [2, 7, 18],
  ];
  assert.deepEqual(versions.map(isNewEnough), [true, true, true, true, false, false, false]);
});

test("the first that is new enough is taken, though an older one comes before it", async () => {
  const ask = machine({ python3: said("3, 9, 2", "/usr/bin/python3"), "python3.12": said("3, 12, 1", "/opt/python3.12") });
  assert.deepEqual(await findPython(candidates(undefined, "linux"), ask), { version: [3, 12, 1], executable: "/opt/python3.12" });
});

test("on Windows the launcher comes first", async () => {
  assert.deepEqual(candidates(undefined, "win32")[0], { program: "py", args: ["-3"] });
  const ask = machine({ py: said("3, 13, 0", "C:\\py.exe"), python: said("3, 12, 0", "C:\\old.exe") });
  assert.equal((await findPython(candidates(undefined, "win32"), ask)).executable, "C:\\py.exe");
});

test("a Python that was chosen is the only one that is tried", async () => {
  const ask = machine({ python3: said("3, 12, 1", "/usr/bin/python3"), "/old/python": said("3, 8, 10", "/old/python") });
  await assert.rejects(findPython(candidates(" /old/python ", "linux"), ask), {
    message: "the Python at /old/python is 3.8.10, and Lacuna needs 3.11 or newer",
  });
  await assert.rejects(findPython(candidates("/none", "linux"), ask), { message: "/none is no Python that can be run" });
});

test("no Python at all", async () => {
  await assert.rejects(findPython(candidates(undefined, "linux"), machine({})), {
    message: "no Python was found; Lacuna needs 3.11 or newer",
  });
});
