// What this code may do with a store whose schema is newer, as an update that was rolled back leaves it: the file says
// so itself, and what this code knows of it must still be as it was made.
import {
  type FileKind, identify, isOwnTable, objectsSql, refuseForeignLogic, type SchemaRow, schemaVersion,
} from '../core/schema.ts';
import { readSql } from '../core/sql-files.ts';
import { DatabaseSync } from '../core/sqlite.ts';
import { StoreError } from '../values/errors.ts';

/** A store of a newer version, and what this code may do with it. */
export interface NewerSchema {
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
    return describe(path, version, 'none', `version ${readableFrom} or later can read it, and ${writers}`);
  }
  const isForWriting = writableFrom <= schemaVersion;
  refusePlanted(path, db, isForWriting);
  const missing = firstMissing(db, columnsOf('c.name'));
  if (missing !== undefined) return describe(path, version, 'none', `it has no column ${missing}`);
  const why = isForWriting ? obstacle(db, lacking) : writers;
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
    access,
    refusal: new StoreError('ERR_STORE_SCHEMA_TOO_NEW', `${known}: ${why}; ${advice}`),
    message: `schema version ${version}, written by a newer version; this one ${use}`,
  };
}

/** A step behind which this code may write makes no trigger on a table of ours; a step of another kind may. */
function refusePlanted(path: string, db: DatabaseSync, isWritten: boolean): void {
  try {
    refuseForeignLogic(rowsOf<SchemaRow>(db, objectsSql), isWritten);
  } catch (cause) {
    throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} is of no newer version: ${(cause as Error).message}`);
  }
}

/** What keeps this code from writing although the file permits it: something of ours is not as schema.sql makes it. */
function obstacle(db: DatabaseSync, lacking: readonly string[]): string | undefined {
  const changed = firstMissing(db, columnsOf('c.name, c.type, c."notnull", c.dflt_value, c.pk, c.hidden'));
  if (changed !== undefined) return `its column ${changed} is not as this package made it`;
  if (lacking.length > 0) return `it lacks what this package made by ${lacking[0]!.split('\n')[0]}`;
  const needed = firstUnknown(db, `${columnsOf('c.name')} AND c."notnull" AND c.dflt_value IS NULL`);
  if (needed !== undefined) return `its column ${needed} needs a value, which this package does not know`;
  const unique = firstUnknown(db, uniqueIndexes);
  return unique === undefined ? undefined : `its index ${unique} may refuse what this package writes`;
}

const columnsOf = (values: string): string => `SELECT t.name, ${values}
  FROM sqlite_schema AS t, pragma_table_xinfo(t.name) AS c WHERE t.type = 'table'`;
const uniqueIndexes = `SELECT t.name, i.name
  FROM sqlite_schema AS t, pragma_index_list(t.name) AS i WHERE t.type = 'table' AND i."unique"`;

/** The first thing of our tables that schema.sql makes and a database does not have, as `table.name`. */
function firstMissing(db: DatabaseSync, sql: string): string | undefined {
  const found = ownRows(db, sql);
  return nameOf(ofSchemaSql(sql).find((row) => !found.includes(row)));
}

/** The first thing of our tables that a database has and schema.sql does not make. */
function firstUnknown(db: DatabaseSync, sql: string): string | undefined {
  const known = ofSchemaSql(sql);
  return nameOf(ownRows(db, sql).find((row) => !known.includes(row)));
}

function ofSchemaSql(sql: string): string[] {
  using db = new DatabaseSync(':memory:');
  db.exec(readSql('schema.sql'));
  return ownRows(db, sql);
}

/** Those rows that are about our tables, as texts, which can be compared. */
function ownRows(db: DatabaseSync, sql: string): string[] {
  return rowsOf<[string]>(db, sql).filter(([table]) => isOwnTable(table)).map((row) => JSON.stringify(row));
}

function rowsOf<Row>(db: DatabaseSync, sql: string): Row[] {
  const statement = db.prepare(sql);
  statement.setReturnArrays(true);
  return statement.all() as unknown as Row[];
}

function nameOf(row: string | undefined): string | undefined {
  return row === undefined ? undefined : (JSON.parse(row) as string[]).slice(0, 2).join('.');
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
