// The words of the list of alternatives.
import type { Alternative, FillResult } from "../protocol";

/** The most alternatives that `lacuna/fill` may be asked for. */
const MOST_WAYS = 64;

export interface Label {
  readonly label: string;
  readonly description: string;
  readonly detail?: string;
}

/** One row of the list. */
export function labelOf({ preview, logLikelihood, bitsPerToken, mended }: Alternative): Label {
  const description = `log-likelihood ${number(logLikelihood)} · ${number(bitsPerToken)} bits/token`;
  return mended.length === 0 ? { label: preview, description } : { label: preview, description, detail: `mended: ${mended.join(", ").replaceAll("_", " ")}` };
}

/** The list's title. */
export function titleOf({ alternatives }: FillResult): string {
  const holes = alternatives[0]?.edits.length ?? 0;
  const what = holes === 1 ? "the hole" : `${holes} holes jointly`;
  return alternatives.length === 1 ? `Fill ${what}: one way` : `Fill ${what}: ${alternatives.length} ways, the likeliest first`;
}

/** What is told beside the list: how many draws were not shown. */
export function placeholderOf({ refused }: FillResult): string {
  const kept = "Enter keeps, Esc leaves all as it is";
  return refused.length === 0 ? kept : `${kept} (${refused.length} more ${refused.length === 1 ? "was" : "were"} not good enough to show)`;
}

/** How many ways to ask for next, to have more than this; undefined where the server allows no more. */
export function moreThan({ alternatives, refused }: FillResult): number | undefined {
  const drawn = alternatives.length + refused.length;
  return drawn < MOST_WAYS ? Math.min(MOST_WAYS, 2 * drawn) : undefined;
}

function number(value: number): string {
  return value.toFixed(2).replace("-", "−");
}
