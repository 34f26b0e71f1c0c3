// Ledger and audit log compared, beside a service that writes to both. Whole rows are compared, and everything streams.
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { checkAdvance, checkLong } from '../audit.ts';
import type { LongOperation } from '../audit.ts';
import { attempt, StoreError } from '../errors.ts';
import { decodeBalance } from '../events.ts';
import type { BalanceEvent, EventBase } from '../events.ts';
import type { MirroredRow } from '../mirror-port.ts';
import { connect } from '../store.ts';
import type { ModuleConnection, SqliteStore } from '../store.ts';
import { invalid, parseInstant } from '../values.ts';
import { Ledger } from './ledger.ts';
import { toRow } from './line.ts';
import type { LedgerLine } from './line.ts';

/** One event that both files have, with different contents. */
export interface Mismatch {
  id: number;
  ledgerHash: string;
  sqliteHash: string;
}

/**
 * An entry whose usage of a day (in milliseconds) or whose cooldown (ISO 8601) is not what the events add up to. `of`: it
 * is not the cooldown's end that differs, but when it was set.
 */
export interface StateDifference {
  entryId: string;
  day?: string;
  of?: 'setAt';
  expected: number | string | undefined;
  stored: number | string | undefined;
}

/** The lines of a ledger behind the last row of the database: the first and last id, and how many. */
export interface LinesAhead {
  from: number;
  to: number;
  count: number;
}

/**
 * How ledger and database compare. Lists hold at most 1,000 entries each; `more` counts what they leave out. Both counts are of
 * every line and row, but for those that a running service has added meanwhile.
 */
export interface ParityReport {
  isConsistent: boolean;
  ledgerCount: number;
  sqliteCount: number;
  missingInSqlite: number[];
  missingInLedger: number[];
  mismatched: Mismatch[];
  /** Events of usage and cooldowns that hold what no method would have written. They count for nothing in `state`. */
  unreadable: number[];
  state: StateDifference[];
  more: number;
  /** Where there are such lines; each is among `missingInSqlite` or `more`. */
  ahead?: LinesAhead;
}

// Rows that are held when V8 collects its young generation make that grow: pages of 500 cost 50 MB over a million rows, these 24.
const pageRows = 32;
/** What is done between two turns of the event loop, and between two fsyncs of a rebuild. */
export const batchRows = 1_000;
const maxListed = 1_000;
/** The columns of a row, in the order that `Row` has them. */
export const rowColumns = 'id, timestamp, event_type, event_data, event_meta, event_hash, signature';
type Value = string | Uint8Array;
/** A row of the log as SQLite gives it. */
export type Row = [number, Value, Value, Value, string | null, string, string | null];

/** Whether a row of the database is that of a line. */
export function isSame(row: MirroredRow, [id, timestamp, type, data, meta, hash, signature]: Row): boolean {
  return row.id === id && isSameValue(row.timestamp, timestamp) && isSameValue(row.type, type) && isSameValue(row.data, data) && row.meta === meta && row.hash === hash && row.signature === signature;
}

function isSameValue(a: Value, b: Value): boolean {
  return a === b || (typeof a !== 'string' && typeof b !== 'string' && Buffer.compare(a, b) === 0);
}

/**
 * Compares every row of the log with every line of the ledger, and the store's usage and cooldowns with what the events
 * add up to. Rejects with `signal.reason` when aborted, with `ERR_STORE_CORRUPT` at a line that cannot be read
 * or a damaged index of those tables.
 */
export async function verifyParity<E extends EventBase>(store: SqliteStore<E>, ledger: Ledger, options?: LongOperation): Promise<ParityReport> {
  const { signal, onProgress } = checkLong(options);
  const connection = connect(store);
  checkLedger(connection, ledger);
  // What a running service appends meanwhile is not compared. The ledger is written first, so it is looked at last: the rows
  // that are in the database now are in both.
  const upTo = store.auditHead()?.id ?? 0;
  checkEnd(ledger);
  const comparison = new Comparison();
  const ahead = new Ahead();
  let steps = 0;
  for (const [line, row] of sideBySide(ledger.iterate(), pagedRows(connection, upTo))) {
    if (line && row) comparison.both(line, row);
    else if (row) comparison.onlyInDatabase(row);
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

/** Lines and rows in the order of their ids, those with the same one together. */
function* sideBySide(lines: Iterable<LedgerLine>, rows: Generator<Row, undefined, undefined>): Generator<[line: LedgerLine | undefined, row: Row | undefined], void, undefined> {
  let row = rows.next().value;
  for (const line of lines) {
    for (; row && row[0] < line.id; row = rows.next().value) yield [undefined, row];
    const isBoth = row?.[0] === line.id;
    yield [line, isBoth ? row : undefined];
    if (isBoth) row = rows.next().value;
  }
  for (; row; row = rows.next().value) yield [undefined, row];
}

/** The lines behind the last row. They may be any number, so only the first of them are held. */
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

  /** The ledger is written first: what a running service is just committing arrives in the database within moments. */
  async settle(connection: ModuleConnection, signal: AbortSignal | undefined): Promise<void> {
    const { from, to, count, listed } = this;
    for (let attempt = 0; this.count > 0; attempt++) {
      connection.readTogether('read the audit log', () => {
        const [arrived, last] = connection.prepare('SELECT count(*), max(id) FROM audit_log WHERE id BETWEEN ? AND ?').get(from, to) as unknown as [number, number | null];
        this.listed = listed.filter((id) => connection.prepare('SELECT 1 FROM audit_log WHERE id = ?').get(id) === undefined);
        this.count = Math.max(this.listed.length, count - arrived);
        this.from = this.listed[0] ?? last! + 1;
      });
      if (attempt === 10) break;
      if (this.count > 0) await sleep(50, undefined, signal ? { signal } : undefined);
    }
  }
}

/** Throws where whole groups stand behind the damage: what is between them must not be passed over. */
export function checkEnd(ledger: Ledger): void {
  const { torn, laterGroups } = ledger.refresh();
  if (torn && laterGroups.length > 1) throw new StoreError('ERR_STORE_CORRUPT', `${ledger.path} is damaged before its end; sound events follow up to row ${laterGroups.at(-1)}`);
}

/** Balances are looked up by index: one that is damaged gives another answer than the table that is compared here. */
function checkIndexes(connection: ModuleConnection): void {
  for (const table of ['usage', 'cooldowns']) {
    const [answer] = connection.prepare('SELECT integrity_check FROM pragma_integrity_check(?)').get(table) as unknown as [string];
    if (answer !== 'ok') throw new StoreError('ERR_STORE_CORRUPT', `the table ${table} of the database is damaged: ${answer}`);
  }
}

/** The rows of the log behind an id, page by page. */
export function* pagedRows(connection: ModuleConnection, upTo = Number.MAX_SAFE_INTEGER, after = 0): Generator<Row, undefined, undefined> {
  for (let last = after; ; ) {
    const rows = connection.read('read the audit log', () => connection.prepare(`SELECT ${rowColumns} FROM audit_log WHERE id > ? AND id <= ? ORDER BY id LIMIT ${pageRows}`).all(last, upTo)) as unknown as Row[];
    yield* rows;
    if (rows.length === 0) return undefined;
    checkAdvance(rows.at(-1)![0], last);
    last = rows.at(-1)![0];
  }
}

interface CooldownInstants {
  until: string;
  setAt: string | null;
}

/** Whether two texts name one instant, or both are absent. */
function isSameInstant(a: string | null | undefined, b: string | null | undefined): boolean {
  return a === b || (parseInstant(a) !== undefined && parseInstant(a)?.getTime() === parseInstant(b)?.getTime());
}

/** Collects what differs, and what the events add up to. */
class Comparison {
  readonly report: ParityReport = { isConsistent: true, ledgerCount: 0, sqliteCount: 0, missingInSqlite: [], missingInLedger: [], mismatched: [], unreadable: [], state: [], more: 0 };
  readonly #usage = new Map<string, number>();
  readonly #cooldowns = new Map<string, CooldownInstants>();
  #isAccounted = false;

  both(line: LedgerLine, row: Row): void {
    this.report.ledgerCount++;
    this.report.sqliteCount++;
    if (!isSame(toRow(line), row)) this.#list(this.report.mismatched, { id: line.id, ledgerHash: line.hash, sqliteHash: row[5] });
    this.#addUp(line.id, line.type, line.data, line.at);
  }

  onlyInDatabase(row: Row): void {
    this.report.sqliteCount++;
    this.#list(this.report.missingInLedger, row[0]);
    this.#addUp(row[0], row[2], row[3], row[1]);
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
    if (type === 'ledger_attached') {
      this.#isAccounted = true;
      this.#usage.clear();
      this.#cooldowns.clear();
    } else if (type === 'ledger_detached') this.#isAccounted = false;
    const event = this.#isAccounted ? this.#balanceOf(id, type, data, timestamp) : undefined;
    if (event?.type === 'usage_added') {
      const key = JSON.stringify([event.entryId, event.day]);
      this.#usage.set(key, (this.#usage.get(key) ?? 0) + event.durationMs);
    } else if (event?.type === 'cooldown_set') this.#cooldowns.set(event.entryId, event);
    else if (event) this.#cooldowns.delete(event.entryId);
  }

  #balanceOf(id: number, type: Value, data: Value, timestamp: Value): BalanceEvent | undefined {
    try {
      return decodeBalance(id, type, data, timestamp);
    } catch {
      this.#list(this.report.unreadable, id); // and what the others add up to is worth knowing all the same
      return undefined;
    }
  }

  /**
   * Compares the tables as they are with the events up to now: those after `upTo` count here, though they were not
   * compared. Without a ledger in force the events do not account for the tables.
   */
  balances(connection: ModuleConnection, upTo: number): void {
    for (const row of pagedRows(connection, undefined, upTo)) this.#addUp(row[0], row[2], row[3], row[1]);
    if (!this.#isAccounted) return;
    const usage = new Map(connection.prepare('SELECT entry_id, day, duration_secs, carry_ms FROM usage').all().map((row) => {
      const [entryId, day, secs, carry] = row as unknown as [string, string, unknown, unknown];
      return [JSON.stringify([entryId, day]), Number(secs) * 1000 + Number(carry)];
    }));
    for (const key of new Set([...usage.keys(), ...this.#usage.keys()])) {
      const [entryId, day] = JSON.parse(key) as [string, string];
      const [expected, stored] = [this.#usage.get(key), usage.get(key)];
      if ((expected ?? 0) !== (stored ?? 0)) this.#list(this.report.state, { entryId, day, expected, stored });
    }
    const sql = 'SELECT entry_id, until, set_at FROM cooldowns';
    const rows = connection.prepare(sql).all() as unknown as [string, string, string | null][];
    const cooldowns = new Map(rows.map(([entryId, until, setAt]) => [entryId, { until, setAt }]));
    for (const entryId of new Set([...cooldowns.keys(), ...this.#cooldowns.keys()])) {
      this.#compareCooldown(entryId, this.#cooldowns.get(entryId), cooldowns.get(entryId));
    }
  }

  #compareCooldown(entryId: string, expected: CooldownInstants | undefined, stored: CooldownInstants | undefined): void {
    if (!isSameInstant(expected?.until, stored?.until)) this.#list(this.report.state, { entryId, expected: expected?.until, stored: stored?.until });
    // The table does not know it of what was set before schema version 5.
    if (!expected || !stored || stored.setAt === null || isSameInstant(expected.setAt, stored.setAt)) return;
    this.#list(this.report.state, { entryId, of: 'setAt', expected: expected.setAt ?? undefined, stored: stored.setAt });
  }

  finish(): ParityReport {
    const { missingInSqlite, missingInLedger, mismatched, unreadable, state, more } = this.report;
    this.report.isConsistent = missingInSqlite.length + missingInLedger.length + mismatched.length + unreadable.length + state.length + more === 0;
    return this.report;
  }
}

/** Refuses what is no ledger of this store. */
export function checkLedger(connection: ModuleConnection, ledger: Ledger): void {
  checkIsLedger(ledger);
  const { store } = attempt(`read ${ledger.path}`, () => ledger.refresh());
  if (store === undefined) throw new StoreError('ERR_STORE_NOT_FOUND', `there is no ledger at ${ledger.path}`);
  if (store !== connection.uuid) throw new StoreError('ERR_STORE_CONFLICT', `${ledger.path} is the ledger of another store (${store}, not ${connection.uuid})`);
}

/** Refuses what is no ledger at all. */
export function checkIsLedger(ledger: Ledger): void {
  if (!(ledger instanceof Ledger)) throw invalid('ledger', ledger, 'a Ledger');
}
