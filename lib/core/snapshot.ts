// The snapshot pair: the row in the database and the file beside it, saved together and read as one.
import { existsSync, lstatSync, rmSync } from 'node:fs';
import { localDay, nameable } from '../values/days.ts';
import { StoreError } from '../values/errors.ts';
import { renameTo, temporariesOf } from '../values/files.ts';
import type { CommitParticipant } from './commit-participant.ts';
import type { Connection } from './connection.ts';
import type { StoreParts } from './parts.ts';
import {
  originOf, prepareSnapshotFile, readSnapshotFile, type SnapshotContent, type SnapshotFile,
} from './snapshot-file.ts';
import {
  clearCopies, compareHead, describeCopies, isOutdated, type JudgedFile, reportCopies, reportLoss,
  type SnapshotCopy,
} from './snapshot-findings.ts';
import { readRow, type SnapshotRow, writeRow } from './snapshot-row.ts';
import type { StateSnapshot } from './state.ts';

/** What the file carries of usage, cooldowns and limits. */
type Balances = Pick<SnapshotContent, 'usage' | 'cooldowns' | 'limits'>;

/** A snapshot file that is written and not yet renamed into place. */
interface Prepared {
  temporary: string;
  path: string;
  generation: number;
}

const dayMs = 86_400_000;

export class SnapshotPair implements CommitParticipant {
  readonly #connection: Connection;
  readonly #parts: StoreParts;
  readonly #path: string | undefined;
  /** The file as it was found at open, until another one is put in its place. */
  #found: SnapshotFile | undefined;
  #fileGeneration: number;
  /** What a newer version keeps in the file; it tells of tables that this code does not change. */
  #others: object;
  /** The row's generation before the open transaction saved; undefined where it has not. */
  #base: number | undefined;
  /** The file that the open transaction has prepared. */
  #prepared: Prepared | undefined;
  /** How many rows this object has written. */
  #saves = 0;
  /** The balances in the last file, and the state of the database that they were read from. */
  #balances: { asOf: string; at: Date; read: Balances } | undefined;

  /** `path` is absent for a store in memory; `found` is the file that was there at open, where it has been read. */
  constructor(parts: StoreParts, path: string | undefined, found?: SnapshotFile) {
    this.#connection = parts.connection;
    this.#parts = parts;
    this.#path = path;
    this.#found = found;
    const content = found?.state === 'whole' && this.#isOwn(found.content) ? found.content : undefined;
    this.#fileGeneration = content?.generation ?? 0;
    this.#others = content?.others ?? {};
  }

  #isOwn(content: SnapshotContent): boolean {
    return this.#parts.log.owns(originOf(content));
  }

  /** Writes the row, inside the open transaction; the file follows at its commit. `text` comes from `encodeState`. */
  save(text: string): void {
    const generation = this.row()?.generation ?? 0;
    if (this.#base === undefined && generation > this.#fileGeneration) this.#takeOthers();
    this.#base ??= generation;
    this.#connection.join(this);
    this.#parts.log.ledger?.noteOther();
    writeRow(this.#connection, text, Math.max(generation, this.#fileGeneration) + 1);
    this.#saves++;
  }

  /** Another process has saved, which may be of the newer version and have changed its fields. */
  #takeOthers(): void {
    this.#found = undefined;
    const file = this.#lookAtFile();
    if (file.state === 'whole') this.#others = file.content.others;
  }

  row(): SnapshotRow | undefined {
    return readRow(this.#connection);
  }

  prepare(): void {
    if (this.#base === undefined || this.#path === undefined) return;
    const row = this.row();
    if (!row || row.generation === this.#base) return; // every save of this transaction was rolled back
    this.#prepared = this.#prepareFile(this.#path, row, this.#knownBalances());
  }

  committed(): void {
    if (this.#prepared) this.#place(this.#prepared);
    this.#base = this.#prepared = undefined;
  }

  undone(isWhole: boolean): void {
    if (!isWhole) return;
    if (this.#prepared) this.#discard(this.#prepared.temporary);
    this.#base = this.#prepared = this.#balances = undefined;
  }

  /**
   * The balances, inside a write; read again only where anything but the snapshot was written since. A session is saved
   * again and again while nothing else changes, and to read the balances takes longer than all the rest of a save but
   * the disk.
   */
  #knownBalances(): Balances {
    // `asOf` changes with every row that this connection changes, even if rolled back, and every other commit.
    const [changes] = this.#connection.get<[number]>('SELECT total_changes()')!;
    const [now, days] = [this.#connection.now(), this.#days()];
    const asOf = JSON.stringify([changes - this.#saves, this.#connection.dataVersion, days]);
    const known = this.#balances;
    // After the clock was set back, cooldowns that were left out as over may run again.
    if (known?.asOf === asOf && known.at <= now) return known.read;
    const read = this.#readBalances(days);
    this.#balances = { asOf, at: now, read };
    return read;
  }

  /** The days whose usage the file carries: the two that were written last, and the clock's today and yesterday. */
  #days(): string[] {
    const today = localDay(nameable(this.#connection.now()));
    const yesterday = new Date(Date.parse(`${today}T00:00:00Z`) - dayMs).toISOString().slice(0, 10);
    return [...new Set([...this.#parts.usage.lastDays(), today, yesterday])];
  }

  #readBalances(days = this.#days()): Balances {
    const { usage, cooldowns, limits } = this.#parts;
    // Cooldowns of the last day stay in, because the clock may be wrong; older ones would make the file grow for ever.
    const since = new Date(this.#connection.now().getTime() - dayMs);
    const ofDays = limits.readable([...days].sort()[0]!);
    const balances = { usage: usage.readable(days), cooldowns: cooldowns.readableSince(since) };
    return ofDays ? { ...balances, limits: ofDays } : balances;
  }

  #prepareFile(path: string, row: SnapshotRow, balances = this.#readBalances()): Prepared {
    const { generation, text } = row;
    const content = this.#content(generation, balances);
    return { temporary: prepareSnapshotFile(path, this.#connection.path!, content, text), path, generation };
  }

  #content(generation: number, balances: Balances): Omit<SnapshotContent, 'state'> {
    const { log } = this.#parts;
    const savedAt = this.#connection.now().toISOString();
    return { ...this.#others, store: log.uuid, generation, savedAt, ...balances, head: log.head() ?? null };
  }

  /** Puts the file in place after COMMIT. The row is durable whatever happens here, so a failure is only a finding. */
  #place({ temporary, path, generation }: Prepared): void {
    const { faults } = this.#connection;
    this.#found = undefined;
    try {
      // The rename needs the write lock, and the row must still be this one: of two processes that save at once, the
      // slower one must not rename its older file over the newer one.
      this.#connection.locked(() => {
        const row = this.row();
        if (row?.generation !== generation) rmSync(temporary, { force: true });
        else if (existsSync(temporary)) renameTo(temporary, path);
        // Another process opened the store after the commit, and removed the file as one that a killed process had
        // left.
        else if (!this.#isPlaced(generation)) renameTo(this.#prepareFile(path, row).temporary, path);
      });
      this.#fileGeneration = generation;
      clearCopies(faults);
    } catch (error) {
      const message = `the snapshot is in the database, but not in ${path}: ${(error as Error).message}`;
      faults.report('snapshot-not-placed', message, error);
      this.#discard(temporary);
    }
  }

  #isPlaced(generation: number): boolean {
    const file = this.#lookAtFile();
    return file.state === 'whole' && file.content.generation === generation;
  }

  #discard(temporary: string): void {
    try {
      rmSync(temporary, { force: true });
    } catch (error) {
      const message = `${temporary} could not be removed: ${(error as Error).message}`;
      this.#connection.faults.report('snapshot-not-placed', message, error);
    }
  }

  /** The newer of the two copies that is whole. */
  load(): StateSnapshot | undefined {
    const found = this.#readFile();
    const row = this.row();
    const file = this.#judged(found, row);
    reportCopies(this.#connection.faults, this.#path, file, row);
    const isFileNewer = file.state === 'whole' && file.content.generation > (row?.state ? row.generation : 0);
    if (isFileNewer) return file.content.state;
    // A row is written before its file, so where only a damaged file is left there was a state, which is unknown.
    if (row?.state || (!row && file.state !== 'damaged')) return row?.state;
    const what = `the row in the database ${row ? 'cannot be read' : 'is missing'} and the file is ${file.state}`;
    throw new StoreError('ERR_STORE_CORRUPT', `failed to load the snapshot: ${what}`);
  }

  /**
   * At open, writes a file that is missing or older than the row, because a crash came between the commit and the
   * rename. The file gets the row's own generation, because nothing was saved. A full disk then is a finding, not a
   * reason to refuse the store.
   */
  placeAgain(): void {
    const path = this.#path;
    if (path === undefined) return;
    try {
      const prepared = this.#connection.readTogether('write the snapshot file again', () => {
        const row = this.row();
        return row && row.generation > this.#fileGeneration && row.state ? this.#prepareFile(path, row) : undefined;
      });
      if (prepared) this.#place(prepared);
    } catch (error) {
      this.#connection.faults.report('snapshot-not-placed', (error as Error).message, error);
    }
  }

  /**
   * For a copy of the database: writes the file that belongs beside it, from its row, under a temporary name in the
   * folder of `path`, and gives that. `undefined` where no state was saved.
   */
  prepareBeside(path: string): string | undefined {
    return this.#connection.readTogether('write the snapshot file', () => {
      const row = this.row();
      return row?.state && row.generation > 0 ? this.#prepareFile(path, row).temporary : undefined;
    });
  }

  /** At open, records what is wrong with the two copies. */
  check(): void {
    const row = this.row();
    reportCopies(this.#connection.faults, this.#path, this.#judged(this.#lookAtFile(), row), row);
  }

  /**
   * Both copies, for `health()`. `readIfPossible` runs a read and gives its result, or `undefined` where a damaged page
   * of the database has ended the read, which says nothing of the file.
   */
  copies(readIfPossible: <T>(read: () => T) => T | undefined): { row: SnapshotCopy; file: SnapshotCopy } {
    this.#found = undefined;
    const { faults } = this.#connection;
    const seen = this.#lookAtFile(); // before the row, because a save is in the database before its file is in place
    const found = readIfPossible(() => {
      const row = this.row();
      return { row, file: this.#judged(seen, row) };
    });
    const file = found?.file ?? seen;
    reportCopies(faults, this.#path, file, found?.row);
    readIfPossible(() => {
      const loss = file.state === 'whole' ? compareHead(this.#connection, file.content) : undefined;
      reportLoss(faults, this.#path, loss);
    });
    return describeCopies(file, found?.row, this.#connection.now(), found !== undefined);
  }

  /** What a file is once the row and the log are known: one that would be taken may be older than the archives. */
  #judged(file: SnapshotFile, row: SnapshotRow | undefined): JudgedFile {
    const isTaken = file.state === 'whole' && file.content.generation > (row?.state ? row.generation : 0);
    return isTaken && isOutdated(this.#connection, file.content) ? { state: 'outdated' } : file;
  }

  #readFile(): SnapshotFile {
    if (this.#path === undefined) return { state: 'absent' };
    const file = this.#found ?? readSnapshotFile(this.#path);
    this.#found = undefined; // what was found at open is good for one use, because the file may be another by now
    if (file.state !== 'whole' || this.#isOwn(file.content)) return file;
    return { state: 'damaged', reason: 'it belongs to another store' };
  }

  /** Reads the file for a report, where a file that cannot be read counts as damaged. */
  #lookAtFile(): SnapshotFile {
    try {
      return this.#readFile();
    } catch (error) {
      return { state: 'damaged', reason: (error as Error).message };
    }
  }

  /** Reads what the next save will read, so that damage there is found while a recovery can still mend it. */
  rehearse(): void {
    this.#content(0, this.#readBalances());
  }

  /**
   * Removes the temporary files that killed processes left. Under the write lock no process is between its file and
   * COMMIT; one between COMMIT and the rename looks whether its file is still there, and writes it again if not.
   */
  removeTemporaries(): void {
    const left = temporariesOf(this.#path!);
    if (left.length === 0) return;
    this.#connection.locked(() => {
      for (const file of left) if (lstatSync(file, { throwIfNoEntry: false })?.isFile()) rmSync(file, { force: true });
    });
  }
}
