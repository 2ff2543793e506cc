import assert from "node:assert/strict";
import { test } from "node:test";
import { labelOf, moreThan, placeholderOf, titleOf } from "../src/fill/labels";
import type { Alternative, FillResult } from "../src/protocol";

const range = { start: { line: 0, character: 0 }, end: { line: 0, character: 3 } };

function alternative(holes: number, mended: string[] = []): Alternative {
  const texts = Array.from({ length: holes }, () => "x");
  return { edits: texts.map((newText) => ({ range, newText })), texts, preview: texts.join(" · "), logLikelihood: -3.207, bitsPerToken: 1.048, tokens: 4, mended };
}

function result(ways: number, holes: number, refused: string[] = []): FillResult {
  return { version: 1, alternatives: Array.from({ length: ways }, () => alternative(holes)), refused, passes: 3, milliseconds: 20 };
}

test("a row has the texts and their likelihood", () => {
  assert.deepEqual(labelOf(alternative(2)), { label: "x · x", description: "log-likelihood −3.21 · 1.05 bits/token" });
  assert.equal(labelOf(alternative(1, ["indentation", "trailing_space"])).detail, "mended: indentation, trailing space");
});

test("the title counts holes and ways", () => {
  assert.equal(titleOf(result(3, 1)), "Fill the hole: 3 ways, the likeliest first");
  assert.equal(titleOf(result(1, 4)), "Fill 4 holes jointly: one way");
});

test("draws that are not shown are counted", () => {
  assert.equal(placeholderOf(result(1, 1)), "Enter keeps, Esc leaves all as it is");
  assert.match(placeholderOf(result(1, 1, ["a"])), /1 more was not good enough/);
  assert.match(placeholderOf(result(1, 1, ["a", "a"])), /2 more were not good enough/);
});

test("more ways are asked for until the server allows no more", () => {
  assert.deepEqual([result(3, 1), result(3, 1, ["a"]), result(40, 1), result(64, 1)].map(moreThan), [6, 8, 64, undefined]);
});
