import assert from "node:assert/strict";
import { test } from "node:test";
import { LSPErrorCodes, ResponseError } from "vscode-languageserver-protocol";
import { reasonOf } from "../src/reasons";

test("what the server says is shown as one sentence", () => {
  assert.equal(reasonOf(new ResponseError(LSPErrorCodes.RequestFailed, "Lacuna: there is no hole here")), "Lacuna: there is no hole here.");
  assert.equal(reasonOf(new Error("it did not answer")), "Lacuna: it did not answer.");
});

test("nothing is said of what was cancelled, or what the server has told already", () => {
  const cancelled = Object.assign(new Error("Canceled"), { name: "Canceled" });
  const errors = [new ResponseError(LSPErrorCodes.RequestCancelled, "x"), new ResponseError(LSPErrorCodes.ContentModified, "x"), cancelled];
  assert.deepEqual(errors.map(reasonOf), [undefined, undefined, undefined]);
});
