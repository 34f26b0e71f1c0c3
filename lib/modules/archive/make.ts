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
const syncBytes = memberBytes;

// Beside the text of a member, pages of 32 rows let V8 enlarge its young generation once more, which took 15 MB over a
// million rows.
const heldRows = 8;

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
  const renewed = connection.read('read its former identities', () => log.formerIdentities());
  const header = { store: log.uuid, created, after: beginning.id > 0 ? beginning : undefined, renewed };
  // The owner is that of the store, wherever the folder is, and nobody else may read it.
  const fd = openPrivate(path, { ...statSync(connection.path!), mode: 0o600 });
  try {
    const file = new ArchiveText(fd, isGzip);
    let count = 0;
    let previous = beginning.hash;
    const flush = async (): Promise<void> => {
      file.flush();
      onRow(count);
      await awaitCheckpoint(connection.parts.connection);
      await nextTurn();
      signal?.throwIfAborted();
    };
    file.add(headerText(header));
    for (const row of pagedRows(connection, last.id, beginning.id, heldRows)) {
      if (rowHash(previous, row) !== row.hash) {
        const why = 'it or its hash was changed after it was written, or the row before it was';
        throw new StoreError('ERR_STORE_CORRUPT', `row ${row.id} goes into no archive: ${why}`);
      }
      checkLength(row);
      const text = lineText(toLine({ ...row, previous, more: false }));
      if (!file.add(text)) {
        await flush();
        file.add(text);
      }
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

/**
 * The text of a file on its way there, a member at a time. It is encoded at once, because V8 enlarges its young
 * generation where it collects while a member's strings are held.
 */
class ArchiveText {
  readonly #fd: number;
  readonly #isGzip: boolean;
  readonly #member = Buffer.alloc(memberBytes);
  #length = 0;
  #unsynced = 0;

  constructor(fd: number, isGzip: boolean) {
    this.#fd = fd;
    this.#isGzip = isGzip;
  }

  /** Gives false where the member is to be flushed first. */
  add(text: string): boolean {
    const bytes = Buffer.byteLength(text);
    if (this.#length > 0 && this.#length + bytes > memberBytes) return false;
    if (bytes > memberBytes) this.#write(Buffer.from(text)); // a member of its own
    else this.#length += this.#member.write(text, this.#length);
    return true;
  }

  flush(): void {
    if (this.#length > 0) this.#write(this.#member.subarray(0, this.#length));
    this.#length = 0;
  }

  #write(text: Buffer): void {
    this.#unsynced += writeAll(this.#fd, this.#isGzip ? compress(text) : text);
    if (this.#unsynced <= syncBytes) return;
    fsyncSync(this.#fd);
    this.#unsynced = 0;
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
