// From bits to the few levels that the map paints.

/** From how many bits of surprise on a token has each level; below the first it is left as it is. */
export const LEVELS = [2, 4, 7, 11] as const;

/** The level of a token, from 0 for none to LEVELS.length. */
export function levelOf(bits: number): number {
  return LEVELS.filter((least) => bits >= least).length;
}

/** Text of one line and the signs of the levels, for the status bar. */
export function legend(): string {
  const shades = ["░", "▒", "▓", "█"];
  return `${LEVELS.map((least, index) => `${shades[index] ?? ""}\u2009${least}`).join(" ")} bits`;
}

export interface Scored {
  readonly bits: number;
}

/** The tokens by level, from level 1 on. */
export function byLevel<T extends Scored>(tokens: readonly T[]): T[][] {
  return LEVELS.map((_, index) => tokens.filter(({ bits }) => levelOf(bits) === index + 1));
}
