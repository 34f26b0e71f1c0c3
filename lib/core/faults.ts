// The findings of a store: their kinds and meanings are declared here, `health()` lists them, and a diagnostics channel
// publishes each when it is first seen.
import { channel } from 'node:diagnostics_channel';

/**
 * Something that is not as it should be. `kind` is stable, `message` is for people, `since` is when it was first seen.
 */
export interface HealthFinding {
  kind:
    | 'stopped' // the store refuses writes until it is reopened
    | 'replaced' // there is another file, or none, at the store's path
    | 'unreadable' // the head of the log cannot be read from the disk
    | 'snapshot-file-damaged'
    | 'snapshot-file-missing'
    | 'snapshot-outdated' // the snapshot file is older than the archived part of the log
    | 'snapshot-row-damaged'
    | 'behind' // the snapshot file knows of commits that the database lacks
    | 'snapshot-not-placed' // the row is durable, but the snapshot file is older
    | 'checkpoint-failed'
    | 'wal-large' // a reader keeps the WAL from being emptied
    | 'second-name' // the database has a hard link, under which it would have a second -wal
    | 'mounted-alone' // the database is mounted without its folder
    | 'schema-changed' // another process has changed the tables
    | 'schema-newer' // a newer version has written the file (lib/reading/newer.ts)
    | 'other-machine' // the store was made on another machine, as the copies of an image are
    | 'clock-behind' // the clock is behind the newest event
    | 'time-zone' // days are those of another zone than TZ or the system says
    | 'folder-shared'; // others may write to the database's folder
  message: string;
  since: Date;
}

/** What subscribers of the `diagnostics_channel` `shepherd-store:fault` get, at the moment a fault is first seen. */
export interface Fault {
  path: string;
  kind: HealthFinding['kind'];
  message: string;
  error?: unknown;
}

const faultChannel = channel('shepherd-store:fault');

/** The open findings of one store, at most one of a kind. */
export class Faults {
  readonly #path: string;
  readonly #clock: () => Date;
  readonly #findings = new Map<HealthFinding['kind'], HealthFinding>();
  /** The faults to publish later; undefined while faults are published at once. */
  #held: Fault[] | undefined;

  constructor(path: string, clock: () => Date) {
    this.#path = path;
    this.#clock = clock;
  }

  /** Records a finding and publishes it, unless one of its kind is open already. */
  report(kind: HealthFinding['kind'], message: string, error?: unknown): void {
    const known = this.#findings.get(kind);
    this.#findings.set(kind, { kind, message, since: known?.since ?? this.#clock() });
    if (known) return;
    const fault: Fault = { path: this.#path, kind, message, ...(error === undefined ? undefined : { error }) };
    if (this.#held) this.#held.push(fault);
    else faultChannel.publish(fault);
  }

  /** Runs `fn`, and publishes the faults that it reports only when it has ended. */
  publishAfter<T>(fn: () => T): T {
    if (this.#held) return fn();
    const held: Fault[] = [];
    this.#held = held;
    try {
      return fn();
    } finally {
      this.#held = undefined;
      for (const fault of held) faultChannel.publish(fault);
    }
  }

  clear(kind: HealthFinding['kind']): void {
    this.#findings.delete(kind);
  }

  list(): HealthFinding[] {
    return Array.from(this.#findings.values(), (finding) => ({ ...finding }));
  }
}
