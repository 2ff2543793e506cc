import assert from "node:assert/strict";
import { test } from "node:test";
import { endsAfter } from "../src/fill/ends";
import type { Replacement } from "../src/fill/preview";

/** The text with all replacements made, and a bar at each of the ends that were told. */
function marked(text: string, replacements: Replacement[]): string {
  const offset = (source: string, line: number, character: number): number =>
    source
      .split("\n")
      .slice(0, line)
      .reduce((sum, row) => sum + row.length + 1, 0) + character;
  let filled = text;
  for (const { start, end, text: written } of replacements.toReversed()) {
    filled = filled.slice(0, offset(text, start.line, start.character)) + written + filled.slice(offset(text, end.line, end.character));
  }
  for (const { line, character } of endsAfter(replacements).toReversed()) {
    const place = offset(filled, line, character);
    filled = `${filled.slice(0, place)}|${filled.slice(place)}`;
  }
  return filled;
}

const replace = (from: [number, number], to: [number, number], text: string): Replacement => ({
  start: { line: from[0], character: from[1] },
  end: { line: to[0], character: to[1] },
  text,
});

test("two holes of one line", () => {
  assert.equal(marked("f(___, ___)\n", [replace([0, 2], [0, 5], "width"), replace([0, 7], [0, 10], "h")]), "f(width|, h|)\n");
});

test("a text of several lines moves what follows", () => {
  const text = "a = ___; b = ___\nc = ___\n";
  const replacements = [replace([0, 4], [0, 7], "[\n  1]"), replace([0, 13], [0, 16], "2"), replace([1, 4], [1, 7], "")];
  assert.equal(marked(text, replacements), "a = [\n  1]|; b = 2|\nc = |\n");
});

test("lines that are taken away move it back", () => {
  const text = "one\ntwo\nthree = ___\n";
  assert.equal(marked(text, [replace([0, 1], [1, 2], "X"), replace([2, 8], [2, 11], "3")]), "oX|o\nthree = 3|\n");
  assert.equal(marked("one\ntwo ___\n", [replace([0, 1], [1, 2], "X"), replace([1, 4], [1, 7], "3")]), "oX|o 3|\n");
});

test("a place of no width", () => {
  assert.equal(marked("ab\n", [replace([0, 1], [0, 1], "xyz")]), "axyz|b\n");
});
