// Verifying a log that was shortened: archive after archive into the log, and that each one is the file that the log
// says was made.
import * as system from 'node:fs';
import { basename } from 'node:path';
import type { Anchor } from '../../core/chain.ts';
import type { ModuleConnection } from '../../core/door.ts';
import { type ArchivedRange, decodeArchived, decodeForgotten } from '../../core/retention-events.ts';
import { LedgerFile } from '../../ledger/file.ts';
import { gzipFiles, isCompressed } from '../../ledger/gzip.ts';
import type { LedgerLine } from '../../ledger/index.ts';
import { type LedgerFindingKind, verifyFile } from '../../ledger/verify.ts';
import { connect, type SqliteStore } from '../../store.ts';
import { attempt, hasCode, StoreError } from '../../values/errors.ts';
import { checkPath } from '../../values/paths.ts';
import { checkVerifyOptions, type Finding, verifyChain, type VerifyOptions } from '../../verify/chain-walk.ts';
import { SignatureWalk } from '../../verify/signatures.ts';
import { findArchives, type FoundArchive } from './files.ts';
import { digestOf } from './make.ts';
import { forgotten, recorded } from './recorded.ts';

/**
 * Something that is wrong. `file` is the archive; absent where it is in the log. `line` and `id` say where, as far as
 * that is known. Besides the kinds of a log and of a ledger:
 *
 * - `missing`: an archive that the log names is not in the folder, or is no archive of this store
 * - `changed`: it is another file than the one that was made, by its SHA-256 or its rows
 * - `unrecorded`: the log does not say that this archive was made, and has its rows no more
 * - `unreadable`: what was compressed is damaged
 */
export interface ArchiveFinding {
  kind: Finding['kind'] | LedgerFindingKind | 'missing' | 'changed' | 'unrecorded' | 'unreadable';
  file?: string;
  line?: number;
  id?: number;
  message: string;
}

/**
 * What `verifyArchives` found: at most 1,000 findings, and how many `more` there are. `checked` counts the rows in the
 * archives and in the log; `head` is the last row of the log.
 */
export interface ArchiveReport {
  ok: boolean;
  archives: number;
  checked: number;
  head?: Anchor;
  findings: ArchiveFinding[];
  more: number;
}

/**
 * Verifies all of a store's history: every archive of `folder` as a ledger, that each begins where the one before ends
 * and the last one reaches into the log, that each is the file that the log says was made, and then the log. With an
 * `anchor` also that this row is still there, and with a `publicKey` every signature, as `verifyAudit` does. Archives
 * that `forgetArchives` has deleted are not missed. Never throws for what it finds; rejects with `signal.reason` when
 * aborted, `ERR_STORE_NOT_FOUND` where there is no folder, `ERR_STORE_BUSY` where rows were archived meanwhile,
 * `ERR_STORE_PERMISSION`, `ERR_STORE_IO`. `onProgress` counts rows.
 */
export async function verifyArchives(
  store: SqliteStore, folder: string, options?: VerifyOptions,
): Promise<ArchiveReport> {
  const connection = connect(store);
  const target = checkPath(folder, 'folder');
  const { anchor, publicKey, signal, onProgress } = checkVerifyOptions(options);
  const signatures = publicKey && new SignatureWalk(publicKey);
  const { log } = connection.parts;
  const beginning = connection.read('read where the log begins', () => log.beginning());
  const files = attempt(`verify the archives in ${target}`, () => findArchives(target))
    .filter((file) => log.owns({ store: file.store, lastId: file.to }));
  const inFiles = files.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  const total = inFiles + (store.auditHead()?.id ?? 0) - beginning.id;
  const history = new History(connection.read('read the genesis', () => log.genesis), anchor);
  for (const file of files) {
    const done = history.report.checked;
    await history.read(file, signatures, {
      signal, onProgress: (part) => onProgress?.({ done: done + Math.floor((file.to - file.from) * part), total }),
    });
  }
  const inLog = anchor && anchor.id >= beginning.id ? { anchor } : undefined;
  const chain = await verifyChain(connection.parts, {
    signal, ...inLog,
    onProgress: ({ done }) => onProgress?.({ done: inFiles + done, total: Math.max(total, inFiles + done) }),
  }, signatures);
  const end = connection.read('read where the log begins', () => log.beginning());
  if (end.id !== beginning.id) {
    throw new StoreError('ERR_STORE_BUSY', 'failed to verify the archives: rows were archived meanwhile; verify again');
  }
  connection.readTogether('compare the archives with the log', () => history.compare(connection));
  history.report.checked += chain.checked;
  for (const finding of chain.findings) history.add(finding);
  history.report.more += chain.more;
  return chain.head ? { ...history.report, head: chain.head } : history.report;
}

const maxFindings = 1_000;

/** An archive that was read. */
interface ReadArchive {
  path: string;
  after: Anchor;
  head: Anchor;
  sha256: string;
}

type Progress = { signal: AbortSignal | undefined; onProgress: (part: number) => void };

/** Collects what the archives are and what they and the log say of them. */
class History {
  readonly report: ArchiveReport = { ok: true, archives: 0, checked: 0, findings: [], more: 0 };
  readonly #genesis: string;
  readonly #anchor: Anchor | undefined;
  #anchored: string | undefined;
  readonly #archives: ReadArchive[] = [];
  readonly #recorded: ArchivedRange[] = [];
  readonly #forgotten: Anchor[] = [];

  constructor(genesis: string, anchor: Anchor | undefined) {
    this.#genesis = genesis;
    this.#anchor = anchor;
  }

  add(finding: ArchiveFinding): void {
    this.report.ok = false;
    if (this.report.findings.length < maxFindings) this.report.findings.push(finding);
    else this.report.more++;
  }

  /** Verifies one file as a ledger. */
  async read(
    { path, after, bytes }: FoundArchive, signatures: SignatureWalk | undefined, { signal, onProgress }: Progress,
  ): Promise<void> {
    this.report.archives++;
    const { sha256 } = await digestOf(path, signal);
    const begun = after ?? { id: 0, hash: this.#genesis };
    try {
      const file = new LedgerFile(path, isCompressed(path) ? gzipFiles() : system);
      const report = await verifyFile(file, {
        signal, onProgress: ({ done }) => onProgress(Math.min(1, done / Math.max(1, bytes))),
      }, { signatures, each: (line) => this.#note(line) });
      for (const { line, id, kind, message } of report.findings) {
        this.add({ kind, file: path, line, ...(id === undefined ? undefined : { id }), message });
      }
      this.report.more += report.more;
      this.report.checked += report.checked;
      this.#archives.push({ path, after: begun, head: report.head ?? begun, sha256 });
    } catch (error) {
      if (!hasCode(error, 'ERR_STORE_CORRUPT')) throw error;
      this.add({ kind: 'unreadable', file: path, message: (error as Error).message });
    }
  }

  #note({ id, type, data, hash }: LedgerLine): void {
    if (id === this.#anchor?.id && this.#anchored !== this.#anchor.hash) this.#anchored = hash;
    const archived = type === 'log_archived' ? decodeArchived(id, data) : undefined;
    if (archived) this.#recorded.push(archived);
    const gone = type === 'archives_forgotten' ? decodeForgotten(id, data) : undefined;
    if (gone) this.#forgotten.push(gone);
  }

  /** Adds the findings that need all of the archives and the log. */
  compare(connection: ModuleConnection): void {
    const { log } = connection.parts;
    this.#recorded.push(...recorded(connection));
    this.#forgotten.push(...forgotten(connection));
    const beginning = log.beginning();
    this.#follow(beginning, (id) => log.hashAt(id));
    const changed = this.#compareRecorded();
    for (const archive of this.#archives) {
      if (changed.has(archive)) continue;
      const isLeft = archive.after.id >= beginning.id && log.hashAt(archive.head.id) === archive.head.hash;
      if (isLeft || this.#recorded.some((range) => isOf(range, archive))) continue;
      const message = 'no event says that this archive was made, and the log does not have its rows';
      this.add({ kind: 'unrecorded', file: archive.path, message });
    }
    this.#compareAnchor(beginning);
  }

  /** Follows the archives from the first row, or from where they were forgotten, into the log. */
  #follow(beginning: Anchor, hashAt: (id: number) => string | undefined): void {
    const gone = this.#forgotten.reduce<Anchor | undefined>((a, b) => (a && a.id > b.id ? a : b), undefined);
    let last: Anchor = { id: 0, hash: this.#genesis };
    if (gone && !this.#archives.some(({ after }) => after.id < gone.id)) last = gone;
    const left = this.#archives[0]?.after;
    if (gone && left && left.id > 0 && left.id < gone.id) last = left; // a forgetting that was cut short
    for (const { path, after, head } of this.#archives) {
      if (after.id > last.id) this.#gap(last.id, after.id, path);
      else if (after.id === last.id && after.hash !== last.hash) this.#forked(after.id, path);
      if (head.id > last.id) last = head;
    }
    if (last.id < beginning.id) this.#gap(last.id, beginning.id);
    else if (last.id > 0 && hashAt(last.id) !== last.hash) this.#forked(last.id);
  }

  #gap(last: number, next: number, file?: string): void {
    const message = `rows ${last + 1} to ${next} are in no archive`;
    this.add({ kind: 'gap', id: last + 1, ...(file === undefined ? undefined : { file }), message });
  }

  #forked(id: number, file?: string): void {
    const whose = file === undefined ? 'the log' : 'the file';
    const message = `row ${id}, behind which ${whose} goes on, is another one in the archive before`;
    this.add({ kind: 'forked', id, ...(file === undefined ? undefined : { file }), message });
  }

  /** Each archive that the log or an archive tells of must be there as it was made; gives those that are not. */
  #compareRecorded(): Set<ReadArchive> {
    const changed = new Set<ReadArchive>();
    const gone = Math.max(0, ...this.#forgotten.map(({ id }) => id));
    const told = new Map(this.#recorded.map((range) => [`${range.to} ${range.file} ${range.sha256}`, range]));
    const isThere = (range: ArchivedRange): boolean => this.#archives.some((archive) => isOf(range, archive));
    for (const range of told.values()) {
      if (range.to <= gone || isThere(range)) continue;
      // One that was made anew elsewhere, because its file was not found there, has the rows too.
      const others = [...told.values()].filter((other) => other.from <= range.from && other.to >= range.to);
      if (others.some((other) => other !== range && isThere(other))) continue;
      const found = this.#archives.find(({ path }) => basename(path) === range.file);
      if (found) changed.add(found);
      const rows = `rows ${range.from} to ${range.to}`;
      const [kind, message] = found
        ? ['changed' as const, `this is not the file that was made of ${rows}`]
        : ['missing' as const, `the archive ${range.file} of ${rows} is not there, or is not this store's`];
      this.add({ kind, id: range.to, ...(found ? { file: found.path } : undefined), message });
    }
    return changed;
  }

  #compareAnchor(beginning: Anchor): void {
    if (!this.#anchor || this.#anchor.id >= beginning.id || this.#anchored === this.#anchor.hash) return;
    const { id } = this.#anchor;
    const another = `row ${id} is not the row that the anchor was taken of`;
    if (this.#anchored !== undefined) this.add({ kind: 'forked', id, message: another });
    else this.add({ kind: 'archived', id, message: `the anchor's row ${id} is in none of the archives` });
  }
}

/** Whether an archive is the file that was made of these rows. */
function isOf({ to, hash, file, sha256 }: ArchivedRange, archive: ReadArchive): boolean {
  const isSame = archive.head.id === to && archive.head.hash === hash && archive.sha256 === sha256;
  return isSame && basename(archive.path) === file;
}
