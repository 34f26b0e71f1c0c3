// Making the file of an archive: written under a temporary name, read back and verified, synced, named.
import { createHash } from 'node:crypto';
import * as system from 'node:fs';
import { closeSync, fstatSync, fsyncSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Anchor, rowHash } from '../../core/chain.ts';
import type { ModuleConnection } from '../../core/door.ts';
import { LedgerFile } from '../../ledger/file.ts';
import { compress, gzipFiles, isCompressed, memberBytes } from '../../ledger/gzip.ts';
import { headerText, lineText, toLine } from '../../ledger/line.ts';
import { pagedRows } from '../../ledger/rows.ts';
import { awaitCheckpoint } from '../../ledger/turn.ts';
import { verifyFile } from '../../ledger/verify.ts';
import { checkLength } from '../../ledger/write-lines.ts';
import { TemporaryFile } from '../../opening/temporary.ts';
import { StoreError } from '../../values/errors.ts';
import { openPrivate, placeNew } from '../../values/place.ts';
import type { Range } from './range.ts';

/** What of a file is written into the log. */
export interface FileDigest {
  bytes: number;
  sha256: string;
}

type Steps = { signal: AbortSignal | undefined; onRow: (count: number) => void };

// The file is synced as it grows, because one fsync of all of it would keep a slow card busy for seconds.
const syncBytes = 4 * memberBytes;

/**
 * Makes an archive of rows at `target`; durable, with its name, when it resolves. Throws `ERR_STORE_CORRUPT` for a log
 * whose chain is broken, `ERR_STORE_DISK_FULL`, and leaves nothing behind then.
 */
export async function makeArchive(
  connection: ModuleConnection, range: Range, target: string, steps: Steps,
): Promise<FileDigest> {
  using temporary = TemporaryFile.beside(target);
  const { path } = temporary;
  const rows = await writeRows(connection, range, path, isCompressed(target), steps);
  const digest = await checkArchive(path, isCompressed(target), range.last, rows, steps.signal);
  if (!digest) throw new StoreError('ERR_STORE_IO', 'the file that was just written does not verify');
  placeNew('archive the log', path, target);
  return digest;
}

/** Writes the rows, synced; gives how many there were. */
async function writeRows(
  connection: ModuleConnection, { last }: Range, path: string, isGzip: boolean, { signal, onRow }: Steps,
): Promise<number> {
  const { log } = connection.parts;
  const beginning = connection.read('read where the log begins', () => log.beginning());
  const createdSql = 'SELECT created_at FROM store_meta WHERE id = 1';
  const [created] = connection.read('read when the store was made', () => connection.get<[string]>(createdSql)!);
  const header = { store: log.uuid, created, after: beginning.id > 0 ? beginning : undefined };
  // The owner is that of the store, wherever the folder is, and nobody else may read it.
  const fd = openPrivate(path, { ...statSync(connection.path!), mode: 0o600 });
  try {
    let [count, unsynced, length] = [0, 0, 0];
    let previous = beginning.hash;
    // Lines are encoded at once: where V8 collects while a member's strings are held, it enlarges its young generation.
    const member = Buffer.alloc(memberBytes);
    const write = (bytes: Buffer): void => {
      unsynced += writeAll(fd, isGzip ? compress(bytes) : bytes);
      if (unsynced <= syncBytes) return;
      fsyncSync(fd);
      unsynced = 0;
    };
    const flush = async (): Promise<void> => {
      if (length > 0) write(member.subarray(0, length));
      length = 0;
      onRow(count);
      await awaitCheckpoint(connection.parts.connection);
      await nextTurn();
      signal?.throwIfAborted();
    };
    const put = async (text: string): Promise<void> => {
      const bytes = Buffer.byteLength(text);
      if (length + bytes > member.length) await flush();
      if (bytes > member.length) write(Buffer.from(text));
      else length += member.write(text, length);
    };
    await put(headerText(header));
    for (const row of pagedRows(connection, last.id, beginning.id)) {
      if (rowHash(previous, row) !== row.hash) {
        const why = 'it or its hash was changed after it was written, or the row before it was';
        throw new StoreError('ERR_STORE_CORRUPT', `row ${row.id} goes into no archive: ${why}`);
      }
      checkLength(row);
      await put(lineText(toLine({ ...row, previous, more: false })));
      previous = row.hash;
      count++;
    }
    await flush();
    fsyncSync(fd);
    return count;
  } finally {
    closeSync(fd);
  }
}

function writeAll(fd: number, data: Buffer): number {
  for (let done = 0; done < data.length; ) done += writeSync(fd, data, done);
  return data.length;
}

/**
 * Reads a file as an archive that ends with a row, and gives its length and SHA-256; `undefined` where it does not
 * verify, or has another number of rows.
 */
export async function checkArchive(
  path: string, isGzip: boolean, last: Anchor, rows: number | undefined, signal: AbortSignal | undefined,
): Promise<FileDigest | undefined> {
  try {
    const file = new LedgerFile(path, isGzip ? gzipFiles() : system);
    const { ok, head, checked } = await verifyFile(file, { anchor: last, ...(signal ? { signal } : undefined) });
    if (!ok || head?.hash !== last.hash || (rows !== undefined && checked !== rows)) return undefined;
    return await digestOf(path, signal);
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'ERR_STORE_CORRUPT') throw error;
    return undefined; // what was compressed is damaged
  }
}

/** The length and the SHA-256 of a file, in constant memory. */
export async function digestOf(path: string, signal: AbortSignal | undefined): Promise<FileDigest> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = system.constants;
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const digest = createHash('sha256');
    const chunk = Buffer.alloc(memberBytes);
    for (let read = readSync(fd, chunk); read > 0; read = readSync(fd, chunk)) {
      digest.update(chunk.subarray(0, read));
      await nextTurn();
      signal?.throwIfAborted();
    }
    return { bytes: fstatSync(fd).size, sha256: digest.digest('hex') };
  } finally {
    closeSync(fd);
  }
}
