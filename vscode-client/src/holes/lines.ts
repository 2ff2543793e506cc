// Which lenses stand above which lines.

/** A lens: its line, its title, and the holes that it fills by their numbers; "all" of the file. */
export interface LensPlan {
  readonly line: number;
  readonly title: string;
  readonly holes: readonly number[] | "all";
}

/** The lenses for holes on these lines, in the order of the text: one a line, and on the first line one for all where there are several. */
export function planLenses(lines: readonly number[]): LensPlan[] {
  const byLine = new Map<number, number[]>();
  for (const [number, line] of lines.entries()) {
    byLine.set(line, [...(byLine.get(line) ?? []), number]);
  }
  return [...byLine].flatMap(([line, holes], index) => {
    const title = holes.length === 1 ? "Fill" : `Fill these ${holes.length}`;
    const plan: LensPlan = { line, title, holes };
    const all = lines.length === 2 ? "Fill both jointly" : `Fill all ${lines.length} jointly`;
    if (byLine.size === 1 && lines.length > 1) {
      return [{ line, title: all, holes: "all" }];
    }
    return index === 0 && lines.length > 1 ? [plan, { line, title: all, holes: "all" as const }] : [plan];
  });
}
