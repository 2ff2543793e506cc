// Work that waits until nobody has asked for it again for a while; by key, so that one document's work doesn't put off another's.

export class Debounced<T> {
  readonly #timers = new Map<string, NodeJS.Timeout>();

  constructor(
    private readonly milliseconds: number,
    private readonly work: (value: T) => void | Promise<void>,
  ) {}

  /** Do the work with this value once the key has been quiet. */
  call(key: string, value: T): void {
    clearTimeout(this.#timers.get(key));
    const timer = setTimeout(() => {
      this.#timers.delete(key);
      void this.work(value);
    }, this.milliseconds);
    this.#timers.set(key, timer);
  }

  dispose(): void {
    for (const timer of this.#timers.values()) {
      clearTimeout(timer);
    }
    this.#timers.clear();
  }
}
