// Walks a source's tables page by page. Each row is taken by itself, so that a row that is refused keeps no other out.
import { types } from 'node:util';
import { invalid } from '../values/checks.ts';
import { StoreError } from '../values/errors.ts';
import { checkUtf8 } from '../values/json-text.ts';
import { isRefusal, named, type RowName, type Sink } from './sink.ts';
import { quoted, type Source } from './source.ts';

/** The columns of each table of a kind of source. */
type Columns = Readonly<Record<string, readonly string[]>>;
export type Row = [rowid: bigint, ...columns: unknown[]];

// A page is so small that one of long events fits into memory and an abort is heard soon.
const pageRows = 500;
export const firstRow: bigint = -(2n ** 63n);
const lastRow = 2n ** 63n - 1n;

/** Whether a source has all of these tables with all of these columns. */
export function hasColumns({ tables }: Source, columns: Columns): boolean {
  return Object.entries(columns).every(([table, names]) => names.every((name) => tables.get(table)?.includes(name)));
}

/** How many rows a source has in all, but for those of the table `versions`. */
export function countRows(source: Source, versions?: string): number {
  const tables = [...source.tables.keys()].filter((table) => table !== versions);
  return tables.reduce((sum, table) => {
    const [row] = source.all<[bigint]>(`SELECT count(*) FROM ${quoted(table)}`);
    return sum + Number(row![0]);
  }, 0);
}

/** Hands every row of `sql` to `take`. `sql` gives rows from a rowid on, in the order of their rowids. */
export function* walkRows(
  source: Source, sink: Sink, sql: string, take: (row: Row, sink: Sink) => void,
): Generator<number, void, undefined> {
  for (let next = firstRow; ; ) {
    const rows = source.all<Row>(`${sql} LIMIT ${pageRows}`, next);
    for (const row of rows) take(row, sink);
    yield rows.length;
    const last: unknown = rows.at(-1)?.[0];
    if (rows.length < pageRows || last === lastRow) return;
    const what = `failed to import ${source.path}`;
    // An ordinary column that is named rowid has any values, by which no walk can go on.
    if (typeof last !== 'bigint') {
      throw new StoreError('ERR_STORE_NOT_A_STORE', `${what}: it has a table whose rows are not numbered`);
    }
    // Without this check the walk would never end.
    if (last < next) throw new StoreError('ERR_STORE_CORRUPT', `${what}: a damaged page leads back to row ${last}`);
    next = last + 1n;
  }
}

/**
 * Gives a row's value by the name of its column. Throws `ERR_STORE_INVALID_ARGUMENT` for a value that JavaScript cannot
 * hold unchanged.
 */
export type Cells = (name: string) => unknown;

/** Hands every row of a table to `take`: its cells, its number, and the text that `rowText` gives. */
export function* walkTable(
  source: Source, sink: Sink, table: string, names: readonly string[],
  take: (cells: Cells, rowid: bigint, text: string) => void,
): Generator<number, void, undefined> {
  // A text is read as its bytes, for the reasons that `exact` has. The type is read as well, because NULL and a BLOB
  // would look the same without it.
  const columns = names.map(quoted).map((name) => {
    const value = `CASE typeof(${name}) WHEN 'text' THEN CAST(${name} AS BLOB) WHEN 'blob' THEN NULL ELSE ${name} END`;
    return `typeof(${name}), ${value}`;
  });
  const sql = `SELECT rowid, ${columns.join()} FROM ${quoted(table)} WHERE rowid >= ? ORDER BY rowid`;
  yield* walkRows(source, sink, sql, (row) => {
    const cells: Cells = (name) => {
      const index = 2 * names.indexOf(name);
      return cellOf(name, row[index + 1], row[index + 2]);
    };
    take(cells, row[0], rowText(row));
  });
}

function cellOf(name: string, type: unknown, value: unknown): string | number | undefined {
  if (type === 'null') return undefined;
  if (type === 'text') return checkUtf8(name, value);
  const number = Number(value);
  if (type === 'blob' || (type === 'integer' && !Number.isSafeInteger(number))) {
    throw invalid(name, type === 'blob' ? 'a BLOB' : value, 'a text, or a number that JavaScript has');
  }
  return number;
}

/** Gives the name of a row: the values of these columns, with `?` for a value that cannot be shown. */
export function nameOf(cells: Cells, names: readonly string[]): string {
  return names.map((name) => {
    try {
      return named(Buffer.from(String(cells(name) ?? 'null')));
    } catch {
      return '?';
    }
  }).join(' ');
}

/** Converts a row. Gives `undefined` where it is refused, and lists it as `at`. */
export function orSkip<T>(sink: Sink, at: RowName, convert: () => T): T | undefined {
  try {
    return convert();
  } catch (error) {
    if (!isRefusal(error)) throw error;
    sink.skip(at, error.message);
    return undefined;
  }
}

/** Gives a row as a text that is the same at each import, also where a value cannot be read. */
export function rowText(row: readonly unknown[]): string {
  const texts = row.map((value) => {
    return types.isUint8Array(value) ? Buffer.from(value).toString('latin1') : String(value);
  });
  return texts.join('\n');
}

/**
 * Lists what a later version of a service has beside the known tables and columns: each row of an unknown table by its
 * key, without its values, because a setting may be a secret; and each unknown column, with how many values it has.
 */
export function* listOthers(source: Source, sink: Sink, columns: Columns): Generator<number, void, undefined> {
  for (const [table, names] of source.tables) {
    if (Object.hasOwn(columns, table)) {
      for (const name of names.filter((column) => !columns[table]!.includes(column))) {
        const [[count] = [0n]] = source.all<[bigint]>(`SELECT count(${quoted(name)}) FROM ${quoted(table)}`);
        const reason = `this store has no place for it; ${count} rows have a value there`;
        if (count > 0n) sink.skip({ table, row: `column ${name}` }, reason);
      }
      continue;
    }
    const keySql = 'SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk';
    const keys = source.all<[string]>(keySql, table).map(([name]) => name);
    const rows = source.all(`SELECT ${(keys.length > 0 ? keys : names).map(quoted).join()} FROM ${quoted(table)}`);
    for (const row of rows) sink.skip({ table, row: row.map(named).join(' ') }, `this store has no place for ${table}`);
    yield rows.length;
  }
}
