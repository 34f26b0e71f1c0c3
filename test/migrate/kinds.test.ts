// What each step says of itself in the line below its seal, and that one which only adds does just that.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { inTransaction } from '../../lib/core/handle.ts';
import { schemaVersion } from '../../lib/core/schema.ts';
import { migrations, readSql } from '../../lib/core/sql-files.ts';
import { migrateSchema } from '../../lib/migrate/steps.ts';
import { fourTables } from '../support/foreign.ts';
import { root } from '../support/project.ts';

const kindPattern = /^-- (Additive|Raises writable_from|Raises writable_from and readable_from): \S.*\.$/;
const now = new Date('2026-11-21T09:00:00Z');
// From this version on a file says which versions may use it.
const firstToSay = 7;

/** The kind of a step up, by its second line: the first is the seal, which is made of all lines below it. */
function kindOf(version: number): string {
  const line = readSql(migrations[version - 1]!.up).split('\n')[1]!;
  return kindPattern.exec(line)?.[1] ?? `no kind: ${line}`;
}

/** A database in memory that has gone up to a version, step by step. */
function databaseOf(version: number): DatabaseSync {
  const db = new DatabaseSync(':memory:');
  db.exec(fourTables);
  inTransaction(db, () => migrateSchema(db, 0, version, now, false));
  return db;
}

type Row = Record<string, unknown>;

function rows(db: DatabaseSync, sql: string): Row[] {
  return db.prepare(sql).all().map((row) => ({ ...row }));
}

/** What PRAGMAs and the schema say, each thing by its table and name. */
function describe(db: DatabaseSync): Record<'columns' | 'indexes' | 'keys' | 'objects', Map<string, Row>> {
  const ofTables = (pragma: string, name: string, columns: string): Map<string, Row> => {
    const sql = `SELECT t.name AS own, ${columns} FROM sqlite_schema AS t, ${pragma}(t.name) AS p
      WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'`;
    return new Map(rows(db, sql).map((row) => [`${String(row['own'])}.${String(row[name])}`, row]));
  };
  const objects = rows(db, "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'");
  return {
    columns: ofTables('pragma_table_xinfo', 'name', 'p.name, p.type, p."notnull", p.dflt_value, p.pk, p.hidden'),
    indexes: ofTables('pragma_index_list', 'name', 'p.name, p."unique", p.origin, p.partial'),
    keys: ofTables('pragma_foreign_key_list', 'key', `p."from", p."table" AS target, p.on_update, p.on_delete, p.match,
      p."from" || '>' || p."table" || '.' || coalesce(p."to", '') AS key`),
    objects: new Map(objects.map((row) => [`${String(row['type'])} ${String(row['name'])}`, row])),
  };
}

const plainColumn = /,? \w+ (?:TEXT|INTEGER|REAL|BLOB|ANY)(?: NOT NULL)?(?: DEFAULT (?:'[^']*'|-?[\d.]+))?,?/;
const plainColumns = new RegExp(`^(?:${plainColumn.source})*$`);

/** Whether the text of a table is another one into which ALTER TABLE has put columns, of which none checks a row. */
function hasMoreColumns(before: string, after: string): boolean {
  let same = 0;
  while (same < before.length && before[same] === after[same]) same++;
  const added = after.slice(same, same + after.length - before.length);
  return after.endsWith(before.slice(same)) && plainColumns.test(added);
}

// A column compared with plain texts: the one condition of a partial index that cannot fail, whatever stands in a row,
// because it neither calls a function nor reads JSON. Older code may so write any row, and need not know the index.
const harmless = /^CREATE INDEX \w+ ON \w+ \([\w, ]+\)\s+WHERE \w+ IN \('[^']*'(?:,\s*'[^']*')*\)$/;

/** The values in these columns, but for those that each file has of its own. */
function contentOf(db: DatabaseSync, columns: readonly Row[]): string {
  const names = columns.map(({ own, name }) => [String(own), String(name)] as const);
  const isOfFile = /^(store_meta|schema_version)\.|\.event_hash$/;
  const content = names.filter((each) => !isOfFile.test(each.join('.')));
  return JSON.stringify(content.map(([table, name]) => rows(db, `SELECT "${name}" FROM "${table}" ORDER BY rowid`)));
}

/** Why code of the version before may not write behind a step; empty where it only adds. */
function objections(before: DatabaseSync, after: DatabaseSync): string[] {
  const [was, is] = [describe(before), describe(after)];
  const found: string[] = [];
  const isOld = (table: unknown): boolean => was.objects.has(`table ${String(table)}`);
  for (const part of ['columns', 'indexes', 'keys'] as const) {
    for (const [name, row] of was[part]) {
      if (JSON.stringify(row) !== JSON.stringify(is[part].get(name))) found.push(`${part} ${name} was changed`);
    }
  }
  for (const [name, { type, sql }] of was.objects) {
    const text = is.objects.get(name)?.['sql'];
    const isSame = type === 'table' ? hasMoreColumns(String(sql), String(text)) : sql === text;
    if (!isSame) found.push(`${name} was changed`);
  }
  for (const [name, { own, notnull, dflt_value: value }] of is.columns) {
    if (!was.columns.has(name) && isOld(own) && notnull === 1 && value === null) found.push(`${name} has no default`);
  }
  for (const [name, { own, name: index, unique, partial }] of is.indexes) {
    if (was.indexes.has(name) || !isOld(own)) continue;
    const reckoned = rows(after, `SELECT 1 FROM pragma_index_xinfo('${String(index)}') WHERE cid = -2`);
    const mayFail = partial === 1 && !harmless.test(String(is.objects.get(`index ${String(index)}`)?.['sql']));
    if (unique === 1 || mayFail || reckoned.length > 0) found.push(`${name} refuses rows`);
  }
  for (const [name, { own, from, target, on_delete: on }] of is.keys) {
    if (was.keys.has(name)) continue;
    if (isOld(own)) found.push(`${name} refuses rows`);
    const isEmptied = on === 'SET NULL' && is.columns.get(`${String(own)}.${String(from)}`)?.['notnull'] === 0;
    if (isOld(target) && on !== 'CASCADE' && !isEmptied) found.push(`${name} keeps rows`);
  }
  for (const [name, { type, tbl_name: table }] of is.objects) {
    if (was.objects.has(name)) continue;
    if (type === 'view') found.push(`${name} is a view`);
    const hasKey = [...is.keys.values()].some(({ own, on_delete: on }) => own === table && on !== 'NO ACTION');
    if (type === 'trigger' && (isOld(table) || hasKey)) found.push(`${name} runs with what older code writes`);
  }
  const kept = [...was.columns].flatMap(([name, row]) => (is.columns.has(name) ? [row] : []));
  const [then, now] = [before, after].map((db) => contentOf(db, kept));
  if (then !== now) found.push('rows were changed');
  return found;
}

/** The versions in the file's own row. */
function rangeOf(db: DatabaseSync): unknown {
  return { ...db.prepare('SELECT writable_from AS writers, readable_from AS readers FROM store_meta').get() };
}

for (const { version, description } of migrations) {
  test(`step ${version}, ${description}, says of which kind it is, and is of that kind`, () => {
    const kind = kindOf(version);
    assert.match(kind, /^(Additive|Raises)/);
    if (version === 1) return assert.match(kind, /readable_from/); // the four tables have no version
    using before = databaseOf(version - 1);
    using after = databaseOf(version);
    if (kind === 'Additive') assert.deepEqual(objections(before, after), []);
    if (version < firstToSay) return;
    const range = rangeOf(after) as { writers: number; readers: number };
    const old = (version === firstToSay ? { writers: 6, readers: 6 } : rangeOf(before)) as typeof range;
    const writers = kind === 'Additive' ? old.writers : version;
    assert.deepEqual(range, { writers, readers: kind.endsWith('readable_from') ? version : old.readers });
    inTransaction(after, () => migrateSchema(after, version, version - 1, now, true));
    if (version > firstToSay) assert.deepEqual(rangeOf(after), old, 'the way down does not set them back');
  });
}

test('what the steps before said is what a file says from the first version on that says it', () => {
  const raising = (words: string): number[] =>
    migrations.map(({ version }) => version).filter((step) => step < firstToSay && kindOf(step).includes(words));
  using db = databaseOf(firstToSay);
  assert.deepEqual(rangeOf(db), { writers: raising('writable_from').at(-1), readers: raising('readable_from').at(-1) });
  assert.ok(schemaVersion >= firstToSay);
});

const notAdditive: [what: string, sql: string][] = [
  ['a column without a default', "CREATE TABLE t (a); DROP TABLE usage; CREATE TABLE usage (entry_id TEXT NOT NULL, "
    + 'day TEXT NOT NULL, duration_secs INTEGER NOT NULL, carry_ms INTEGER NOT NULL DEFAULT 0, kind TEXT NOT NULL, '
    + 'PRIMARY KEY (entry_id, day))'],
  ['a column that goes', 'ALTER TABLE cooldowns DROP COLUMN clock_behind_at'],
  ['a column of another name', 'ALTER TABLE cooldowns RENAME COLUMN until TO ends'],
  ['a table that goes', 'DROP TABLE facts'],
  ['an index that goes', 'DROP INDEX usage_day'],
  ['a unique index', 'CREATE UNIQUE INDEX one_day ON usage (entry_id, day)'],
  ['a trigger on a table that was there', 'CREATE TRIGGER t AFTER INSERT ON usage BEGIN SELECT 1; END'],
  ['a trigger made anew', 'DROP TRIGGER audit_log_no_update; CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON '
    + 'audit_log BEGIN SELECT 1; END'],
  ['a key that keeps rows', 'CREATE TABLE notes (run_id TEXT REFERENCES runs (id))'],
  ['a key of a table that was there', 'ALTER TABLE facts ADD COLUMN run_id TEXT REFERENCES runs (id)'],
  ['a view', 'CREATE VIEW totals AS SELECT sum(duration_secs) FROM usage'],
  ['a trigger that runs when a row goes that was there', `CREATE TABLE notes (run_id TEXT REFERENCES runs (id)
    ON DELETE CASCADE); CREATE TRIGGER t AFTER DELETE ON notes BEGIN SELECT 1; END`],
  ['a key that cannot be emptied', 'CREATE TABLE notes (run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE SET NULL)'],
  ['a column that checks others', 'ALTER TABLE snapshot ADD COLUMN kind TEXT CHECK (generation < 9)'],
  ['a column that is reckoned', 'ALTER TABLE snapshot ADD COLUMN half INTEGER AS (json_extract(data, generation))'],
  ['an index that reckons', "CREATE INDEX kinds ON snapshot (json_extract(data, '$.kind'))"],
  ['an index of some rows that reads JSON', "CREATE INDEX kinds ON snapshot (id) WHERE data ->> '$.kind' IN ('a')"],
  ['an index of some rows that reckons', "CREATE INDEX kinds ON snapshot (id) WHERE abs(generation) IN ('1')"],
  ['an index of some rows whose condition has a second part', "CREATE INDEX kinds ON snapshot (id) WHERE data IN ('a') "
    + "AND json_extract(data, '$.kind') = 1"],
  ['a unique index of some rows', "CREATE UNIQUE INDEX one ON audit_log (event_type) WHERE event_type IN ('a')"],
  ['rows that change', "UPDATE usage SET duration_secs = 1"],
  ['rows that go', 'DELETE FROM usage'],
  ['a check', `DROP TABLE snapshot; CREATE TABLE snapshot (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    data TEXT NOT NULL CHECK (json_valid(data)),
    generation INTEGER NOT NULL DEFAULT 0 CHECK (typeof(generation) = 'integer' AND generation >= 0)
  )`],
];

test('what a step may do that only adds is no objection, and each thing that it may not do is one', () => {
  using before = databaseOf(schemaVersion);
  using added = databaseOf(schemaVersion);
  added.exec(`CREATE TABLE notes (id INTEGER PRIMARY KEY, run_id TEXT REFERENCES runs (id) ON DELETE CASCADE);
    ALTER TABLE usage ADD COLUMN kind TEXT NOT NULL DEFAULT 'play'; ALTER TABLE cooldowns ADD COLUMN reason TEXT;
    CREATE INDEX usage_kind ON usage (kind); CREATE UNIQUE INDEX notes_run ON notes (run_id);
    CREATE INDEX audit_log_some ON audit_log (id) WHERE event_type IN ('a', 'b');
    CREATE TABLE marks (id INTEGER PRIMARY KEY);
    CREATE TRIGGER marks_kept BEFORE DELETE ON marks BEGIN SELECT RAISE(ABORT, 'kept'); END;`);
  assert.deepEqual(objections(before, added), []);
  for (const [what, sql] of notAdditive) {
    using changed = databaseOf(schemaVersion);
    changed.exec(sql);
    assert.notDeepEqual(objections(before, changed), [], what);
  }
});

test('no SQL of the package takes all columns, fills columns that it does not name, or replaces a row', () => {
  const pattern = /SELECT (?:\w+\.)?\*|INSERT (?:OR \w+ )?INTO [\w${}."]+\s+(?!\()\S+|REPLACE INTO/g;
  const found = ["'SELECT * FROM a'", "'INSERT INTO a VALUES (1)'", "'INSERT OR IGNORE INTO a SELECT 1'",
    "'INSERT OR REPLACE INTO a (b)'"];
  assert.ok(found.every((sql) => sql.match(pattern)?.length === 1) && !'INSERT INTO a (b)'.match(pattern));
  for (const path of globSync(['lib/**/*.ts', 'lib/migrations/*.sql', 'schema.sql'], { cwd: root })) {
    assert.deepEqual(readFileSync(join(root, path), 'utf8').match(pattern) ?? [], [], path);
  }
});
