// The clocks of a store, in a test's hand.

/** Two clocks that a test moves by hand: the wall clock may jump, the forward-only one does not. */
export class Clocks {
  wall: number;
  elapsed = 1_000;

  constructor(start: string) {
    this.wall = Date.parse(start);
  }

  /** Of `SqliteStore.open`. */
  readonly options = { clock: (): Date => new Date(this.wall) };
  /** Of `SessionTracker`. */
  readonly forTracker = { monotonicMs: (): number => this.elapsed };

  pass(ms: number): void {
    this.wall += ms;
    this.elapsed += ms;
  }

  /** As on Linux, the forward-only clock stands still meanwhile. */
  sleep(ms: number): void {
    this.wall += ms;
  }

  set(time: string): void {
    this.wall = Date.parse(time);
  }
}
