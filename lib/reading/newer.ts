// What this code may do with a store whose schema is newer, as an update that was rolled back leaves it: the file says
// so itself, and what this code knows of it must still be as it was made.
import type { Connection } from '../core/connection.ts';
import {
  type FileKind, identify, isOwnTable, objectsSql, refuseForeignLogic, type SchemaRow, schemaVersion,
} from '../core/schema.ts';
import { readSql } from '../core/sql-files.ts';
import { DatabaseSync } from '../core/sqlite.ts';
import { StoreError } from '../values/errors.ts';

/** A store of a newer version, and what this code may do with it. */
export interface NewerSchema {
  version: number;
  access: 'write' | 'read' | 'none';
  /** `ERR_STORE_SCHEMA_TOO_NEW` for what this code may not do; it says which versions can. */
  refusal: StoreError;
  /** The message of the finding `schema-newer`. */
  message: string;
}

/**
 * Says what this code may do with a store; `undefined` where its version is not newer. Throws `ERR_STORE_NOT_A_STORE`
 * for a view or trigger in the place of ours, which no newer version puts there: `recover` moves no such file aside.
 */
export function newerSchema(db: DatabaseSync, path: string, file: FileKind = identify(db)): NewerSchema | undefined {
  if (file.kind !== 'store' || file.version <= schemaVersion) return undefined;
  const { version, lacking } = file;
  const rule = ruleOf(db, version);
  if (!rule) return describe(path, version, 'none', 'its store_meta does not say which versions can use it');
  const { writableFrom, readableFrom } = rule;
  const writers = `version ${writableFrom} or later can write to it`;
  if (readableFrom > schemaVersion) {
    const others = readableFrom === writableFrom ? ' and write to it' : `, and ${writers}`;
    return describe(path, version, 'none', `version ${readableFrom} or later can read it${others}`);
  }
  const isForWriting = writableFrom <= schemaVersion;
  refusePlanted(path, db, isForWriting);
  const [found, made] = [madeIn(db), ownMade()];
  const missing = firstLacking(found.columns, made.columns);
  if (missing !== undefined) return describe(path, version, 'none', `it has no column ${missing}`);
  const why = isForWriting ? obstacle(found, made, lacking) : writers;
  return describe(path, version, why === undefined ? 'write' : 'read', why ?? writers);
}

/** The oldest versions whose code may use the file; `undefined` where what stands there makes no sense. */
function ruleOf(db: DatabaseSync, version: number): { writableFrom: number; readableFrom: number } | undefined {
  const isOrdered = `1 <= readable_from AND readable_from <= writable_from AND writable_from <= ${version}`;
  const sql = `SELECT writable_from AS writableFrom, readable_from AS readableFrom FROM store_meta WHERE id = 1
    AND typeof(writable_from) = 'integer' AND typeof(readable_from) = 'integer' AND ${isOrdered}`;
  try {
    return db.prepare(sql).get() as { writableFrom: number; readableFrom: number } | undefined;
  } catch (error) {
    if ((error as { errcode?: number }).errcode === 1) return undefined; // no such table or column
    throw error;
  }
}

function describe(path: string, version: number, access: NewerSchema['access'], why: string): NewerSchema {
  const advice = 'update the package, or migrate the file down with the version that wrote it';
  const known = `${path} has schema version ${version} and this package knows up to ${schemaVersion}`;
  const use = access === 'write' ? `writes to it as version ${schemaVersion}` : `only reads it: ${why}`;
  return {
    version,
    access,
    refusal: new StoreError('ERR_STORE_SCHEMA_TOO_NEW', `${known}: ${why}; ${advice}`),
    message: `schema version ${version}, written by a newer version; this one ${use}`,
  };
}

/**
 * An additive step makes no trigger that our writes run, so one that is there was planted. Another step may make one,
 * but then this code only reads, which runs no trigger.
 */
function refusePlanted(path: string, db: DatabaseSync, isWritten: boolean): void {
  try {
    refuseForeignLogic(db, rowsOf<SchemaRow>(db, objectsSql), isWritten);
  } catch (cause) {
    throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} is of no newer version: ${(cause as Error).message}`);
  }
}

/** What keeps this code from writing although the file permits it: something of ours is not as schema.sql makes it. */
function obstacle(found: Made, made: Made, lacking: readonly string[]): string | undefined {
  const changed = firstLacking(found.details, made.details);
  if (changed !== undefined) return `its column ${changed} is not as this package made it`;
  if (lacking.length > 0) return `it lacks what this package made by ${lacking[0]!.split('\n')[0]}`;
  const needed = firstLacking(made.needed, found.needed);
  if (needed !== undefined) return `its column ${needed} needs a value, which this package does not know`;
  const unique = firstLacking(made.unique, found.unique);
  return unique === undefined ? undefined : `its index ${unique} may refuse what this package writes`;
}

/** What a database has of our tables: by `table.name`, and what is to be compared behind a blank. */
interface Made {
  columns: string[];
  /** The columns with all that PRAGMA table_xinfo says of them but their place. */
  details: string[];
  /** The columns for which an INSERT has to name a value. */
  needed: string[];
  /** The indexes that refuse rows. */
  unique: string[];
}

const columnsSql = `SELECT t.name, c.name, c.type, c."notnull", c.dflt_value, c.pk, c.hidden
  FROM sqlite_schema AS t, pragma_table_xinfo(t.name) AS c WHERE t.type = 'table'`;
const uniqueSql = `SELECT t.name, i.name
  FROM sqlite_schema AS t, pragma_index_list(t.name) AS i WHERE t.type = 'table' AND i."unique"`;

type ColumnRow = [table: string, name: string, type: string, isNotNull: number, value: string | null, ...unknown[]];

function madeIn(db: DatabaseSync): Made {
  const nameOf = ([table, name]: readonly unknown[]): string => `${String(table)}.${String(name)}`;
  const columns = rowsOf<ColumnRow>(db, columnsSql).filter(([table]) => isOwnTable(table));
  const unique = rowsOf<[string, string]>(db, uniqueSql).filter(([table]) => isOwnTable(table));
  return {
    columns: columns.map(nameOf),
    details: columns.map((column) => `${nameOf(column)} ${JSON.stringify(column)}`),
    needed: columns.filter(([, , , isNotNull, value]) => isNotNull === 1 && /^(null)?$/i.test(value ?? '')).map(nameOf),
    unique: unique.map(nameOf),
  };
}

let madeBySchema: Made | undefined;

/** What schema.sql makes, found out once: it is slow, and an older image opens its store each time by this way. */
function ownMade(): Made {
  if (madeBySchema) return madeBySchema;
  using db = new DatabaseSync(':memory:');
  db.exec(readSql('schema.sql'));
  return (madeBySchema = madeIn(db));
}

/** The name of the first of `wanted` that is not among `there`. */
function firstLacking(there: readonly string[], wanted: readonly string[]): string | undefined {
  const known = new Set(there);
  return wanted.find((each) => !known.has(each))?.split(' ')[0];
}

function rowsOf<Row>(db: DatabaseSync, sql: string): Row[] {
  const statement = db.prepare(sql);
  statement.setReturnArrays(true);
  return statement.all() as unknown as Row[];
}

/** Remembers the version of a newer store that is open, and reports it as a finding. */
export function tellNewer(connection: Connection, newer: NewerSchema | undefined): void {
  if (!newer) return;
  connection.newerVersion = newer.version;
  connection.faults.report('schema-newer', newer.message);
}

/**
 * Thrown to whoever opens a store for writing that may only be read. The class does not extend Error, so no layer maps
 * it: lib/opening/open.ts opens the store to read it instead.
 */
export class OnlyReadable {
  readonly refusal: StoreError;

  constructor(refusal: StoreError) {
    this.refusal = refusal;
  }
}

/** Throws where a newer store may not be written to. */
export function requireWritable(newer: NewerSchema | undefined): void {
  if (newer?.access === 'none') throw newer.refusal;
  if (newer?.access === 'read') throw new OnlyReadable(newer.refusal);
}
