// The words of the list of alternatives.
import type { Alternative, FillResult } from "../protocol";

/** The most alternatives that `lacuna/fill` may be asked for. */
const MOST_WAYS = 64;
/** How long a row's texts may be together, in characters. */
const LONGEST = 64;
const SHORTEST_PART = 12;
const BETWEEN = " · ";
const LEFT_OUT = "…";

export interface Label {
  readonly label: string;
  readonly description: string;
  readonly detail?: string;
}

/**
 * The rows of the list. Where the texts of all holes are too long for a row, those holes are left out in which all alternatives agree: the
 * editor shows them anyway, and what is looked for are the differences.
 */
export function labelsOf(alternatives: readonly Alternative[]): Label[] {
  const rows = alternatives.map(({ texts }) => texts.map(flat));
  const isShort = rows.every((row) => row.join(BETWEEN).length <= LONGEST);
  const differs = (hole: number): boolean => isShort || rows.length === 1 || rows.some((row) => row[hole] !== rows[0]?.[hole]);
  return alternatives.map(({ logLikelihood, bitsPerToken, mended }, index) => {
    const label = joined((rows[index] ?? []).map((text, hole) => (differs(hole) ? text : LEFT_OUT)));
    const description = `log-lik. ${number(logLikelihood)}${BETWEEN}${number(bitsPerToken)} bits/token`;
    const detail = `mended: ${mended.join(", ").replaceAll("_", " ")}`;
    return mended.length === 0 ? { label, description } : { label, description, detail };
  });
}

/** The list's title. */
export function titleOf({ alternatives }: FillResult): string {
  const holes = alternatives[0]?.edits.length ?? 0;
  const what = holes === 1 ? "the hole" : `${holes} holes jointly`;
  return alternatives.length === 1 ? `Fill ${what}: one way` : `Fill ${what}: ${alternatives.length} ways, the likeliest first`;
}

/** What is told beside the list: what the keys do, and how many draws are not shown. */
export function placeholderOf({ refused }: FillResult): string {
  const kept = "Enter keeps, Esc leaves all as it is";
  return refused.length === 0 ? kept : `${kept} (${refused.length} not good enough to show)`;
}

/** How many ways to ask for next, to have more than this; undefined where the server allows no more. */
export function moreThan({ alternatives, refused }: FillResult): number | undefined {
  const drawn = alternatives.length + refused.length;
  return drawn < MOST_WAYS ? Math.min(MOST_WAYS, 2 * drawn) : undefined;
}

/** A text on one line. */
function flat(text: string): string {
  const lines = text.split(/[\r\n]+/).map((line) => line.trim().replaceAll(/\s+/g, " "));
  return lines.filter((line) => line !== "").join(" ⏎ ") || "(nothing)";
}

/** The texts of a row: equal ones once, what is left out only once at a place, and long ones cut such that each keeps a part. */
function joined(texts: readonly string[]): string {
  const [first] = texts;
  if (first !== undefined && texts.length > 1 && texts.every((text) => text === first)) {
    return `${clipped(first, LONGEST)} ×${texts.length}`;
  }
  const parts = texts.filter((text, index) => text !== LEFT_OUT || texts[index - 1] !== LEFT_OUT);
  const room = Math.max(SHORTEST_PART, Math.floor(LONGEST / parts.filter((text) => text !== LEFT_OUT).length));
  const whole = parts.join(BETWEEN);
  return whole.length <= LONGEST ? whole : parts.map((text) => clipped(text, room)).join(BETWEEN);
}

function clipped(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

function number(value: number): string {
  return value.toFixed(2).replace("-", "−");
}
