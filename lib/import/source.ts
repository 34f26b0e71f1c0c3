// The file that is taken over, which is read and never changed, and the interface of a kind of source.
import * as fs from 'node:fs';
import { accessSync, closeSync, constants, openSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { type FileKind, identify } from '../core/schema.ts';
import { type RawLine, readLines } from '../ledger/read-lines.ts';
import { ReadOnlyFile } from '../reading/reader.ts';
import { attempt, hasCode, StoreError } from '../values/errors.ts';
import type { Sink } from './sink.ts';
import type { CountedTable, HasRow } from './tables.ts';

/** A kind of store that can be taken over. */
export interface SourceKind {
  /** The name of the kind in reports, in events and in the ids of events that come from it. */
  name: string;
  /** Whether the file is of this kind, by the names of its tables and columns or by its first lines. */
  recognise(source: Source): boolean;
  /** About how many rows `walk` will pass: the service may be writing to the source. */
  count(source: Source): number;
  /**
   * Gives what tells this source from others of its kind, which stays the same for as long as its service writes to it.
   * For a kind that has nothing of the sort, and whose rows are each recognised by itself, that is the name of the
   * kind.
   */
  identity(source: Source): string;
  /** The tables of modules and of limits that its rows go to. */
  tables?(source: Source): readonly CountedTable[];
  /** Whether the source has a run or plan unit at this moment; for a kind whose rows belong to rows of others. */
  has?(source: Source, ...row: Parameters<HasRow>): boolean;
  /** Hands every row to the sink, converted or refused, and yields how many it has passed since the last time. */
  walk(source: Source, sink: Sink): Generator<number, void, undefined>;
}

// Nightshift keeps the last 100 runs, so its state is a few hundred kilobytes at most.
const maxJsonBytes = 16 * 2 ** 20;

// A link that was put in the place of the file since is not followed, and a pipe is not waited for.
const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * A source file. Each read sees one consistent state of it. No read transaction stays open between two reads, because a
 * service that is still running could not reuse its WAL meanwhile.
 */
export class Source {
  readonly path: string;
  readonly file: FileKind | { kind: 'no-database' };
  /** The columns of each table; empty where the file is no database. */
  readonly tables: ReadonlyMap<string, readonly string[]>;
  readonly #reader: ReadOnlyFile;
  #json: { value: unknown } | undefined;

  /**
   * Throws `ERR_STORE_NOT_FOUND` where there is no file, `ERR_STORE_PERMISSION`, `ERR_STORE_NOT_A_STORE` for what is no
   * regular file, `ERR_STORE_CORRUPT` for a damaged database.
   */
  constructor(path: string) {
    // SQLite looks for the -wal beside the file that a link leads to.
    this.path = attempt(`import ${path}`, () => realpathSync(path));
    this.#reader = attempt(`import ${path}`, () => {
      if (!statSync(this.path).isFile()) {
        throw new StoreError('ERR_STORE_NOT_A_STORE', `failed to import ${path}: it is not a regular file`);
      }
      accessSync(this.path, constants.R_OK);
      return new ReadOnlyFile(this.path, 5_000);
    });
    try {
      this.file = this.#identify();
      this.tables = this.file.kind === 'other' ? this.#readTables() : new Map();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #identify(): Source['file'] {
    try {
      return this.#read(() => identify(this.#reader.db));
    } catch (error) {
      if (!hasCode(error, 'ERR_STORE_NOT_A_STORE')) throw error;
      return { kind: 'no-database' };
    }
  }

  #readTables(): Map<string, string[]> {
    const tables = new Map<string, string[]>();
    const sql = `SELECT t.name, c.name FROM pragma_table_list AS t, pragma_table_info(t.name) AS c
      WHERE t.schema = 'main' AND t.type IN ('table', 'virtual') AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
      ORDER BY t.name, c.cid`;
    for (const [table, column] of this.all<[string, string]>(sql)) {
      tables.set(table, [...(tables.get(table) ?? []), column]);
    }
    return tables;
  }

  /** Whether the tables or their columns are other ones now than they were when the source was opened. */
  hasOtherTables(): boolean {
    return !isDeepStrictEqual(this.#readTables(), this.tables);
  }

  /**
   * Gives what the file holds as JSON, `undefined` where it holds none. The file is read once, so that every walk finds
   * the same. Throws `ERR_STORE_NOT_A_STORE` for a file that is too large to be a state that a service writes anew at
   * each change.
   */
  json(): unknown {
    if (this.file.kind !== 'no-database') return undefined;
    return (this.#json ??= { value: this.#readJson() }).value;
  }

  #readJson(): unknown {
    const bytes = attempt(`import ${this.path}`, () => {
      const { size } = statSync(this.path);
      if (size > maxJsonBytes) {
        const tooLarge = `with ${size} bytes too large for a JSON file (at most ${maxJsonBytes})`;
        const why = `it is no SQLite database, and ${tooLarge}`;
        throw new StoreError('ERR_STORE_NOT_A_STORE', `failed to import ${this.path}: ${why}`);
      }
      return readFileSync(this.path, { flag: readFlags });
    });
    try {
      return JSON.parse(utf8OfFile.decode(bytes)) as unknown;
    } catch {
      return undefined;
    }
  }

  /** Gives the lines of a file that is no database, up to its present end. A line's bytes are valid until the next. */
  *lines(): Generator<RawLine, void, undefined> {
    const fd = attempt(`read ${this.path}`, () => openSync(this.path, readFlags));
    try {
      const lines = readLines(fs, fd, 0, fs.fstatSync(fd).size);
      for (;;) {
        const next = attempt(`read ${this.path}`, () => lines.next());
        if (next.done) return;
        yield next.value;
      }
    } finally {
      closeSync(fd);
    }
  }

  /** Gives all rows of `sql` as arrays. Whole numbers are BigInts, because one beyond 2^53 may be among them. */
  all<Row extends readonly unknown[]>(sql: string, ...values: (bigint | string)[]): Row[] {
    return this.#read(() => {
      // The statement is prepared for each page, because the reader may have had to open the file anew.
      const statement = this.#reader.db.prepare(sql);
      statement.setReturnArrays(true);
      statement.setReadBigInts(true);
      return statement.all(...values) as unknown as Row[];
    });
  }

  #read<T>(fn: () => T): T {
    return attempt(`read ${this.path}`, () => this.#reader.read(fn));
  }

  close(): void {
    this.#reader.close();
  }
}

/**
 * Gives the SQL that reads the text of a column as bytes, and anything but a text as NULL. Read as a text, Node 24
 * would end it at its first NUL, and bytes that are no UTF-8 would become U+FFFD: either way one entry id would turn
 * into another.
 */
export function exact(column: string): string {
  return `CASE typeof(${column}) WHEN 'text' THEN CAST(${column} AS BLOB) END`;
}

// The decoder leaves out the byte order mark that an editor may have put at the beginning.
const utf8OfFile = new TextDecoder('utf-8', { fatal: true });

/** Quotes a name for SQL, whatever it contains. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
