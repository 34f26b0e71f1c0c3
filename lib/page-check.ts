// SQLite's own check of all pages of a database, in a thread of its own: it cannot be cut into pieces, and takes seconds.
import { on } from 'node:events';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { LongOperation } from './audit.ts';
import { StoreError, toStoreError } from './errors.ts';
import { accessTo, needsCopy } from './read-only.ts';

/** What the check of a database's pages found, in SQLite's words; no more than it was asked for. */
export interface PageReport {
  ok: boolean;
  /** How many pages the database has. */
  checked: number;
  findings: string[];
}

/** What the thread tells: what it is about to check, and what came of it. */
interface Told {
  /** The thread, as the kernel names it; absent where there is no /proc. */
  thread?: string;
  pages?: number;
  pageBytes?: number;
  findings?: string[];
  failure?: { errcode?: number; message: string };
}

// The text of a module: a file of its own would have to lie beside this one, also in a bundle.
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
    // One by one: a page that the rows stand on may end it with an error, after those that were found in the trees.
    for (const row of db.prepare('PRAGMA integrity_check(' + workerData.most + ')').iterate()) {
      findings.push(...String(Object.values(row)[0]).split('\\n').filter((line) => line !== 'ok' && !line.startsWith('***')));
    }
    parentPort.postMessage({ findings });
  } catch ({ errcode, message }) {
    parentPort.postMessage({ findings, failure: { errcode, message } });
  }`;

const progressMs = 200;

/** Checks the pages of a file that nobody writes to, and stops at the first finding. */
export async function checkCopy(path: string, long: LongOperation): Promise<PageReport> {
  // immutable: a -wal and a -shm would be made beside it otherwise.
  const { report, failure } = await check({ url: `${pathToFileURL(path).href}?immutable=1`, isReadOnly: true, most: 1 }, long);
  return report ?? { ok: false, checked: 0, findings: [failure!.message] };
}

const mostFindings = 100;
const maxAttempts = 5;

/**
 * Checks the pages of a store's file as it stands, beside whoever writes to it, and changes nothing. A running service's
 * WAL is not taken over into the database meanwhile. Throws `ERR_STORE_BUSY` where the file was exchanged or written
 * past the WAL during each attempt, and what reading it throws.
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

/** What SQLite said in the thread, as an error of this one. */
function errorOf({ message, errcode }: NonNullable<Told['failure']>, path: string): unknown {
  const error = Object.assign(new Error(message), { code: 'ERR_SQLITE_ERROR', errcode });
  return toStoreError(error, `check the pages of ${path}`);
}

interface Outcome {
  report?: PageReport;
  failure?: NonNullable<Told['failure']>;
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
  const message = async (): Promise<Told> => ((await messages.next()).value as [Told])[0];
  try {
    const begun = await message();
    if (begun.failure) return outcomeOf(begun, 0);
    const pages = begun.pages!;
    timer = setInterval(() => onProgress?.({ done: pagesRead(begun), total: pages }), progressMs);
    const told = await message();
    onProgress?.({ done: pages, total: pages });
    return outcomeOf(told, pages);
  } catch (error) {
    throw signal?.aborted ? signal.reason : beginningError(error);
  } finally {
    clearInterval(timer);
    worker.unref(); // a check that is aborted ends by itself
    void worker.terminate();
  }
}

/** Node starts no thread where the working folder was deleted, and says of it that some file is missing. */
function beginningError(error: unknown): unknown {
  if ((error as NodeJS.ErrnoException).syscall !== 'uv_cwd') return error;
  const problem = 'the working folder has been deleted, and Node starts no thread there';
  return new StoreError('ERR_STORE_NOT_FOUND', `failed to check the pages: ${problem}`, { cause: error });
}

// SQLITE_CORRUPT and SQLITE_NOTADB: what the check is for may also be in its way.
const damage: readonly number[] = [11, 26];

function outcomeOf({ findings = [], failure }: Told, checked: number): Outcome {
  if (failure && !damage.includes((failure.errcode ?? 0) & 0xff)) return { failure };
  const found = findings.length > 0 || !failure ? findings : [failure.message];
  return { report: { ok: found.length === 0, checked, findings: found } };
}

/** How far the check is, by what its thread has read: each page once for the tree and once for its rows. */
function pagesRead({ thread, pages = 0, pageBytes = 1 }: Told): number {
  try {
    const [, bytes] = /^rchar: (\d+)$/m.exec(readFileSync(`/proc/${thread}/io`, 'utf8')) ?? [];
    return Math.min(pages, Math.floor(Number(bytes ?? 0) / pageBytes / 2));
  } catch {
    return 0; // no /proc, or the thread has ended
  }
}
