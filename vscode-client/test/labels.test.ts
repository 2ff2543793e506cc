import assert from "node:assert/strict";
import { test } from "node:test";
import { labelsOf, moreThan, placeholderOf, titleOf } from "../src/fill/labels";
import type { Alternative, FillResult } from "../src/protocol";

const range = { start: { line: 0, character: 0 }, end: { line: 0, character: 3 } };

function alternative(texts: string[], mended: string[] = []): Alternative {
  return {
    edits: texts.map((newText) => ({ range, newText })),
    texts,
    preview: "",
    logLikelihood: -3.207,
    bitsPerToken: 1.048,
    tokens: 4,
    mended,
  };
}

function result(ways: number, holes: number, refused: string[] = []): FillResult {
  const texts = Array.from({ length: holes }, () => "x");
  return { version: 1, alternatives: Array.from({ length: ways }, () => alternative(texts)), refused, passes: 3, milliseconds: 20 };
}

const labels = (...rows: string[][]): string[] => labelsOf(rows.map((texts) => alternative(texts))).map(({ label }) => label);

test("a row has the texts and their likelihood", () => {
  assert.deepEqual(labelsOf([alternative(["a", "b\n    c"])]), [{ label: "a · b ⏎ c", description: "log-lik. −3.21 · 1.05 bits/token" }]);
  assert.equal(labelsOf([alternative(["a"], ["indentation", "trailing_space"])])[0]?.detail, "mended: indentation, trailing space");
});

test("equal texts are written once, and nothing is called so", () => {
  assert.deepEqual(labels(["width", "width", "width"], ["width", "", "1"]), ["width ×3", "width · (nothing) · 1"]);
});

test("where a row is too short for all, the holes in which all agree are left out", () => {
  const long = "return sum(item.price for item in self.items)";
  const rows = labels([long, "0", long, "len(self)"], [long, "None", long, "1"]);
  assert.deepEqual(rows, ["… · 0 · … · len(self)", "… · None · … · 1"]);
  assert.deepEqual(labels(["0", long, long], ["1", long, long]), ["0 · …", "1 · …"]);
});

test("what still is too long is cut, but every difference keeps a part", () => {
  const [row = ""] = labels(["a".repeat(50), "b".repeat(50)], ["c".repeat(50), "d".repeat(50)]);
  assert.match(row, /^a{31}… · b{31}…$/);
  const [many = ""] = labels(
    Array.from({ length: 10 }, (_, hole) => `${hole}${"x".repeat(50)}`),
    Array.from({ length: 10 }, () => "y"),
  );
  assert.equal(many.split(" · ").length, 10);
});

test("the title counts holes and ways", () => {
  assert.equal(titleOf(result(3, 1)), "Fill the hole: 3 ways, the likeliest first");
  assert.equal(titleOf(result(1, 4)), "Fill 4 holes jointly: one way");
});

test("draws that are not shown are counted", () => {
  assert.doesNotMatch(placeholderOf(result(1, 1)), /good/);
  assert.match(placeholderOf(result(1, 1, ["a", "a"])), /\(2 not good enough to show\)/);
});

test("more ways are asked for until the server allows no more", () => {
  assert.deepEqual([result(3, 1), result(3, 1, ["a"]), result(40, 1), result(64, 1)].map(moreThan), [6, 8, 64, undefined]);
});
