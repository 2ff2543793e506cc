import assert from "node:assert/strict";
import { test } from "node:test";
import { byLevel, legend, LEVELS, levelOf } from "../src/surprise/levels";

test("a level begins at its bits", () => {
  assert.deepEqual([0, 1.99, 2, 3.99, 4, 6.9, 7, 11, 40].map(levelOf), [0, 0, 1, 1, 2, 2, 3, 4, 4]);
});

test("tokens are sorted into levels, without those that are no surprise", () => {
  const tokens = [1, 2.5, 12, 5, 3].map((bits) => ({ bits }));
  assert.deepEqual(
    byLevel(tokens).map((level) => level.map(({ bits }) => bits)),
    [[2.5, 3], [5], [], [12]],
  );
});

test("the legend names the bits of every level", () => {
  assert.deepEqual(legend().match(/\d+/g)?.map(Number), [...LEVELS]);
});
