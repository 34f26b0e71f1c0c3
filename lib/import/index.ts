// Taking over what another service's store holds.
import { statSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkLong } from '../audit.ts';
import type { LongOperation } from '../audit.ts';
import { attempt, hasCode, StoreError } from '../errors.ts';
import { absolutePath } from '../paths.ts';
import { connect, SqliteStore } from '../store.ts';
import { checkText, invalid } from '../values.ts';
import { kinds } from './kinds.ts';
import { describeJson } from './nightshift-state.ts';
import { nowhere, TakingSink } from './sink.ts';
import type { ImportCounts, SkippedRow } from './sink.ts';
import { Source } from './source.ts';
import type { SourceKind } from './source.ts';

export type { ImportCounts, SkippedRow } from './sink.ts';

/** What an import did. `alreadyThere` counts what an earlier import took, or what the store has later of itself. */
export interface ImportReport {
  /** The kind of source, as it was recognised. */
  kind: string;
  taken: ImportCounts;
  alreadyThere: ImportCounts;
  /** Every row that was not taken. An empty list means that the store holds all of the source. */
  skipped: SkippedRow[];
}

/**
 * Takes over what another service keeps in the file `from`, into the store `to`, which is made if it is not there and
 * keeps what it has: the events, usage, cooldowns, state and settings of a `shepherdd.db` or `lunchboxd.db`; the runs,
 * resource states, facts and audit trail of an OpenFroyo database; the projects, tasks and runs of a Nightshift
 * database or `state.json`, and the events of its `audit-YYYY-MM-DD.jsonl`. The file itself says which it is. `from` is
 * read only: no byte of it or beside it changes. Its service may be running: what that writes meanwhile is taken, or
 * left for the next import without being listed. All or nothing: one transaction, durable when the promise resolves;
 * whatever rejects it has written nothing of the source. Each row is taken once, however often the import is repeated:
 * a source that has grown since brings only what is new, of two states of one row the later stands, and what was
 * deleted from `to` stays so. Rows that cannot be taken are listed in the report, and the others taken. A running
 * session is taken with the fields that this package knows, and the others are listed, with their values in an event; a
 * session that runs in `to` is not put aside for it, and one of the source that an own later state keeps out is listed.
 *
 * The source is read twice, page by page: first, between turns of the event loop, to find what would fail, then inside
 * the transaction, which holds the store's write lock and the thread to its end. `onProgress` is called after each page
 * of both (it must not write to `to`), and `signal` aborts there: rejects with `signal.reason`. In the second half no
 * timer and no signal of the process can fire, so from then on only an abort from inside `onProgress` is heard.
 *
 * Rejects with `ERR_STORE_NOT_FOUND` where there is no file `from`, `ERR_STORE_NOT_A_STORE` where it is of no known
 * kind, `ERR_STORE_INVALID_ARGUMENT` where it is a store of this package or `to` itself, `ERR_STORE_PERMISSION`,
 * `ERR_STORE_BUSY` where its service was updated meanwhile and has other tables now, `ERR_STORE_CORRUPT` where it is
 * damaged, and what `SqliteStore.open(to)` and its writing methods throw.
 */
export async function importStore(from: string, to: string, options?: LongOperation): Promise<ImportReport> {
  const fromPath = absolutePath(checkText('from', from));
  const toPath = absolutePath(checkText('to', to));
  const { signal, onProgress } = checkLong(options);
  const source = new Source(fromPath);
  try {
    checkDifferent(source.path, toPath);
    const kind = kindOf(source);
    const step = stepper(2 * kind.count(source), signal, onProgress);
    for (const rows of kind.walk(source, nowhere)) {
      step(rows);
      await nextTurn();
    }
    signal?.throwIfAborted();
    return take(source, kind, toPath, step);
  } catch (error) {
    if (signal?.aborted) throw signal.reason; // untouched, whatever it is
    if (!hasCode(error, 'ERR_STORE_DATABASE') || !source.hasOtherTables()) throw error;
    const message = `failed to import ${fromPath}: its service was updated and changed the tables meanwhile; import it again`;
    throw new StoreError('ERR_STORE_BUSY', message, { cause: error });
  } finally {
    source.close();
  }
}

/** The store, not the source, decides what is new: the second walk asks it about each row under its write lock. */
function take(source: Source, kind: SourceKind, to: string, step: (rows: number) => void): ImportReport {
  using store = SqliteStore.open(to);
  return connect(store).write(`import ${source.path}`, () => {
    const has = kind.has?.bind(kind, source) ?? (() => false);
    const sink = new TakingSink(store, kind.identity(source), kind.tables?.(source), has);
    for (const rows of kind.walk(source, sink)) step(rows);
    sink.finish(kind.name, source.path);
    const { taken, alreadyThere, skipped } = sink;
    return { kind: kind.name, taken, alreadyThere, skipped };
  });
}

function stepper(expected: number, signal: AbortSignal | undefined, onProgress: LongOperation['onProgress']): (rows: number) => void {
  let done = 0;
  return (rows) => {
    done += rows;
    onProgress?.({ done, total: Math.max(expected, done) });
    signal?.throwIfAborted();
  };
}

function checkDifferent(source: string, to: string): void {
  const target = attempt(`open ${to}`, () => statSync(to, { throwIfNoEntry: false, bigint: true }));
  const { dev, ino } = attempt(`import ${source}`, () => statSync(source, { bigint: true }));
  if (target?.dev === dev && target.ino === ino) throw invalid('to', to, 'another file than the source');
}

function kindOf(source: Source): SourceKind {
  const { path, file } = source;
  if (file.kind === 'store') throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `failed to import ${path}: it is a store of this package already; open it`);
  if (file.kind === 'four-tables') throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `failed to import ${path}: it has this package's own first tables; open it instead, which adopts it`);
  const kind = kinds.find(({ recognise }) => recognise(source));
  if (kind) return kind;
  const known = kinds.map(({ name }) => name).join(', ');
  throw new StoreError('ERR_STORE_NOT_A_STORE', `failed to import ${path}: it holds ${holdsOf(source)}, which is none of the kinds that can be taken over (${known})`);
}

function holdsOf(source: Source): string {
  const { file } = source;
  if (file.kind === 'other') return file.holds;
  if (file.kind === 'empty') return 'nothing';
  const json = source.json();
  return json === undefined ? 'neither a SQLite database nor JSON' : describeJson(json);
}
