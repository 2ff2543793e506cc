import assert from "node:assert/strict";
import { test } from "node:test";
import { texts } from "../src/texts";

test("a list of texts, whatever was written", () => {
  assert.deepEqual(texts(["lacuna-lsp", "--stdio"]), ["lacuna-lsp", "--stdio"]);
  assert.deepEqual(texts("/opt/lacuna-lsp"), ["/opt/lacuna-lsp"]);
  assert.deepEqual(texts(["a", 3, null, " "]), ["a"]);
  assert.deepEqual([undefined, null, 7, {}, ""].map(texts), [[], [], [], [], []]);
});
