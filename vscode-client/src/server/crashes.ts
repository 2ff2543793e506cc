// How often the server may crash before it is left alone.

export const MOST_CRASHES = 3;
export const WITHIN_MS = 3 * 60 * 1000;

/** Counts crashes; times are milliseconds of one clock. */
export class CrashCounter {
  #times: number[] = [];

  /** Whether to start the server again after a crash at `now`: not after the third within three minutes. */
  crashed(now: number): boolean {
    this.#times = [...this.#times.filter((time) => now - time < WITHIN_MS), now];
    return this.#times.length < MOST_CRASHES;
  }

  /** A person asked for a restart: what was before no longer counts. */
  forgive(): void {
    this.#times = [];
  }
}
