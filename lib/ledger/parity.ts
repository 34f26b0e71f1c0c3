// Ledger and audit log compared, beside a service that writes to both. Whole rows are compared, and everything streams.
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { types } from 'node:util';
import { hashedNames } from '../core/chain.ts';
import type { ModuleConnection } from '../core/door.ts';
import { ledgerOrigin } from '../core/options.ts';
import { connect, type SqliteStore } from '../store.ts';
import { invalid } from '../values/checks.ts';
import { attempt, StoreError } from '../values/errors.ts';
import { checkLong, type LongOperation } from '../values/long.ts';
import { Ledger } from './ledger.ts';
import { type LedgerLine, toRow } from './line.ts';
import { pagedRows, rowAt, type StoredRow } from './rows.ts';
import { EventSums, type StateDifference, type Value } from './sums.ts';

/** An event that the ledger and the database have with different contents. */
export interface Mismatch {
  id: number;
  ledgerHash: string;
  sqliteHash: string;
}

/** The lines of a ledger behind the last row of the database: the first and last id, and how many. */
export interface LinesAhead {
  from: number;
  to: number;
  count: number;
}

/**
 * The result of comparing ledger and database. Each list holds at most 1,000 entries; `more` counts those left out.
 * `ledgerCount` and `sqliteCount` count every line and row, except those that a running service added meanwhile.
 */
export interface ParityReport {
  isConsistent: boolean;
  ledgerCount: number;
  sqliteCount: number;
  missingInSqlite: number[];
  missingInLedger: number[];
  mismatched: Mismatch[];
  /** Events of usage and cooldowns with values that no method would have written. `state` leaves them out. */
  unreadable: number[];
  state: StateDifference[];
  more: number;
  /** The lines after the last row, where there are any; each is also in `missingInSqlite` or counted in `more`. */
  ahead?: LinesAhead;
}

/** How many rows are handled between two turns of the event loop, and between two fsyncs of a rebuild. */
export const batchRows = 1_000;
const maxListed = 1_000;

/** Whether a row of the database equals the row of a line. */
export function isSame(row: StoredRow, stored: StoredRow): boolean {
  if (row.id !== stored.id || row.hash !== stored.hash || row.signature !== stored.signature) return false;
  return hashedNames.every((name) => isSameValue(row[name], stored[name]));
}

function isSameValue(a: Value, b: Value): boolean {
  return a === b || (types.isUint8Array(a) && types.isUint8Array(b) && Buffer.compare(a, b) === 0);
}

/**
 * Compares every row of the log with every line of the ledger, and the store's usage, cooldowns, overrides and balances
 * with what the events add up to. What only one of the two still has, because the other one begins behind it, is no
 * difference. Rejects with `signal.reason` when aborted, with `ERR_STORE_NOT_FOUND` where there is no ledger, with
 * `ERR_STORE_CONFLICT` for another store's, with `ERR_STORE_CORRUPT` for an unreadable line or a damaged index of those
 * tables.
 */
export async function verifyParity(
  store: SqliteStore, ledger: Ledger, options?: LongOperation,
): Promise<ParityReport> {
  const { signal, onProgress } = checkLong(options);
  const connection = connect(store);
  checkLedger(connection, ledger);
  // Events that a running service appends meanwhile are not compared. A store writes its ledger first, so the database
  // is looked at first: every row that it has now is in the ledger too.
  const upTo = store.auditHead()?.id ?? 0;
  checkEnd(ledger);
  const cutAt = ledger.refresh().after?.id ?? 0;
  const isArchived = archivedIn(connection);
  const comparison = new Comparison();
  const ahead = new Ahead();
  let steps = 0;
  for (const [line, row] of sideBySide(ledger.iterate(), pagedRows(connection, upTo))) {
    if (line && row) comparison.both(line, row);
    else if (row) comparison.onlyInDatabase(row, row.id <= cutAt);
    else if (isArchived(line!.id)) comparison.archived(line!);
    else if (line!.id <= upTo) comparison.onlyInLedger(line!.id);
    else ahead.add(line!.id);
    if (++steps % batchRows !== 0) continue;
    signal?.throwIfAborted();
    onProgress?.({ done: steps, total: Math.max(upTo, ledger.head?.id ?? 0) });
    await nextTurn();
  }
  await ahead.settle(connection, signal);
  comparison.ahead(ahead);
  connection.readTogether('compare the balances', () => {
    checkIndexes(connection);
    comparison.balances(connection, upTo);
  });
  signal?.throwIfAborted();
  return comparison.finish();
}

/** Whether the log begins behind an id, also where it was shortened since the comparison began. */
function archivedIn(connection: ModuleConnection): (id: number) => boolean {
  let known = 0;
  return (id) => {
    if (id > known) known = connection.read('read where the log begins', () => connection.parts.log.beginning().id);
    return id <= known;
  };
}

type Pair = [line: LedgerLine | undefined, row: StoredRow | undefined];

/** Lines and rows in the order of their ids, a line and a row with the same id as one pair. */
function* sideBySide(
  lines: Iterable<LedgerLine>, rows: Generator<StoredRow, undefined, undefined>,
): Generator<Pair, void, undefined> {
  let row = rows.next().value;
  for (const line of lines) {
    for (; row && row.id < line.id; row = rows.next().value) yield [undefined, row];
    const isBoth = row?.id === line.id;
    yield [line, isBoth ? row : undefined];
    if (isBoth) row = rows.next().value;
  }
  for (; row; row = rows.next().value) yield [undefined, row];
}

/** The lines after the last row. There may be any number of them, so only the first 1,000 ids are held. */
class Ahead implements LinesAhead {
  from = 0;
  to = 0;
  count = 0;
  listed: number[] = [];

  add(id: number): void {
    if (this.count === 0) this.from = id;
    this.to = id;
    this.count++;
    if (this.listed.length < maxListed) this.listed.push(id);
  }

  /** Waits up to half a second for rows that a running service is just committing: it writes the ledger first. */
  async settle(connection: ModuleConnection, signal: AbortSignal | undefined): Promise<void> {
    const { from, to, count, listed } = this;
    for (let attempt = 0; this.count > 0; attempt++) {
      connection.readTogether('read the audit log', () => {
        const sql = 'SELECT count(*), max(id) FROM audit_log WHERE id BETWEEN ? AND ?';
        const [arrived, last] = connection.all<[number, number | null]>(sql, from, to)[0]!;
        this.listed = listed.filter((id) => rowAt(connection, id) === undefined);
        this.count = Math.max(this.listed.length, count - arrived);
        this.from = this.listed[0] ?? last! + 1;
      });
      if (attempt === 10) break;
      if (this.count > 0) await sleep(50, undefined, signal ? { signal } : undefined);
    }
  }
}

/** Throws where whole groups follow the damage, because the events inside the damage must not be passed over. */
export function checkEnd(ledger: Ledger): void {
  const { torn, laterGroups } = ledger.refresh();
  if (!torn || laterGroups.length < 2) return;
  const message = `${ledger.path} is damaged before its end; sound events follow up to row ${laterGroups.at(-1)}`;
  throw new StoreError('ERR_STORE_CORRUPT', message);
}

/** Throws for a damaged index: a store looks balances up by it, and would get other values than the table has. */
function checkIndexes(connection: ModuleConnection): void {
  for (const table of ['usage', 'cooldowns', 'overrides', 'balances']) {
    const sql = 'SELECT integrity_check FROM pragma_integrity_check(?)';
    const [answer] = connection.all<[string]>(sql, table)[0]!;
    if (answer === 'ok') continue;
    throw new StoreError('ERR_STORE_CORRUPT', `the table ${table} of the database is damaged: ${answer}`);
  }
}

/** Collects the differences. */
class Comparison {
  readonly report: ParityReport = {
    isConsistent: true, ledgerCount: 0, sqliteCount: 0, missingInSqlite: [], missingInLedger: [], mismatched: [],
    unreadable: [], state: [], more: 0,
  };
  readonly #sums = new EventSums();

  both(line: LedgerLine, row: StoredRow): void {
    this.report.ledgerCount++;
    this.report.sqliteCount++;
    const { id, hash: ledgerHash } = line;
    if (!isSame(toRow(line), row)) this.#list(this.report.mismatched, { id, ledgerHash, sqliteHash: row.hash });
    this.#addUp(line.id, line.type, line.data, line.at);
  }

  /** `isCut`: the ledger begins behind this row. */
  onlyInDatabase({ id, type, data, timestamp }: StoredRow, isCut: boolean): void {
    this.report.sqliteCount++;
    if (!isCut) this.#list(this.report.missingInLedger, id);
    this.#addUp(id, type, data, timestamp);
  }

  /** A line of a row that the log has no more; the ledger is yet to be cut behind it. */
  archived({ id, type, data, at }: LedgerLine): void {
    this.report.ledgerCount++;
    this.#addUp(id, type, data, at);
  }

  onlyInLedger(id: number): void {
    this.report.ledgerCount++;
    this.#list(this.report.missingInSqlite, id);
  }

  ahead({ from, to, count, listed }: Ahead): void {
    if (count === 0) return;
    this.report.ahead = { from, to, count };
    for (const id of listed) this.onlyInLedger(id);
    this.report.ledgerCount += count - listed.length;
    this.report.more += count - listed.length;
  }

  #list<T>(list: T[], item: T): void {
    if (list.length < maxListed) list.push(item);
    else this.report.more++;
  }

  #addUp(id: number, type: Value, data: Value, timestamp: Value): void {
    // Where an event cannot be read, the others are still added up.
    if (!this.#sums.add(id, type, data, timestamp)) this.#list(this.report.unreadable, id);
  }

  /**
   * Compares the tables with the sum of all events. Those after `upTo` are added here, because the tables already have
   * their effects.
   */
  balances(connection: ModuleConnection, upTo: number): void {
    for (const { id, type, data, timestamp } of pagedRows(connection, undefined, upTo)) {
      this.#addUp(id, type, data, timestamp);
    }
    for (const difference of this.#sums.differences(connection)) this.#list(this.report.state, difference);
  }

  finish(): ParityReport {
    const { missingInSqlite, missingInLedger, mismatched, unreadable, state, more } = this.report;
    const lists = [missingInSqlite, missingInLedger, mismatched, unreadable, state];
    this.report.isConsistent = more === 0 && lists.every(({ length }) => length === 0);
    return this.report;
  }
}

/** Refuses a ledger that does not exist, and the ledger of another store. */
export function checkLedger(connection: ModuleConnection, ledger: Ledger): void {
  checkIsLedger(ledger);
  const end = attempt(`read ${ledger.path}`, () => ledger.refresh());
  const { store } = end;
  if (store === undefined) throw new StoreError('ERR_STORE_NOT_FOUND', `there is no ledger at ${ledger.path}`);
  if (connection.read('compare the identities', () => connection.parts.log.owns(ledgerOrigin(end)))) return;
  const owner = `${store}, not ${connection.uuid}`;
  throw new StoreError('ERR_STORE_CONFLICT', `${ledger.path} is the ledger of another store (${owner})`);
}

export function checkIsLedger(ledger: Ledger): void {
  if (!(ledger instanceof Ledger)) throw invalid('ledger', ledger, 'a Ledger');
}
