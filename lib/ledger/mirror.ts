// Ledger and audit log compared and made from each other. Whole rows are compared, and everything streams.
import { randomUUID } from 'node:crypto';
import { linkSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { checkAdvance, checkLong } from '../audit.ts';
import type { LongOperation } from '../audit.ts';
import { genesisHash, rowHash } from '../chain.ts';
import { attempt, StoreError } from '../errors.ts';
import type { EventBase } from '../events.ts';
import { checkPath, existsAt } from '../files.ts';
import { ledgerAfter } from '../mirroring.ts';
import type { MirroredRow } from '../mirroring.ts';
import { makeStore } from '../open.ts';
import { syncFolder } from '../snapshot-file.ts';
import { connect, SqliteStore } from '../store.ts';
import type { ModuleConnection } from '../store.ts';
import { invalid, parseInstant } from '../values.ts';
import { Ledger } from './ledger.ts';
import { isSound, toRow } from './line.ts';
import type { LedgerLine } from './line.ts';

/** One event that both files have, with different contents. */
export interface Mismatch {
  id: number;
  ledgerHash: string;
  sqliteHash: string;
}

/** An entry whose usage of a day (in milliseconds) or whose cooldown (ISO 8601) is not what the events add up to. */
export interface StateDifference {
  entryId: string;
  day?: string;
  expected: number | string | undefined;
  stored: number | string | undefined;
}

/** How ledger and database compare. Lists hold at most 1,000 entries each; `more` counts what they leave out. */
export interface ParityReport {
  isConsistent: boolean;
  ledgerCount: number;
  sqliteCount: number;
  missingInSqlite: number[];
  missingInLedger: number[];
  mismatched: Mismatch[];
  state: StateDifference[];
  more: number;
}

/** What `replay` did. */
export interface ReplayReport {
  replayed: number;
  skippedExisting: number;
  parity: ParityReport;
}

// Rows that are held when V8 collects its young generation make that grow: pages of 500 cost 50 MB over a million rows, these 24.
const pageRows = 32;
// What is done between two turns of the event loop, and between two fsyncs of a rebuild.
const batchRows = 1_000;
const maxListed = 1_000;
const rowColumns = 'id, timestamp, event_type, event_data, event_meta, event_hash, signature';
type Value = string | Uint8Array;
type Row = [number, Value, Value, Value, string | null, string, string | null];

/**
 * Brings one line of a ledger into the store, with its effects on usage and cooldowns; as a part of an open transaction
 * where there is one. The same row being there already is fine. Throws `ERR_STORE_PARITY` where another row has its place,
 * or it does not follow the newest row.
 */
export function mirrorEvent<E extends EventBase>(store: SqliteStore<E>, line: LedgerLine): 'inserted' | 'already-present' {
  const connection = connect(store);
  if (!isSound(line)) throw new StoreError('ERR_STORE_PARITY', `line of row ${line.id} does not have the hash of its content`);
  return connection.write(`mirror row ${line.id}`, () => mirrorRow(connection, toRow(line)));
}

function mirrorRow(connection: ModuleConnection, row: MirroredRow, hasLedger = true): 'inserted' | 'already-present' {
  const stored = connection.prepare(`SELECT ${rowColumns} FROM audit_log WHERE id = ?`).get(row.id) as unknown as Row | undefined;
  if (stored) {
    if (isSame(row, stored)) return 'already-present';
    throw new StoreError('ERR_STORE_PARITY', `row ${row.id} is ${stored[5]} in the database and ${row.hash} in the ledger; neither is overwritten`);
  }
  const [lastId, lastHash] = (connection.prepare('SELECT id, event_hash FROM audit_log ORDER BY id DESC LIMIT 1').get() as unknown as [number, string] | undefined) ?? [0, genesisHash(connection.uuid)];
  if (row.id <= lastId || row.previous !== lastHash) throw new StoreError('ERR_STORE_PARITY', `row ${row.id} of the ledger does not follow row ${lastId} of the database`);
  connection.replayRow(row, hasLedger);
  return 'inserted';
}

function isSame(row: MirroredRow, [id, timestamp, type, data, meta, hash, signature]: Row): boolean {
  return row.id === id && isSameValue(row.timestamp, timestamp) && isSameValue(row.type, type) && isSameValue(row.data, data) && row.meta === meta && row.hash === hash && row.signature === signature;
}

function isSameValue(a: Value, b: Value): boolean {
  return a === b || (typeof a !== 'string' && typeof b !== 'string' && Buffer.compare(a, b) === 0);
}

/**
 * Brings every line that the store lacks into it, in one transaction, and compares both. Idempotent. Throws
 * `ERR_STORE_NOT_FOUND` where the ledger's file does not exist, `ERR_STORE_CONFLICT` for another store's ledger,
 * `ERR_STORE_PARITY` and `ERR_STORE_CORRUPT` where a line cannot be taken: nothing is changed then.
 */
export async function replay<E extends EventBase>(store: SqliteStore<E>, ledger: Ledger, options?: LongOperation): Promise<ReplayReport> {
  const checked = checkLong(options);
  const connection = connect(store);
  checkLedger(connection, ledger);
  const counts = { replayed: 0, skippedExisting: 0 };
  connection.write(`replay ${ledger.path}`, () => {
    for (const line of wholeGroups(ledger)) {
      if (mirrorRow(connection, toRow(line)) === 'inserted') counts.replayed++;
      else counts.skippedExisting++;
    }
  });
  return { ...counts, parity: await verifyParity(store, ledger, checked) };
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
  checkEnd(ledger);
  const comparison = new Comparison();
  // What a running service appends meanwhile is not compared: the rows that are there now are in both.
  const upTo = store.auditHead()?.id ?? 0;
  const rows = pagedRows(connection, upTo);
  let row = rows.next().value;
  const ahead: LedgerLine[] = [];
  for (const line of ledger.iterate()) {
    for (; row && row[0] < line.id; row = rows.next().value) comparison.onlyInDatabase(row);
    if (row?.[0] === line.id) {
      comparison.both(line, row);
      row = rows.next().value;
    } else if (line.id <= upTo) comparison.onlyInLedger(line.id);
    else if (ahead.length < maxListed) ahead.push(line);
    else comparison.report.more++;
    if (comparison.report.ledgerCount % batchRows !== 0) continue;
    signal?.throwIfAborted();
    onProgress?.({ done: comparison.report.ledgerCount, total: Math.max(upTo, comparison.report.ledgerCount) });
    await nextTurn();
  }
  for (; row; row = rows.next().value) comparison.onlyInDatabase(row);
  for (const line of await stillAhead(connection, ahead, signal)) comparison.onlyInLedger(line.id);
  connection.readTogether('compare the balances', () => {
    checkIndexes(connection);
    comparison.balances(connection, upTo);
  });
  signal?.throwIfAborted();
  return comparison.finish();
}

/** The ledger is written first: what a running service is just committing arrives in the database within moments. */
async function stillAhead(connection: ModuleConnection, lines: LedgerLine[], signal: AbortSignal | undefined): Promise<LedgerLine[]> {
  let ahead = lines;
  for (let attempt = 0; ahead.length > 0; attempt++) {
    ahead = connection.read('read the audit log', () => ahead.filter(({ id }) => connection.prepare('SELECT 1 FROM audit_log WHERE id = ?').get(id) === undefined));
    if (attempt === 10) break;
    if (ahead.length > 0) await sleep(50, undefined, signal ? { signal } : undefined);
  }
  return ahead;
}

/** Throws where whole groups stand behind the damage: what is between them must not be passed over. */
function checkEnd(ledger: Ledger): void {
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

function* pagedRows(connection: ModuleConnection, upTo = Number.MAX_SAFE_INTEGER, after = 0): Generator<Row, undefined, undefined> {
  for (let last = after; ; ) {
    const rows = connection.read('read the audit log', () => connection.prepare(`SELECT ${rowColumns} FROM audit_log WHERE id > ? AND id <= ? ORDER BY id LIMIT ${pageRows}`).all(last, upTo)) as unknown as Row[];
    yield* rows;
    if (rows.length === 0) return undefined;
    checkAdvance(rows.at(-1)![0], last);
    last = rows.at(-1)![0];
  }
}

function parseEvent(type: string, data: string): { entryId: string; day: string; durationMs: number; until: string } {
  try {
    return JSON.parse(data) as ReturnType<typeof parseEvent>;
  } catch (cause) {
    throw new StoreError('ERR_STORE_CORRUPT', `an event ${type} of the log cannot be read`, { cause });
  }
}

/** Collects what differs, and what the events add up to. */
class Comparison {
  readonly report: ParityReport = { isConsistent: true, ledgerCount: 0, sqliteCount: 0, missingInSqlite: [], missingInLedger: [], mismatched: [], state: [], more: 0 };
  readonly #usage = new Map<string, number>();
  readonly #cooldowns = new Map<string, string>();
  #isAccounted = false;

  both(line: LedgerLine, row: Row): void {
    this.report.ledgerCount++;
    this.report.sqliteCount++;
    if (!isSame(toRow(line), row)) this.#list(this.report.mismatched, { id: line.id, ledgerHash: line.hash, sqliteHash: row[5] });
    this.#addUp(line.type, line.data);
  }

  onlyInDatabase(row: Row): void {
    this.report.sqliteCount++;
    this.#list(this.report.missingInLedger, row[0]);
    this.#addUp(row[2], row[3]);
  }

  onlyInLedger(id: number): void {
    this.report.ledgerCount++;
    this.#list(this.report.missingInSqlite, id);
  }

  #list<T>(list: T[], item: T): void {
    if (list.length < maxListed) list.push(item);
    else this.report.more++;
  }

  #addUp(type: Value, data: Value): void {
    if (type === 'ledger_attached') {
      this.#isAccounted = true;
      this.#usage.clear();
      this.#cooldowns.clear();
    } else if (type === 'ledger_detached') this.#isAccounted = false;
    if (!this.#isAccounted || (type !== 'usage_added' && type !== 'cooldown_set' && type !== 'cooldown_cleared')) return;
    const { entryId, day, durationMs, until } = parseEvent(type, String(data));
    if (type === 'usage_added') this.#usage.set(JSON.stringify([entryId, day]), (this.#usage.get(JSON.stringify([entryId, day])) ?? 0) + durationMs);
    else if (type === 'cooldown_set') this.#cooldowns.set(entryId, until);
    else this.#cooldowns.delete(entryId);
  }

  /**
   * Compares the tables as they are with the events up to now: those after `upTo` count here, though they were not
   * compared. Without a ledger in force the events do not account for the tables.
   */
  balances(connection: ModuleConnection, upTo: number): void {
    for (const row of pagedRows(connection, undefined, upTo)) this.#addUp(row[2], row[3]);
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
    const cooldowns = new Map(connection.prepare('SELECT entry_id, until FROM cooldowns').all() as unknown as [string, string][]);
    for (const entryId of new Set([...cooldowns.keys(), ...this.#cooldowns.keys()])) {
      const [expected, stored] = [this.#cooldowns.get(entryId), cooldowns.get(entryId)];
      if (parseInstant(expected)?.getTime() !== parseInstant(stored)?.getTime()) this.#list(this.report.state, { entryId, expected, stored });
    }
  }

  finish(): ParityReport {
    const { missingInSqlite, missingInLedger, mismatched, state, more } = this.report;
    this.report.isConsistent = missingInSqlite.length + missingInLedger.length + mismatched.length + state.length + more === 0;
    return this.report;
  }
}

/**
 * Writes a new ledger from the store's audit log; durable when it resolves. The file appears whole or not at all. Throws
 * `ERR_STORE_CONFLICT` where there is a file already, `ERR_STORE_CORRUPT` for a log whose chain is broken.
 */
export async function rebuildLedger<E extends EventBase>(store: SqliteStore<E>, path: string, options?: LongOperation): Promise<{ events: number }> {
  const { signal, onProgress } = checkLong(options);
  const target = checkFree(path, 'rebuild the ledger');
  const connection = connect(store);
  const total = store.auditHead()?.id ?? 0;
  const [created] = connection.read('read when the store was made', () => connection.prepare('SELECT created_at FROM store_meta WHERE id = 1').get()) as unknown as [string];
  const temporary = temporaryName(target);
  const ledger = Ledger.open(temporary);
  try {
    ledger.begin(connection.uuid, created);
    let previous = genesisHash(connection.uuid);
    let events = 0;
    let batch: MirroredRow[] = [];
    for (const [id, timestamp, type, data, meta, hash, signature] of pagedRows(connection)) {
      if (rowHash(previous, { id, timestamp, type, data, meta }) !== hash) throw new StoreError('ERR_STORE_CORRUPT', `failed to rebuild the ledger: row ${id} of the log was changed after it was written, or the row before it was`);
      batch.push({ id, timestamp, type, data, meta, previous, hash, signature, more: false });
      previous = hash;
      events++;
      if (batch.length < batchRows) continue;
      ledger.append(batch);
      batch = [];
      signal?.throwIfAborted();
      onProgress?.({ done: events, total: Math.max(total, events) });
      await nextTurn();
    }
    ledger.append(batch);
    ledger.close();
    attempt(`rebuild the ledger ${target}`, () => place(temporary, target));
    return { events };
  } catch (error) {
    ledger.close();
    rmSync(temporary, { force: true });
    throw error;
  }
}

/**
 * Makes a new database from a ledger, with the store's identity, log, usage and cooldowns; the snapshot comes from the
 * file beside it at the next open. The database appears whole or not at all. Throws `ERR_STORE_CONFLICT` where there is a
 * file already, `ERR_STORE_NOT_FOUND` where there is no ledger, `ERR_STORE_CORRUPT` or `ERR_STORE_PARITY` for a damaged one.
 */
export async function rebuildDatabase(ledger: Ledger, path: string, options?: LongOperation): Promise<{ events: number }> {
  const { signal, onProgress } = checkLong(options);
  const target = checkFree(path, 'rebuild the database');
  const { store: uuid, created, head } = ledger.refresh();
  if (uuid === undefined || created === undefined) throw new StoreError('ERR_STORE_NOT_FOUND', `failed to rebuild the database: there is no ledger at ${ledger.path}`);
  const temporary = temporaryName(target);
  const remove = (): void => ['', '-wal', '-shm', '-journal'].forEach((suffix) => rmSync(temporary + suffix, { force: true }));
  try {
    attempt(`rebuild the database ${target}`, () => makeStore(temporary, { uuid, createdAt: created }, new Date()));
    using store = SqliteStore.open(temporary);
    const connection = connect(store);
    const lines = wholeGroups(ledger);
    const done: Rebuilt = { events: 0, hasLedger: 0 };
    for (let more = true; more; ) {
      more = connection.write('replay the ledger', () => replayNext(connection, lines, done));
      signal?.throwIfAborted();
      onProgress?.({ done: done.events, total: Math.max(head?.id ?? 0, done.events) });
      await nextTurn();
    }
    connection.write('finish the database', () => connection.prepare('UPDATE store_meta SET has_ledger = ? WHERE id = 1').run(done.hasLedger));
    store.close();
    attempt(`rebuild the database ${target}`, () => place(temporary, target));
    return { events: done.events };
  } catch (error) {
    remove();
    throw error;
  }
}

/** How far a rebuild has come. */
interface Rebuilt {
  events: number;
  /** Whether the store had a ledger there. */
  hasLedger: 0 | 1;
}

/** Replays the next lines, inside a transaction, and says whether there may be more. */
function replayNext(connection: ModuleConnection, lines: Generator<LedgerLine, void, undefined>, done: Rebuilt): boolean {
  for (let count = 0; count < batchRows; count++) {
    const next = lines.next();
    if (next.done === true) return false;
    done.hasLedger = ledgerAfter(next.value) ?? done.hasLedger;
    mirrorRow(connection, toRow(next.value), done.hasLedger === 1);
    done.events++;
  }
  return true;
}

/** The lines that were committed: without a group that a crash cut off. */
function* wholeGroups(ledger: Ledger): Generator<LedgerLine, void, undefined> {
  checkEnd(ledger);
  const { groupEnd } = ledger.refresh();
  for (const line of ledger.iterate()) {
    if (line.id <= groupEnd) yield line;
  }
}

/** A link fails where somebody made a file meanwhile; a rename would replace it. The folder's fsync makes the name durable. */
function place(temporary: string, target: string): void {
  linkSync(temporary, target);
  rmSync(temporary);
  syncFolder(dirname(target));
}

/** Unpredictable, so that two rebuilds do not meet and nobody can plant a file under it. */
function temporaryName(target: string): string {
  return join(dirname(target), `.${basename(target)}.${randomUUID()}.tmp`);
}

function checkFree(path: string, what: string): string {
  const target = checkPath(path);
  if (existsAt(target) || existsAt(`${target}-wal`)) throw new StoreError('ERR_STORE_CONFLICT', `failed to ${what}: ${target} is there already; move it away first`);
  return target;
}

function checkLedger(connection: ModuleConnection, ledger: Ledger): void {
  if (!(ledger instanceof Ledger)) throw invalid('ledger', ledger, 'a Ledger');
  const { store } = attempt(`read ${ledger.path}`, () => ledger.refresh());
  if (store === undefined) throw new StoreError('ERR_STORE_NOT_FOUND', `there is no ledger at ${ledger.path}`);
  if (store !== connection.uuid) throw new StoreError('ERR_STORE_CONFLICT', `${ledger.path} is the ledger of another store (${store}, not ${connection.uuid})`);
}
