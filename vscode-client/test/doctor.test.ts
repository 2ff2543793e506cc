import assert from "node:assert/strict";
import { test } from "node:test";
import { doctorOf } from "../src/server/find";

test("the doctor of our own environment is run by its Python", () => {
  assert.deepEqual(doctorOf("/e/bin/python", ["-I", "-c", "import sys; …", "--stdio"])?.args.slice(0, 2), ["-I", "-c"]);
});

test("the doctor of an installed server lies beside it", () => {
  assert.deepEqual(doctorOf("/opt/bin/lacuna-lsp", []), { program: "/opt/bin/lacuna", args: [] });
  assert.deepEqual(doctorOf("lacuna-lsp", []), { program: "lacuna", args: [] });
});

test("of other programs it isn't known", () => {
  assert.equal(doctorOf("/usr/bin/ssh", ["host", "lacuna-lsp"]), undefined);
});
