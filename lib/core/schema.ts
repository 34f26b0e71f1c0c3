// Which schema a database has, and the current one for a new file.
import { parseInstant } from '../values/checks.ts';
import { StoreError } from '../values/errors.ts';
import { readTogether, readValue } from './handle.ts';
import { migrations, readSql } from './sql-files.ts';
import type { DatabaseSync } from './sqlite.ts';

/** Marks a file as this package's: "shpd" in `PRAGMA application_id`, where `file(1)` finds it too. */
export const applicationId = 0x73687064;

/** The version of `schema.sql`: that of the newest step in `lib/migrations/`. */
export const schemaVersion: number = migrations.length;

/** The oldest version whose code may write to a new file: the newest step that raises it (lib/migrations/). */
export const writableFrom = 9;

// From this version on PRAGMA user_version, which is in the header of the file, holds the version too.
export const firstInHeader = 6;

/** What a database file is to this package. `lacking`: the SQL of triggers and indexes that somebody has dropped. */
export type FileKind =
  | { kind: 'empty' }
  | { kind: 'store'; version: number; lacking: readonly string[] }
  | { kind: 'four-tables' } // version 0: the first four tables alone, without a mark
  | { kind: 'other'; holds: string };

const fourTables: Record<string, string> = {
  audit_log: 'id,timestamp,event_type,event_data',
  cooldowns: 'entry_id,until',
  snapshot: 'id,data',
  usage: 'entry_id,day,duration_secs',
};

/** What schema.sql makes: the names of its tables, and the SQL of its triggers and indexes by their names. */
interface OwnObjects {
  tables: Set<string>;
  others: Map<string, string>;
}

let ownObjects: OwnObjects | undefined;

function own(): OwnObjects {
  if (ownObjects) return ownObjects;
  const text = readSql('schema.sql');
  const tables = new Set<string>();
  for (const [, name] of text.matchAll(/^CREATE TABLE (\w+) \(/gm)) tables.add(name!);
  return (ownObjects = { tables, others: objectsIn(text) });
}

/** The SQL of the triggers and indexes that a script makes, by their names. */
function objectsIn(script: string): Map<string, string> {
  const pattern = /^CREATE (?:TRIGGER (\w+) .*?^END;|(?:UNIQUE )?INDEX (\w+) [^;]*;)/gms;
  const objects = new Map<string, string>();
  for (const [sql, trigger, index] of script.matchAll(pattern)) objects.set((trigger ?? index)!, sql);
  return objects;
}

/** The triggers and indexes as a version has them: an older one may have had another trigger of the same name. */
function othersOf(version: number): Map<string, string> {
  if (version >= schemaVersion) return own().others;
  const steps = migrations.slice(0, version).flatMap(({ up }) => [...objectsIn(readSql(up))]);
  return new Map([...own().others, ...steps]);
}

/** The tables that have what a store was given: all but the two that say which store and schema it is. */
export function contentTables(): string[] {
  return [...own().tables].filter((name) => name !== 'schema_version' && name !== 'store_meta');
}

/** Whether schema.sql has a table of this name. */
export function isOwnTable(name: unknown): boolean {
  return own().tables.has(String(name).toLowerCase());
}

/** Every object of a schema but SQLite's own, as `SchemaRow`s. */
export const objectsSql = `SELECT name, type, tbl_name, rootpage, sql FROM sqlite_schema
  WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name`;
export type SchemaRow = [name: string, type: string, table: string, rootpage: number, sql: string | null];

/** Says what a file is by its mark, version and schema only; reads no row of a foreign file. */
export function identify(db: DatabaseSync): FileKind {
  return readTogether(db, () => identifyNow(db));
}

function identifyNow(db: DatabaseSync): FileKind {
  const mark = readValue(db, 'PRAGMA application_id');
  const statement = db.prepare(objectsSql);
  statement.setReturnArrays(true);
  const objects = statement.all() as unknown as SchemaRow[];
  if (mark === applicationId) return identifyStore(db, objects);
  // An adopted file may have indexes, which are dropped with its tables, but no view or trigger: that is foreign logic.
  const names = objects.filter(([, type]) => type !== 'index').map(([name]) => name);
  if (mark !== 0) return { kind: 'other', holds: `application id ${mark}` };
  if (names.length === 0) return { kind: 'empty' };
  const areTables = objects.every(([, type]) => type === 'table' || type === 'index');
  const isFour = areTables && names.join() === Object.keys(fourTables).join();
  if (isFour && names.every((name) => columnsOf(db, name) === fourTables[name])) return { kind: 'four-tables' };
  return { kind: 'other', holds: `tables ${names.slice(0, 5).join(', ')}` };
}

function identifyStore(db: DatabaseSync, objects: SchemaRow[]): FileKind {
  const { others } = own(); // refuses a package without its SQL, to which every version would be too new
  const names = new Set<string>();
  for (const [name] of objects) names.add(name);
  requireTables(names, ['schema_version']);
  const version = storedVersion(db);
  const lacking: string[] = [];
  for (const [name, sql] of others) if (!names.has(name)) lacking.push(sql);
  // A newer version may have other tables, and is not damaged for that: lib/reading/newer.ts looks at those of ours.
  if (version > schemaVersion) return { kind: 'store', version, lacking };
  requireTables(names, ['store_meta', ...Object.keys(fourTables)]);
  refuseForeignLogic(db, objects, true, version);
  return { kind: 'store', version, lacking };
}

/**
 * Throws for an object that would answer or act in the place of one of our tables: a view or virtual table with its
 * name, and with `isWritten` a trigger that is not word for word as a file of this version has it. SQLite itself
 * refuses a file whose schema table contradicts its SQL. Other objects that an operator has added do nothing unless
 * somebody names them, but for a trigger on a table whose rows a foreign key changes, because that runs when a row of
 * ours goes.
 */
export function refuseForeignLogic(
  db: DatabaseSync, objects: readonly SchemaRow[], isWritten: boolean, version: number = schemaVersion,
): void {
  const { tables } = own();
  const others = othersOf(version);
  for (const [name, type, table, rootpage, sql] of objects) {
    if (tables.has(name.toLowerCase()) && type !== 'index' && (type !== 'table' || rootpage === 0)) {
      const kind = type === 'table' ? 'a virtual one' : `a ${type}`;
      throw new StoreError('ERR_STORE_CORRUPT', `${name} is no table of its own, but ${kind}`);
    }
    if (!isWritten || type !== 'trigger') continue; // a read runs no trigger
    if (others.get(name) === `${sql};` || (!tables.has(table.toLowerCase()) && !isChangedByKey(db, table))) continue;
    if (others.has(name)) throw new StoreError('ERR_STORE_CORRUPT', `the trigger ${name} is not as it was made`);
    const advice = 'drop it, if you know what it is for';
    throw new StoreError('ERR_STORE_NOT_A_STORE', `the trigger ${name} on ${table} is not this package's: ${advice}`);
  }
}

/** Whether a foreign key changes rows of a table: `ON DELETE CASCADE` and the like. */
function isChangedByKey(db: DatabaseSync, table: string): boolean {
  const changing = "('CASCADE', 'SET NULL', 'SET DEFAULT')";
  const sql = `SELECT 1 FROM pragma_foreign_key_list(?) WHERE on_delete IN ${changing} OR on_update IN ${changing}`;
  return db.prepare(sql).get(table) !== undefined;
}

function requireTables(names: Set<string>, required: string[]): void {
  for (const name of required) {
    if (names.has(name)) continue;
    throw new StoreError('ERR_STORE_CORRUPT', `the database is marked as a store and has no table ${name}`);
  }
}

function columnsOf(db: DatabaseSync, table: string): string {
  return db.prepare('SELECT name FROM pragma_table_info(?)').all(table).map(({ name }) => name).join();
}

/**
 * The version of a marked file: that in its header, or that of its records where the header has none or another. Throws
 * `ERR_STORE_CORRUPT` for records with a gap or without sense, because records that a page of another table was written
 * over must not pass for another version.
 */
function storedVersion(db: DatabaseSync): number {
  const inHeader = Number(readValue(db, 'PRAGMA user_version'));
  if (inHeader > schemaVersion) return inHeader;
  const agreeSql = `SELECT count(*) = ${inHeader} AND min(version) = 1 AND max(version) = ${inHeader}
    FROM schema_version`;
  if (inHeader >= firstInHeader && readValue(db, agreeSql) === 1) return inHeader;
  const records = db.prepare('SELECT version, applied_at FROM schema_version ORDER BY version').all();
  if (records.length === 0) throw new StoreError('ERR_STORE_CORRUPT', 'schema_version has no version in it');
  const isSound = records.every(({ version, applied_at: at }, index) => version === index + 1 && parseInstant(at));
  if (isSound) return records.length;
  const versions = records.map(({ version }) => String(version)).join(', ');
  const rule = 'they have to be 1, 2, 3 and so on, each with its time';
  throw new StoreError('ERR_STORE_CORRUPT', `the versions in schema_version are ${versions}: ${rule}`);
}

/** The error for a file that is none of this package's. */
export function notAStore(path: string, file: FileKind): StoreError {
  const holds = file.kind === 'other' ? file.holds : 'nothing';
  return new StoreError('ERR_STORE_NOT_A_STORE', `${path} is not a store: it holds ${holds}`);
}
