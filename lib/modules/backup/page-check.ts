// SQLite's own check of all pages of a database. It takes seconds and cannot be cut into pieces, so it runs in a thread
// of its own.
import { on } from 'node:events';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { needsCopy } from '../../reading/reader.ts';
import { StoreError, toStoreError } from '../../values/errors.ts';
import type { LongOperation } from '../../values/long.ts';
import { accessTo } from './access.ts';

/** What the check of a database's pages found, in SQLite's words; it ends after as many findings as were asked for. */
export interface PageReport {
  ok: boolean;
  /** How many pages the database has. */
  checked: number;
  findings: string[];
}

/** A message of the thread: first what it is about to check, then the result. */
interface ThreadMessage {
  /** The thread, as /proc names it; absent where there is no /proc. */
  thread?: string;
  pages?: number;
  pageBytes?: number;
  findings?: string[];
  failure?: { errcode?: number; message: string };
}

// The thread's module is a text, because a file of its own would have to lie beside this one, also in a bundle.
const checker = `
  import { readlinkSync } from 'node:fs';
  import { DatabaseSync } from 'node:sqlite';
  import { parentPort, workerData } from 'node:worker_threads';
  const findings = [];
  const value = (db, sql) => Object.values(db.prepare(sql).get())[0];
  try {
    const db = new DatabaseSync(new URL(workerData.url), { readOnly: workerData.isReadOnly });
    db.exec('PRAGMA temp_store = MEMORY');
    const [pages, pageBytes] = [value(db, 'PRAGMA page_count'), value(db, 'PRAGMA page_size')];
    let thread;
    try { thread = readlinkSync('/proc/thread-self'); } catch {}
    parentPort.postMessage({ thread, pages, pageBytes });
    // One row at a time: a damaged page may end the check with an error, after it has reported other findings.
    for (const row of db.prepare('PRAGMA integrity_check(' + workerData.most + ')').iterate()) {
      const lines = String(Object.values(row)[0]).split('\\n');
      findings.push(...lines.filter((line) => line !== 'ok' && !line.startsWith('***')));
    }
    parentPort.postMessage({ findings });
  } catch ({ errcode, message }) {
    parentPort.postMessage({ findings, failure: { errcode, message } });
  }`;

const progressMs = 200;

/** Checks the pages of a file that nobody writes to, and stops at the first finding. */
export async function checkCopy(path: string, long: LongOperation): Promise<PageReport> {
  // immutable: SQLite would otherwise make a -wal and a -shm beside the file.
  const url = `${pathToFileURL(path).href}?immutable=1`;
  const { report, failure } = await check({ url, isReadOnly: true, most: 1 }, long);
  return report ?? { ok: false, checked: 0, findings: [failure!.message] };
}

const mostFindings = 100;
const maxAttempts = 5;

/**
 * Checks the pages of a store's file as it stands, beside whoever writes to it, and changes nothing. The WAL of a
 * running service is not emptied meanwhile. Throws `ERR_STORE_BUSY` where during each attempt the file was exchanged or
 * written to directly, past the WAL, and what reading the file throws.
 */
export async function checkPages(path: string, long: LongOperation): Promise<PageReport> {
  let isPrivate = false;
  for (let attempt = 1; attempt <= maxAttempts; attempt++) {
    const access = accessTo(path, isPrivate);
    try {
      const { report, failure } = await check({ ...access, most: mostFindings }, long);
      if (!access.isCurrent()) continue;
      if (report) return report;
      if (!isPrivate && needsCopy(failure!.errcode)) isPrivate = true;
      else throw errorOf(failure!, path);
    } finally {
      access.release();
    }
  }
  const what = `failed to check the pages of ${path}`;
  throw new StoreError('ERR_STORE_BUSY', `${what}: it was written to during each of ${maxAttempts} attempts`);
}

/** Makes the error that SQLite would have thrown in this thread. */
function errorOf({ message, errcode }: NonNullable<ThreadMessage['failure']>, path: string): unknown {
  const error = Object.assign(new Error(message), { code: 'ERR_SQLITE_ERROR', errcode });
  return toStoreError(error, `check the pages of ${path}`);
}

interface Outcome {
  report?: PageReport;
  failure?: NonNullable<ThreadMessage['failure']>;
}

interface Task {
  url: string;
  isReadOnly: boolean;
  most: number;
}

async function check({ url, isReadOnly, most }: Task, { signal, onProgress }: LongOperation): Promise<Outcome> {
  signal?.throwIfAborted();
  const module = new URL(`data:text/javascript,${encodeURIComponent(checker)}`);
  const worker = new Worker(module, { execArgv: [], workerData: { url, isReadOnly, most } });
  let timer: NodeJS.Timeout | undefined;
  const messages = on(worker, 'message', { close: ['exit'], ...(signal ? { signal } : undefined) });
  const nextMessage = async (): Promise<ThreadMessage> => ((await messages.next()).value as [ThreadMessage])[0];
  try {
    const begun = await nextMessage();
    if (begun.failure) return outcomeOf(begun, 0);
    const pages = begun.pages!;
    timer = setInterval(() => onProgress?.({ done: pagesRead(begun), total: pages }), progressMs);
    const ended = await nextMessage();
    onProgress?.({ done: pages, total: pages });
    return outcomeOf(ended, pages);
  } catch (error) {
    throw signal?.aborted ? signal.reason : beginningError(error);
  } finally {
    clearInterval(timer);
    worker.unref(); // a check that is aborted ends by itself
    void worker.terminate();
  }
}

/** Explains why Node could not start the thread: where the working folder was deleted, it reports some missing file. */
function beginningError(error: unknown): unknown {
  if ((error as NodeJS.ErrnoException).syscall !== 'uv_cwd') return error;
  const problem = 'the working folder has been deleted, and Node starts no thread there';
  return new StoreError('ERR_STORE_NOT_FOUND', `failed to check the pages: ${problem}`, { cause: error });
}

// SQLITE_CORRUPT and SQLITE_NOTADB: such an error of the check itself is a finding too.
const damage: readonly number[] = [11, 26];

function outcomeOf({ findings = [], failure }: ThreadMessage, checked: number): Outcome {
  if (failure && !damage.includes((failure.errcode ?? 0) & 0xff)) return { failure };
  const found = findings.length > 0 || !failure ? findings : [failure.message];
  return { report: { ok: found.length === 0, checked, findings: found } };
}

/** How far the check is, by what its thread has read: SQLite reads each page once for the tree, once for its rows. */
function pagesRead({ thread, pages = 0, pageBytes = 1 }: ThreadMessage): number {
  try {
    const [, bytes] = /^rchar: (\d+)$/m.exec(readFileSync(`/proc/${thread}/io`, 'utf8')) ?? [];
    return Math.min(pages, Math.floor(Number(bytes ?? 0) / pageBytes / 2));
  } catch {
    return 0; // no /proc, or the thread has ended
  }
}
