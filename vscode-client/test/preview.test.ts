import assert from "node:assert/strict";
import { test } from "node:test";
import { shownRows } from "../src/fill/preview";

const at = (line: number, character: number): { line: number; character: number } => ({ line, character });
const rows = (start: [number, number], end: [number, number], text: string): [number, number, string][] =>
  shownRows({ start: at(...start), end: at(...end), text }, 4).map(({ line, character, text }) => [
    line,
    character,
    text.replaceAll("\u00a0", " "),
  ]);

test("a word stands where the hole begins", () => {
  assert.deepEqual(rows([3, 8], [3, 11], "total"), [[3, 8, "total"]]);
});

test("spaces don't run together", () => {
  assert.equal(shownRows({ start: at(0, 0), end: at(0, 3), text: "a  =\tb" }, 2)[0]?.text, "a\u00a0\u00a0=\u00a0\u00a0b");
});

test("lines that the text has no room for follow on the last one", () => {
  assert.deepEqual(rows([1, 4], [1, 7], "if a:\n        b()\n\n    c()"), [[1, 4, "if a: ⏎ b() ⏎ c()"]]);
});

test("several lines stand on the lines that they replace", () => {
  assert.deepEqual(rows([1, 4], [3, 6], "a\n    b\n    c"), [
    [1, 4, "a"],
    [2, 0, "    b"],
    [3, 0, "    c"],
  ]);
  assert.deepEqual(rows([1, 4], [2, 6], "a\n    b\n    c\n    d"), [
    [1, 4, "a"],
    [2, 0, "    b ⏎ c ⏎ d"],
  ]);
  assert.deepEqual(rows([1, 4], [3, 6], "a\r\n    b"), [
    [1, 4, "a"],
    [2, 0, "    b"],
  ]);
});

test("nothing is shown as such", () => {
  assert.deepEqual(rows([1, 4], [1, 7], ""), [[1, 4, "∅"]]);
  assert.deepEqual(rows([1, 4], [2, 7], " "), [[1, 4, "∅"]]);
});

test("a long text is cut", () => {
  const [row] = rows([0, 0], [0, 3], "x".repeat(1000));
  assert.equal(row?.[2].length, 160);
  assert.ok(row[2].endsWith("…"));
});
