// Takes over what the store of another service holds.
import { statSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { connect, SqliteStore } from '../store.ts';
import { checkText, invalid } from '../values/checks.ts';
import { attempt, hasCode, StoreError } from '../values/errors.ts';
import { checkLong, type LongOperation } from '../values/long.ts';
import { absolutePath } from '../values/paths.ts';
import { kinds } from './kinds.ts';
import { describeJson } from './nightshift-state.ts';
import { type ImportCounts, nowhere, type SkippedRow, TakingSink } from './sink.ts';
import { Source, type SourceKind } from './source.ts';

export type { ImportCounts, ImportEvent, SkippedRow } from './sink.ts';

/** What an import did. `alreadyThere` counts rows that an earlier import took or that are in a later state here. */
export interface ImportReport {
  /** The name of the kind of source that the file was recognised as. */
  kind: string;
  taken: ImportCounts;
  alreadyThere: ImportCounts;
  /** Every row that was not taken. An empty list means that the store holds all of the source. */
  skipped: SkippedRow[];
}

/**
 * Takes over what another service keeps in the file `from`, into the store `to`, which is made if it is not there and
 * keeps what it has: the events, usage, cooldowns, state, settings, overrides and balances of a `shepherdd.db` or
 * `lunchboxd.db`; the runs, resource states, facts and audit trail of an OpenFroyo database; the projects, tasks and
 * runs of a Nightshift database or `state.json`, and the events of its `audit-YYYY-MM-DD.jsonl`. The kind is recognised
 * by what the file holds. `from` is only read: no byte of it or beside it changes. Its service may be running: what it
 * writes meanwhile is taken, or left for the next import without being listed. The import is one transaction, durable
 * when the promise resolves; an import that rejects has written nothing of the source. Each row is taken once, however
 * often the import is repeated: a source that has grown since brings only what is new, of two states of one row the
 * later stands, and what was deleted from `to` stays deleted. Rows that cannot be taken are listed in the report, and
 * the others are taken. A running session is taken with the fields that this package knows; its other fields are
 * listed, and an event keeps their values. A session that runs in `to` is not given up for it, and a session of the
 * source is listed where a later state of `to` keeps it out.
 *
 * The source is read twice, page by page: first, between turns of the event loop, to find what would fail, then inside
 * the transaction, which holds the store's write lock and the thread to its end. `onProgress` is called after each page
 * of both readings (it must not write to `to`), and there `signal` aborts the import, which rejects with
 * `signal.reason`. During the second reading no timer and no signal of the process can fire, so only an abort from
 * inside `onProgress` is heard.
 *
 * Rejects with `ERR_STORE_NOT_FOUND` where there is no file `from`, `ERR_STORE_NOT_A_STORE` where it is of no known
 * kind, `ERR_STORE_INVALID_ARGUMENT` where it is a store of this package or `to` itself, `ERR_STORE_PERMISSION`,
 * `ERR_STORE_BUSY` where its service was updated meanwhile and has other tables now, `ERR_STORE_CONFLICT` where rows of
 * `to` are in an archive, and with them what earlier imports took, `ERR_STORE_CORRUPT` where it is damaged, and what
 * `SqliteStore.open(to)` and its writing methods throw.
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
    if (signal?.aborted) throw signal.reason; // as it was given, whatever it is
    if (!hasCode(error, 'ERR_STORE_DATABASE') || !source.hasOtherTables()) throw error;
    const why = 'its service was updated and changed the tables meanwhile';
    throw new StoreError('ERR_STORE_BUSY', `failed to import ${fromPath}: ${why}; import it again`, { cause: error });
  } finally {
    source.close();
  }
}

/** Walks the source a second time, and takes each row that the store, asked under its write lock, does not have yet. */
function take(source: Source, kind: SourceKind, to: string, step: (rows: number) => void): ImportReport {
  using store = SqliteStore.open(to);
  return connect(store).write('importStore', `import ${source.path}`, () => {
    const has = kind.has?.bind(kind, source) ?? (() => false);
    const sink = new TakingSink(store, kind.identity(source), kind.tables?.(source) ?? [], has);
    for (const rows of kind.walk(source, sink)) step(rows);
    sink.finish(kind.name, source.path);
    const { taken, alreadyThere, skipped } = sink;
    return { kind: kind.name, taken, alreadyThere, skipped };
  });
}

function stepper(
  expected: number, signal: AbortSignal | undefined, onProgress: LongOperation['onProgress'],
): (rows: number) => void {
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
  const { file } = source;
  const what = `failed to import ${source.path}`;
  if (file.kind === 'store') {
    throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `${what}: it is a store of this package already; open it`);
  }
  if (file.kind === 'four-tables') {
    const why = "it has this package's own first tables; open it instead, which adopts it";
    throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `${what}: ${why}`);
  }
  const kind = kinds.find(({ recognise }) => recognise(source));
  if (kind) return kind;
  const known = kinds.map(({ name }) => name).join(', ');
  const why = `it holds ${holdsOf(source)}, which is none of the kinds that can be taken over (${known})`;
  throw new StoreError('ERR_STORE_NOT_A_STORE', `${what}: ${why}`);
}

function holdsOf(source: Source): string {
  const { file } = source;
  if (file.kind === 'other') return file.holds;
  if (file.kind === 'empty') return 'nothing';
  const json = source.json();
  return json === undefined ? 'neither a SQLite database nor JSON' : describeJson(json);
}
