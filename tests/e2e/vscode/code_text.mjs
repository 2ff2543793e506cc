// The file that the scenarios fill: surroundings that say what is missing.
export const SHAPES = `"""Points on a drawing."""

from __future__ import annotations


class Point:
    def __init__(self, x: float, y: float) -> None:
        self.x = x
        self.y = y

    def __add__(self, other: Point) -> Point:
        return Point(self.x + other.x, self.y + ___)

    def __sub__(self, other: Point) -> Point:
        return Point(self.x - other.x, ___)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and ___
`;

/** The places [line, character] of all holes of a text. */
export function holesOf(text) {
  return text.split("\n").flatMap((line, number) => [...line.matchAll(/___/g)].map(({ index }) => [number, index]));
}

/** The text with other texts in place of its holes. */
export function filled(text, fills) {
  let number = 0;
  return text.replace(/___/g, () => fills[number++]);
}

/** A file whose holes, filled with these settings, keep the model busy for many seconds. */
export const LONG = ["first", "second", "third", "fourth", "fifth", "sixth"]
  .map((name) => `def ${name}(items, count):\n    ___\n    return items\n`)
  .join("\n\n");
export const LONG_SETTINGS = {
  "lacuna.alternatives": 64,
  "lacuna.maxTokens": 200,
  "lacuna.method": "sequential",
  "lacuna.temperature": 1.5,
};
