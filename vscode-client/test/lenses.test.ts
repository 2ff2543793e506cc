import assert from "node:assert/strict";
import { test } from "node:test";
import { planLenses } from "../src/holes/lines";

const plan = (...lines: number[]): [number, string, readonly number[] | "all"][] =>
  planLenses(lines).map(({ line, title, holes }) => [line, title, holes]);

test("without holes there are no lenses", () => {
  assert.deepEqual(plan(), []);
});

test("a single hole has one", () => {
  assert.deepEqual(plan(4), [[4, "Fill", [0]]]);
});

test("of several lines the first has one for all holes, too", () => {
  assert.deepEqual(plan(4, 7), [
    [4, "Fill", [0]],
    [4, "Fill both jointly", "all"],
    [7, "Fill", [1]],
  ]);
});

test("several holes of a line are filled together", () => {
  assert.deepEqual(plan(2, 2, 5), [
    [2, "Fill these 2", [0, 1]],
    [2, "Fill all 3 jointly", "all"],
    [5, "Fill", [2]],
  ]);
});

test("where all holes are in one line, one lens is enough", () => {
  assert.deepEqual(plan(2, 2, 2), [[2, "Fill all 3 jointly", "all"]]);
});
