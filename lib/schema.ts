// Which schema a file has, and how it gets from one version to another.
import { randomUUID } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { genesisHash, rowHash } from './chain.ts';
import { StoreError, toStoreError } from './errors.ts';
import { readForeignState } from './foreign-state.ts';
import { checkUtf8, objectText } from './json-text.ts';
import { encodeState } from './snapshot-file.ts';
import { readSql, sqlFiles } from './sql-files.ts';
import type { SqlFile } from './sql-files.ts';
import { parseInstant } from './values.ts';

/** Marks a file as this package's: "shpd" in `PRAGMA application_id`, where `file(1)` finds it too. */
export const applicationId = 0x73687064;

/** The version of `schema.sql`. */
export const schemaVersion = 5;

/** What a database file is to this package. */
export type FileKind =
  | { kind: 'empty' }
  | { kind: 'store'; version: number }
  | { kind: 'four-tables' } // version 0: the first four tables alone, without a mark
  | { kind: 'other'; holds: string };

const fourTables: Record<string, string> = {
  audit_log: 'id,timestamp,event_type,event_data',
  cooldowns: 'entry_id,until',
  snapshot: 'id,data',
  usage: 'entry_id,day,duration_secs',
};

/** Looks at the mark and the table names only; reads no row of a foreign file. */
export function identify(db: DatabaseSync): FileKind {
  const mark = readPragma(db, 'application_id');
  // Indexes of an adopted file are dropped with its tables; a view or trigger is somebody else's logic.
  const objects = db.prepare("SELECT name, type, tbl_name, rootpage, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND type <> 'index' ORDER BY name").all();
  const names = objects.map(({ name }) => String(name));
  if (mark === applicationId) {
    requireTables(names, ['schema_version']);
    const version = storedVersion(db);
    // A newer version may well have other tables; it is not damaged for that.
    if (version <= schemaVersion) {
      requireTables(names, ['store_meta', ...Object.keys(fourTables)]);
      refuseForeignLogic(objects);
    }
    return { kind: 'store', version };
  }
  if (mark === 0 && names.length === 0) return { kind: 'empty' };
  const isFour = mark === 0 && names.join() === Object.keys(fourTables).join() && objects.every(({ type }) => type === 'table');
  if (isFour && names.every((name) => columnsOf(db, name) === fourTables[name])) return { kind: 'four-tables' };
  return { kind: 'other', holds: mark === 0 ? `tables ${names.slice(0, 5).join(', ')}` : `application id ${mark}` };
}

/** Whether schema.sql has a table of this name. */
export function isOwnTable(name: unknown): boolean {
  return readSql('schema.sql').includes(`CREATE TABLE ${String(name).toLowerCase()} (`);
}

/**
 * Throws for what would answer or act in the place of a table of ours: a view or virtual table under its name, a trigger
 * that is not word for word one of schema.sql. SQLite itself refuses a file whose schema table says otherwise than its SQL.
 * Other objects of an operator's do nothing unless somebody names them.
 */
function refuseForeignLogic(objects: Record<string, unknown>[]): void {
  const own = readSql('schema.sql');
  for (const { name, type, tbl_name: table, rootpage, sql } of objects) {
    if (isOwnTable(name) && (type !== 'table' || rootpage === 0)) throw new StoreError('ERR_STORE_CORRUPT', `${String(name)} is no table of its own, but ${type === 'table' ? 'a virtual one' : `a ${String(type)}`}`);
    if (type !== 'trigger' || !isOwnTable(table) || own.includes(`${String(sql)};`)) continue;
    if (own.includes(`CREATE TRIGGER ${String(name)} `)) throw new StoreError('ERR_STORE_CORRUPT', `the trigger ${String(name)} is not as it was made`);
    throw new StoreError('ERR_STORE_NOT_A_STORE', `the trigger ${String(name)} on ${String(table)} is not this package's: drop it, if you know what it is for`);
  }
}

/** The SQL of the triggers and indexes that a store of the current version lacks, because somebody has dropped them. */
export function lackingObjects(db: DatabaseSync): string[] {
  const names = new Set(db.prepare("SELECT name FROM sqlite_schema WHERE type IN ('trigger', 'index')").all().map(({ name }) => name));
  const own = readSql('schema.sql').matchAll(/^CREATE (?:TRIGGER (?<trigger>\w+) .*?^END;|(?:UNIQUE )?INDEX (?<index>\w+) [^;]*;)/gms);
  return Array.from(own).filter(({ groups }) => !names.has(groups!['trigger'] ?? groups!['index']!)).map(([sql]) => sql);
}

/** Makes them anew. Throws `ERR_STORE_CORRUPT` where the rows do not allow it any more. */
export function mendObjects(db: DatabaseSync): void {
  for (const sql of lackingObjects(db)) {
    try {
      db.exec(sql);
    } catch (cause) {
      if ((cause as { errcode?: number }).errcode !== 2067) throw cause; // SQLITE_CONSTRAINT_UNIQUE
      throw new StoreError('ERR_STORE_CORRUPT', `two events have one event id, since somebody dropped what keeps them apart: ${sql.split('\n')[0]}`, { cause });
    }
  }
}

function requireTables(names: string[], required: string[]): void {
  const lacking = required.find((name) => !names.includes(name));
  if (lacking !== undefined) throw new StoreError('ERR_STORE_CORRUPT', `the database is marked as a store and has no table ${lacking}`);
}

function columnsOf(db: DatabaseSync, table: string): string {
  return db.prepare('SELECT name FROM pragma_table_info(?)').all(table).map(({ name }) => name).join();
}

/** The value of a PRAGMA that answers with one number or word. */
export function readPragma(db: DatabaseSync, name: string): number | string {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0] as number | string;
}

/**
 * The version a marked file has. Records with a number beyond this package's are a newer version's, also where that one left
 * some out. Throws `ERR_STORE_CORRUPT` where they have a gap or make no sense otherwise.
 */
function storedVersion(db: DatabaseSync): number {
  const records = db.prepare('SELECT version, applied_at FROM schema_version ORDER BY version').all();
  // What stands there after a page of another table was written over it must not pass for another version.
  const newest = Number(records.at(-1)?.['version']);
  const isDated = records.every(({ version, applied_at: at }) => Number.isInteger(version) && Number(version) > 0 && parseInstant(at));
  if (records.length > 0 && isDated && (newest > schemaVersion || records.every(({ version }, index) => version === index + 1))) return newest;
  if (records.length === 0) throw new StoreError('ERR_STORE_CORRUPT', 'schema_version has no version in it');
  const versions = records.map(({ version }) => String(version)).join(', ');
  throw new StoreError('ERR_STORE_CORRUPT', `the versions in schema_version are ${versions}: they have to be 1, 2, 3 and so on, each with its time`);
}

/** Throws `ERR_STORE_SCHEMA_TOO_NEW` for a version that this code does not know. */
export function checkKnown(path: string, version: number): void {
  if (version <= schemaVersion) return;
  throw new StoreError(
    'ERR_STORE_SCHEMA_TOO_NEW',
    `${path} has schema version ${version} and this package knows up to ${schemaVersion}: update the package, or migrate the file down with the version that wrote it`,
  );
}

/**
 * Gives an empty file the current schema, the mark and an identity. Runs inside the caller's transaction. `uuid` and
 * `createdAt` are those that a lost database had.
 */
export function createSchema(db: DatabaseSync, now: Date, uuid: string = randomUUID(), createdAt: string = now.toISOString()): void {
  db.exec(readSql('schema.sql'));
  mark(db, uuid, createdAt);
  for (const { version, description } of listMigrations()) recordVersion(db, version, description, now);
}

function mark(db: DatabaseSync, uuid: string, createdAt: string): void {
  db.exec(`PRAGMA application_id = ${applicationId}`);
  db.prepare('INSERT INTO store_meta (id, uuid, created_at) VALUES (1, ?, ?)').run(uuid, createdAt);
}

function recordVersion(db: DatabaseSync, version: number, description: string, now: Date): void {
  db.prepare('INSERT INTO schema_version (version, description, applied_at) VALUES (?, ?, ?)').run(version, description, now.toISOString());
}

/** A step of the schema: the version that it leads to, or back from, and what that brought. */
export interface MigrationStep {
  version: number;
  description: string;
}

interface Migration extends MigrationStep {
  up: SqlFile;
  down: SqlFile;
}

/** The steps in `lib/migrations/`, a file pair a version, from 1 on. */
export function listMigrations(): Migration[] {
  const ups = sqlFiles.filter((file) => file.endsWith('.up.sql'));
  return ups.map((up, index) => ({
    version: index + 1,
    description: up.slice('lib/migrations/000001_'.length, -'.up.sql'.length).replaceAll('_', ' '),
    up,
    down: up.replace('.up.sql', '.down.sql') as SqlFile,
  }));
}

/** The steps from one version to another, in the order in which they are taken. */
export function stepsBetween(from: number, to: number): MigrationStep[] {
  const steps = listMigrations().slice(Math.min(from, to), Math.max(from, to)).map(({ version, description }) => ({ version, description }));
  return from < to ? steps : steps.reverse();
}

/**
 * Moves a file from one version to another, each step with its record; version 0 is the four tables alone. Runs inside
 * the caller's transaction, so that a failing step leaves the file as it was. A step down that would lose rows or columns
 * needs `force`. Throws `ERR_STORE_MIGRATION`.
 */
export function migrateSchema(db: DatabaseSync, from: number, to: number, now: Date, force: boolean): void {
  const migrations = listMigrations();
  for (let version = from + 1; version <= to; version++) {
    const step = migrations[version - 1]!;
    runStep(`migrate up to version ${version} (${step.description})`, () => {
      if (version === 1) adopt(db, readSql(step.up), now);
      else runScript(db, readSql(step.up));
      recordVersion(db, version, step.description, now);
    });
  }
  for (let version = from; version > to; version--) {
    const step = migrations[version - 1]!;
    runStep(`migrate down from version ${version} (${step.description})`, () => {
      const before = contents(db);
      runScript(db, readSql(step.down));
      if (version === 1) db.exec('PRAGMA application_id = 0');
      else db.prepare('DELETE FROM schema_version WHERE version = ?').run(version);
      if (!force) refuseLoss(version, before, contents(db));
    });
  }
}

function runScript(db: DatabaseSync, sql: string): void {
  db.exec(sql);
  // The version would be recorded by itself otherwise.
  if (!db.isTransaction) throw new StoreError('ERR_STORE_MIGRATION', 'the step ended the transaction that it runs in');
}

function runStep(what: string, step: () => void): void {
  try {
    step();
  } catch (error) {
    const cause = toStoreError(error, what);
    // A full or failing disk keeps its own code: the caller can do something about it.
    if (cause instanceof StoreError && cause.code !== 'ERR_STORE_DATABASE') throw cause;
    throw new StoreError('ERR_STORE_MIGRATION', `failed to ${what}: ${(error as Error).message}`, { cause: error });
  }
}

/** How many values each column of each table holds, the version records apart: what a step down may lose. */
function contents(db: DatabaseSync): Map<string, number> {
  const columns = db.prepare(
    "SELECT t.name AS tbl, c.name AS col FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table' AND t.name <> 'schema_version' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
  ).all();
  return new Map(columns.map(({ tbl, col }) => {
    const count = db.prepare(`SELECT count("${String(col)}") AS n FROM "${String(tbl)}"`).get();
    return [`${String(tbl)}.${String(col)}`, Number(count?.['n'])];
  }));
}

/** The refusal of a step down. `loss` says what it would lose: how it is forced differs between callers. */
export class LossError extends StoreError {
  readonly loss: string;

  constructor(loss: string) {
    super('ERR_STORE_MIGRATION', `${loss}: use force to lose them`);
    this.loss = loss;
  }
}

function refuseLoss(version: number, before: Map<string, number>, after: Map<string, number>): void {
  const tableOf = (column: string): string => column.slice(0, column.indexOf('.'));
  const left = new Set([...after.keys()].map(tableOf));
  const lost = new Map<string, number>();
  for (const [column, count] of before) {
    if (count <= (after.get(column) ?? 0)) continue;
    const what = left.has(tableOf(column)) ? `values of ${column}` : `rows of ${tableOf(column)}`;
    lost.set(what, Math.max(count, lost.get(what) ?? 0));
  }
  if (lost.size === 0) return;
  const list = [...lost].map(([what, count]) => `${what} (${count})`).join(', ');
  throw new LossError(`migrating down from version ${version} would lose ${list}`);
}

/** Version 0 to 1: the rows are carried over and chained, and an event says which ids were already there. */
function adopt(db: DatabaseSync, sql: string, now: Date): void {
  checkIds(db);
  const uuid = randomUUID();
  let head = genesisHash(uuid);
  let lastId = 0;
  const gaps: [number, number][] = [];
  let moreGaps = 0;
  db.function('chain_hash', { directOnly: true }, (given, timestamp, type, data) => {
    const id = Number(given);
    if (id <= lastId) throw new StoreError('ERR_STORE_MIGRATION', `audit_log has two rows with one id, or one without: ${String(given)}`);
    if (id !== lastId + 1) {
      if (gaps.length < 1000) gaps.push([lastId + 1, id - 1]);
      else moreGaps++;
    }
    lastId = id;
    // Whatever type a value has here, every reader of the adopted row gets the same and hashes the same.
    head = rowHash(head, { id, timestamp: timestamp as string, type: type as string, data: data as string | Uint8Array, meta: null });
    return head;
  });
  let told = '';
  db.function('adopted_snapshot', { directOnly: true }, (bytes) => {
    const adopted = adoptSnapshot(bytes);
    told = adopted.told;
    return adopted.data;
  });
  runScript(db, sql);
  mark(db, uuid, now.toISOString());
  const id = lastId + 1;
  const counted = JSON.stringify({ upToId: lastId, gaps, ...(moreGaps > 0 ? { moreGaps } : undefined) });
  const data = `${counted.slice(0, -1)}${told}}`;
  const row = { id, timestamp: now.toISOString(), type: 'store_adopted', data, meta: null };
  db.prepare('INSERT INTO audit_log (id, timestamp, event_type, event_data, event_hash) VALUES (?, ?, ?, ?, ?)').run(
    id, row.timestamp, row.type, data, rowHash(head, row),
  );
  db.prepare('UPDATE store_meta SET adopted_id = ? WHERE id = 1').run(id);
}

/**
 * The state in the snapshot's row as this package writes it; null where it cannot be read whole, because the row then stays
 * as it is: whoever loads it gets an error, and not a service without its session. `told` is what the event says of it: why
 * it cannot be read, or the fields, in their very text, that a state has no place for.
 */
function adoptSnapshot(bytes: unknown): { data: string | null; told: string } {
  try {
    const { state, unknown } = readForeignState(checkUtf8('the snapshot', bytes));
    return { data: encodeState(state), told: unknown.size > 0 ? `,"snapshotFields":${objectText(unknown)}` : '' };
  } catch (error) {
    return { data: null, told: `,"unreadableSnapshot":${JSON.stringify((error as Error).message)}` };
  }
}

/** Every id must be a number that JavaScript has, with room for more behind it. */
function checkIds(db: DatabaseSync): void {
  const statement = db.prepare('SELECT min(id) AS first, max(id) AS last FROM audit_log');
  statement.setReadBigInts(true);
  const { first, last } = statement.get() as { first: unknown; last: unknown };
  const isId = (id: unknown): boolean => id === null || (typeof id === 'bigint' && id > 0n && id < 2n ** 52n);
  if (!isId(first) || !isId(last)) throw new StoreError('ERR_STORE_MIGRATION', `audit_log has ids from ${String(first)} to ${String(last)}, and only whole numbers from 1 to 2^52 can be gone on from`);
}
