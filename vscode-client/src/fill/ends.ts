// Where the cursors go once a fill is kept. Positions are lines and UTF-16 units from 0.
import type { Place, Replacement } from "./preview";

/** The ends of the new texts once all replacements are made. They are in the order of the text and don't overlap. */
export function endsAfter(replacements: readonly Replacement[]): Place[] {
  const ends: Place[] = [];
  // How far the text behind the last replacement has moved: all lines, and on the line where it ended the characters, too.
  let lines = 0;
  let characters = 0;
  let lastLine = -1;
  for (const { start, end, text } of replacements) {
    const written = text.split(/\r\n|\r|\n/);
    const last = written.at(-1) ?? "";
    const from = start.character + (start.line === lastLine ? characters : 0);
    const place = {
      line: start.line + lines + written.length - 1,
      character: written.length === 1 ? from + last.length : last.length,
    };
    ends.push(place);
    lines = place.line - end.line;
    characters = place.character - end.character;
    lastLine = end.line;
  }
  return ends;
}
