// The two days whose usage was written last: the plain snapshot carries them, and they need not be the clock's.
import type { CommitParticipant } from './commit-participant.ts';
import type { Connection } from './connection.ts';

/** The first one was written last. */
export type UsageDays = readonly [last: string | null, previous: string | null];

/** Follows the days while a transaction runs, and writes them once before its COMMIT: a session that ends on two days leaves both as they were. */
export class UsageDaysWatch implements CommitParticipant {
  /** After what the open transaction has done so far; `undefined` where it is as it is stored. */
  current: UsageDays | undefined;
  /** What is stored, as far as it is known. */
  #stored: UsageDays | undefined;
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Before usage is written, so that nothing can fail after that. */
  know(): void {
    if (!this.current) this.#stored ??= this.#read();
  }

  /** Usage was written for this day, inside the open transaction, after `know`. */
  add(day: string): void {
    const last = (this.current ?? this.#stored)?.[0] ?? null;
    if (last !== day) this.current = [day, last];
  }

  /** As the open transaction has left them. */
  get(): UsageDays {
    return this.current ?? this.#read();
  }

  #read(): UsageDays {
    return this.#connection.get<[string | null, string | null]>('SELECT last_day, previous_day FROM store_meta WHERE id = 1') ?? [null, null];
  }

  /** Another connection has committed. */
  forget(): void {
    this.#stored = undefined;
  }

  begin(): void {}

  prepare(): void {
    const { current } = this;
    if (!current || (current[0] === this.#stored?.[0] && current[1] === this.#stored[1])) return;
    this.#connection.run('UPDATE store_meta SET last_day = ?, previous_day = ? WHERE id = 1', ...current);
  }

  committed(): void {
    this.#stored = this.current ?? this.#stored;
    this.current = undefined;
  }

  abandoned(): void {
    this.current = this.#stored = undefined;
  }
}
