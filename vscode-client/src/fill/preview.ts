// What an alternative looks like in the editor before it is kept: pure geometry. Positions are lines and UTF-16 units from 0.

const LONGEST = 160;
const LINE_END = " ⏎ ";
const NOTHING = "∅";

export interface Place {
  readonly line: number;
  readonly character: number;
}

export interface Replacement {
  readonly start: Place;
  readonly end: Place;
  readonly text: string;
}

/** Text to show before a place. */
export interface Shown extends Place {
  readonly text: string;
}

/**
 * The rows to show for one replacement, on the lines of the text that it replaces. A text of more lines than that has those that are left
 * on the last one, since an editor can't show lines that aren't there.
 */
export function shownRows({ start, end, text }: Replacement, tabSize: number): Shown[] {
  const rows = end.line - start.line + 1;
  const lines = text.split(/\r\n|\r|\n/);
  const places = Array.from({ length: rows }, (_, row) => ({ line: start.line + row, character: row === 0 ? start.character : 0 }));
  return places.flatMap((place, row) => {
    const shown = row === rows - 1 ? joined(lines.slice(row)) : (lines[row] ?? "");
    const visible = row === 0 && text.trim() === "" ? NOTHING : shown;
    return visible === "" ? [] : [{ ...place, text: asContent(visible, tabSize) }];
  });
}

function joined(lines: readonly string[]): string {
  const [first = "", ...others] = lines;
  return [first, ...others.map((line) => line.trim()).filter((line) => line !== "")].join(LINE_END);
}

/** Text for a decoration, which would let spaces run together. */
function asContent(text: string, tabSize: number): string {
  const spaced = text.replaceAll("\t", " ".repeat(tabSize)).replaceAll(" ", "\u00a0");
  return spaced.length <= LONGEST ? spaced : `${spaced.slice(0, LONGEST - 1)}…`;
}
