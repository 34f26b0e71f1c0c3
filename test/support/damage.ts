// Damage to single values, as a flipped byte makes it: against what the schema allows, and with every index as it was.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import type { SqliteStore } from '../../lib/index.ts';

// node:sqlite of Node 24 cuts a text off at NUL: there is nothing there that anybody could see.
const showsNul = new DatabaseSync(':memory:').prepare("SELECT 'a' || char(0) AS text").get()!['text'] !== 'a';

/**
 * What a column of each kind may not hold, as SQL; one that may be NULL is `optional …`. A NUL is in no text that a
 * method takes.
 */
const kinds = {
  text: [...(showsNul ? ["'a' || char(0)"] : []), "x'61'", 'NULL'],
  word: ["'sunning'", "''", "x'61'", 'NULL'],
  count: ['-1', '-3', '0.5', "'x'", '9007199254740992', 'NULL'],
  instant: ["'soon'", "''", "'2026-02-30T00:00:00Z'", "x'61'", 'NULL'],
  json: ["'{'", "''", "x'35'", 'NULL'],
  texts: ["'[1'", "'[1]'", "'{}'", "x'5b5d'", 'NULL'],
};
type Kind = keyof typeof kinds | `optional ${keyof typeof kinds}`;

/**
 * Changes a table by an UPDATE that neither types nor checks nor keys stop, while those who have it open notice
 * nothing.
 */
export function damage(path: string, table: string, sql: string): void {
  using db = new DatabaseSync(path, { defensive: false, enableForeignKeyConstraints: false });
  db.exec(`PRAGMA writable_schema = ON; PRAGMA ignore_check_constraints = ON;
    CREATE TEMP TABLE kept AS SELECT rowid AS place, * FROM sqlite_schema WHERE tbl_name = '${table}';
    DELETE FROM sqlite_schema WHERE tbl_name = '${table}' AND type IN ('index', 'trigger') AND sql IS NOT NULL;
    UPDATE sqlite_schema SET sql = replace(replace(sql, ') STRICT', ')'), ' NOT NULL', '') WHERE name = '${table}';
    PRAGMA writable_schema = RESET; PRAGMA writable_schema = ON`);
  db.exec(`UPDATE ${table} SET ${sql}`);
  db.exec(`DELETE FROM sqlite_schema WHERE tbl_name = '${table}';
    INSERT INTO sqlite_schema (rowid, type, name, tbl_name, rootpage, sql) SELECT * FROM kept`);
}

/** What can be damaged in a table, and what then must not give it for whole. */
export interface Damages<T> {
  columns: Record<string, Kind>;
  /** Another condition than every row. */
  where?: string;
  calls: Record<string, (modules: T) => unknown>;
}

/**
 * Damages a column in each way of its kind, on a store made anew for each, and expects every call to refuse it by name
 * and to write nothing.
 */
export function assertRefused<T>(
  table: string,
  column: string,
  { columns, where, calls }: Damages<T>,
  make: () => { path: string; store: SqliteStore; modules: T },
): void {
  const [name, isOptional] = [
    columns[column]!.replace('optional ', '') as keyof typeof kinds,
    columns[column]!.startsWith('optional'),
  ];
  for (const value of kinds[name]) {
    if (isOptional && value === 'NULL') continue;
    const { path, store, modules } = make();
    damage(path, table, `${column} = ${value}${where === undefined ? '' : ` WHERE ${where}`}`);
    using db = new DatabaseSync(path, { readBigInts: true });
    const state = (): unknown => [db.prepare(`SELECT * FROM ${table}`).all(), store.auditHead()];
    const before = state();
    for (const [call, fn] of Object.entries(calls)) {
      // node:sqlite gives no number beyond 2^53, and no name with its error.
      const message =
        value.length > 15 && name === 'count' ? /out of range/ : new RegExp(`: ${column} cannot be read: `);
      assert.throws(
        () => fn(modules),
        { name: 'StoreError', code: 'ERR_STORE_CORRUPT', message },
        `${table}.${column} = ${value}: ${call}`,
      );
    }
    assert.deepEqual(state(), before);
    store.close();
  }
}
