// An outbox: how far the log has been sent to one place, and the lines that come next. Delivery is at least once.
import { type Anchor, checkAnchor } from '../../core/chain.ts';
import type { ModuleConnection } from '../../core/door.ts';
import { headerText } from '../../ledger/line.ts';
import { connect, type SqliteStore } from '../../store.ts';
import { checkInteger, checkOptions, parseInstant } from '../../values/checks.ts';
import { StoreError } from '../../values/errors.ts';
import { lineTexts } from './lines.ts';
import { checkName, type Position, readPosition, startOf } from './position.ts';

export type { Position } from './position.ts';

/** How much to read; at least one line is, however long it is. */
export interface ReadOptions {
  /** How many lines at most, up to 100,000; 500 where absent. */
  limit?: number | undefined;
  /** How many bytes of UTF-8 at most, up to 64 MiB; 1 MiB where absent. */
  maxBytes?: number | undefined;
}

/** Lines on their way. */
export interface Batch {
  /** A header line and lines, each with its newline, as a ledger has them (`lib/ledger/README.md`). */
  text: string;
  /** The ids of the first and the last row. */
  from: number;
  to: number;
  /** The last row, to be acknowledged once all of them have arrived. */
  anchor: Anchor;
  /** Up to which row the place has an older state of the log; see `Position`. */
  rewound?: number;
}

/** How much is still to be sent. */
export interface Lag {
  events: number;
  /** The time of the first of these events; absent where there are none, and where its time cannot be read. */
  since?: Date;
}

/**
 * The outbox of a store for one place, with a name of the caller's. It begins where the log begins, or behind the last
 * renewal of the store's identity, once `new Outbox` has returned: durable. From then on no row behind its position
 * goes into an archive. In a store that was opened read-only one that is not there yet stands at that beginning, and
 * nothing is written. Throws `ERR_STORE_INVALID_ARGUMENT` for a name that it does not accept, and what a write throws.
 */
export class Outbox {
  readonly name: string;
  readonly #connection: ModuleConnection;

  constructor(store: SqliteStore, name: string) {
    this.#connection = connect(store);
    this.name = checkName(name);
    if (this.#connection.isReadOnly || this.#read(() => readPosition(this.#connection, this.name))) return;
    this.#connection.write('Outbox', `make the outbox ${this.name}`, () => {
      const { id, hash } = startOf(this.#connection);
      const sql = 'INSERT INTO outboxes (name, id, hash) VALUES (?, ?, ?) ON CONFLICT DO NOTHING';
      this.#connection.prepare(sql).run(this.name, id, hash);
    });
  }

  /** The last row that was acknowledged. Throws `ERR_STORE_NOT_FOUND` where the outbox was removed. */
  get position(): Position {
    return this.#read(() => this.#known());
  }

  /** How much is still to be sent. Throws as `position` does. */
  get lag(): Lag {
    return this.#read(() => {
      const { id } = this.#known();
      const sql = 'SELECT count(*), min(id) FROM audit_log WHERE id > ?';
      const [events, first] = this.#connection.get<[number, number | null]>(sql, id)!;
      const atSql = 'SELECT timestamp FROM audit_log WHERE id = ?';
      const since = first === null ? undefined : parseInstant(this.#connection.get<[unknown]>(atSql, first)?.[0]);
      return since ? { events, since } : { events };
    });
  }

  /**
   * The lines behind the position, oldest first; `undefined` where there are none. Reads only, and gives the same lines
   * until they are acknowledged. Throws `ERR_STORE_CONFLICT` where they are in an archive, as an older version of this
   * package may have put them there, `ERR_STORE_CORRUPT` for a row that does not have the hash of its content, and as
   * `position` does.
   */
  read(options?: ReadOptions): Batch | undefined {
    const { limit = 500, maxBytes = 2 ** 20 } = checkOptions('options', options, ['limit', 'maxBytes']);
    checkInteger('options.limit', limit, 1, 100_000);
    checkInteger('options.maxBytes', maxBytes, 1, 64 * 2 ** 20);
    return this.#read(() => {
      const { id, hash, rewound } = this.#known();
      const { log } = this.#connection.parts;
      const createdSql = 'SELECT created_at FROM store_meta WHERE id = 1';
      const [created] = this.#connection.get<[string]>(createdSql)!;
      const after = id > 0 ? { id, hash } : undefined;
      const header = headerText({ store: log.uuid, created, after, renewed: log.formerIdentities() });
      const lines = lineTexts(this.#connection, { id, hash }, limit, maxBytes - Buffer.byteLength(header));
      if (!lines) return undefined;
      return { ...lines, text: header + lines.text, ...(rewound === undefined ? undefined : { rewound }) };
    });
  }

  /**
   * Moves the position to a row that has arrived, with all rows before it: durable on return. To acknowledge the
   * position itself changes nothing. Throws `ERR_STORE_CONFLICT` for an anchor before the position, or of no row of
   * this log, and as `position` does.
   */
  acknowledge(anchor: Anchor): void {
    const { id, hash } = checkAnchor('anchor', anchor);
    const what = `acknowledge row ${id} in the outbox ${this.name}`;
    const current = this.#read(() => this.#known());
    if (current.id === id && current.hash === hash) return;
    this.#connection.write('Outbox.acknowledge', what, () => {
      const position = this.#known();
      const refused = (why: string): StoreError => new StoreError('ERR_STORE_CONFLICT', `failed to ${what}: ${why}`);
      if (id < position.id) throw refused(`row ${position.id} is acknowledged already`);
      if (this.#connection.parts.log.hashAt(id) !== hash) throw refused('the log has no such row');
      const sql = 'UPDATE outboxes SET id = ?, hash = ?, acknowledged_at = ?, shared_id = NULL WHERE name = ?';
      this.#connection.prepare(sql).run(id, hash, this.#connection.now().toISOString(), this.name);
    });
  }

  /** Removes the outbox, so that its rows may be archived: durable on return. Says whether there was one. */
  remove(): boolean {
    return this.#connection.write('Outbox.remove', `remove the outbox ${this.name}`, () => {
      return this.#connection.prepare('DELETE FROM outboxes WHERE name = ?').run(this.name).changes === 1;
    });
  }

  #read<T>(fn: () => T): T {
    return this.#connection.readTogether(`read the outbox ${this.name}`, fn);
  }

  /** The position; in a store that is only read, also that at which an outbox would begin. */
  #known(): Position {
    const position = readPosition(this.#connection, this.name);
    if (position) return position;
    if (this.#connection.isReadOnly) return startOf(this.#connection);
    throw new StoreError('ERR_STORE_NOT_FOUND', `there is no outbox ${this.name} in the store: it was removed`);
  }
}
