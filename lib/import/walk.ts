// Walking a source's tables: page by page, each row by itself, so that one that is refused keeps no other out.
import { types } from 'node:util';
import { StoreError } from '../errors.ts';
import { checkUtf8 } from '../json-text.ts';
import { invalid } from '../values.ts';
import { isRefusal, named } from './sink.ts';
import type { RowName, Sink } from './sink.ts';
import { quoted } from './source.ts';
import type { Source } from './source.ts';

/** The columns of each table of a kind of source. */
export type Columns = Readonly<Record<string, readonly string[]>>;
export type Row = [rowid: bigint, ...columns: unknown[]];

// Small enough that a page of long events fits into memory and an abort is heard soon.
const pageRows = 500;
export const firstRow = -(2n ** 63n);
const lastRow = 2n ** 63n - 1n;

/** Whether a source has all of these tables with all of these columns. */
export function hasColumns({ tables }: Source, columns: Columns): boolean {
  return Object.entries(columns).every(([table, names]) => names.every((name) => tables.get(table)?.includes(name)));
}

/** How many rows a source has in all, those of its version records apart. */
export function countRows(source: Source, versions?: string): number {
  const tables = [...source.tables.keys()].filter((table) => table !== versions);
  return tables.reduce((sum, table) => sum + Number(source.all<[bigint]>(`SELECT count(*) FROM ${quoted(table)}`)[0]![0]), 0);
}

/** Every row that `sql` gives from a rowid on, in its order. */
export function* walkRows(source: Source, sink: Sink, sql: string, take: (row: Row, sink: Sink) => void): Generator<number, void, undefined> {
  for (let next = firstRow; ; ) {
    const rows = source.all<Row>(`${sql} LIMIT ${pageRows}`, next);
    for (const row of rows) take(row, sink);
    yield rows.length;
    const last: unknown = rows.at(-1)?.[0];
    if (rows.length < pageRows || last === lastRow) return;
    // A column of that name is not the rowid, and what is in it leads nowhere.
    if (typeof last !== 'bigint') throw new StoreError('ERR_STORE_NOT_A_STORE', `failed to import ${source.path}: it has a table whose rows are not numbered`);
    if (last < next) throw new StoreError('ERR_STORE_CORRUPT', `failed to import ${source.path}: a damaged page leads back to row ${last}`); // for ever, otherwise
    next = last + 1n;
  }
}

/** A row's values by the names of their columns; a value that cannot be had as it is throws `ERR_STORE_INVALID_ARGUMENT` when asked for. */
export type Cells = (name: string) => unknown;

/** Every row of a table, with its number and its cells. */
export function* walkTable(source: Source, sink: Sink, table: string, names: readonly string[], take: (cells: Cells, rowid: bigint, text: string) => void): Generator<number, void, undefined> {
  // The bytes of a text, for the reasons that `exact` has; the type, because NULL and a BLOB look the same without.
  const columns = names.map(quoted).map((name) => `typeof(${name}), CASE typeof(${name}) WHEN 'text' THEN CAST(${name} AS BLOB) WHEN 'blob' THEN NULL ELSE ${name} END`);
  const sql = `SELECT rowid, ${columns.join()} FROM ${quoted(table)} WHERE rowid >= ? ORDER BY rowid`;
  yield* walkRows(source, sink, sql, (row) => {
    take((name) => cellOf(name, row[2 * names.indexOf(name) + 1], row[2 * names.indexOf(name) + 2]), row[0], rowText(row));
  });
}

function cellOf(name: string, type: unknown, value: unknown): string | number | undefined {
  if (type === 'null') return undefined;
  if (type === 'text') return checkUtf8(name, value);
  const number = Number(value);
  if (type === 'blob' || (type === 'integer' && !Number.isSafeInteger(number))) throw invalid(name, type === 'blob' ? 'a BLOB' : value, 'a text, or a number that JavaScript has');
  return number;
}

/** The name of a row: what these columns hold, or what can be shown of it. */
export function nameOf(cells: Cells, names: readonly string[]): string {
  return names.map((name) => {
    try {
      return named(Buffer.from(String(cells(name) ?? 'null')));
    } catch {
      return '?';
    }
  }).join(' ');
}

/** Converts a row; `undefined` where it is refused, and listed as `at`. */
export function orSkip<T>(sink: Sink, at: RowName, convert: () => T): T | undefined {
  try {
    return convert();
  } catch (error) {
    if (!isRefusal(error)) throw error;
    sink.skip(at, error.message);
    return undefined;
  }
}

/** A row as a text that is the same at each import, also where it cannot be read. */
export function rowText(row: readonly unknown[]): string {
  return row.map((value) => (types.isUint8Array(value) ? Buffer.from(value).toString('latin1') : String(value))).join('\n');
}

/**
 * Later versions of a service may have more tables and columns than are known here. Each row of the one is listed by its
 * key, without its values: a setting may be a secret.
 */
export function* listOthers(source: Source, sink: Sink, columns: Columns): Generator<number, void, undefined> {
  for (const [table, names] of source.tables) {
    if (Object.hasOwn(columns, table)) {
      for (const name of names.filter((column) => !columns[table]!.includes(column))) {
        const [[count] = [0n]] = source.all<[bigint]>(`SELECT count(${quoted(name)}) FROM ${quoted(table)}`);
        if (count > 0n) sink.skip({ table, row: `column ${name}` }, `this store has no place for it; ${count} rows have a value there`);
      }
      continue;
    }
    const keys = source.all<[string]>('SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk', table).map(([name]) => name);
    const rows = source.all(`SELECT ${(keys.length > 0 ? keys : names).map(quoted).join()} FROM ${quoted(table)}`);
    for (const row of rows) sink.skip({ table, row: row.map(named).join(' ') }, `this store has no place for ${table}`);
    yield rows.length;
  }
}
