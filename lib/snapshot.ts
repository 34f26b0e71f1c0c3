// The snapshot pair: the row in the database and the file beside it, saved together and read as one.
import { existsSync } from 'node:fs';
import type { CommitParticipant } from './commit-participant.ts';
import type { Connection } from './connection.ts';
import { auditHeadOf } from './audit.ts';
import { compareHead } from './recovery.ts';
import { localDay, nameable } from './days.ts';
import { StoreError } from './errors.ts';
import { decodeState, discardSnapshotFile, placeSnapshotFile, prepareSnapshotFile, readSnapshotFile } from './snapshot-file.ts';
import type { SnapshotContent, SnapshotFile, StateSnapshot } from './snapshot-file.ts';
import { cooldownsSince } from './cooldowns.ts';
import { readableUsage } from './usage.ts';

/** What the file carries of usage and cooldowns. */
type Balances = Pick<SnapshotContent, 'usage' | 'cooldowns'>;
type ReadBalances = (days: readonly string[], now: Date) => Balances;

/** One of the two copies, as `health()` shows it. */
export interface SnapshotCopy {
  state: 'absent' | 'whole' | 'damaged';
  generation?: number;
  /** Since the time that the state itself gives, by the store's clock. */
  ageMs?: number;
}

/** The row in the database. A save does not ask what the one before meant. */
class Row {
  readonly text: string;
  readonly generation: number;
  #state: StateSnapshot | undefined;

  constructor(text: string, generation: number) {
    this.text = text;
    this.generation = generation;
  }

  get state(): StateSnapshot | undefined {
    return (this.#state ??= decodeState(this.text));
  }
}

export class SnapshotPair implements CommitParticipant {
  readonly #connection: Connection;
  readonly #path: string | undefined;
  readonly #uuid: string;
  #fileGeneration: number;
  /** The row's generation before the open transaction saved; undefined where it has not. */
  #base: number | undefined;
  /** The file of the open transaction, written and not yet in its place. */
  #prepared: { temporary: string; path: string; generation: number } | undefined;
  /** How many rows this has written. */
  #saves = 0;
  /** The last file's, as of what and when. */
  #balances: { asOf: string; at: Date; read: Balances } | undefined;

  /** `path` is absent for a store in memory; `fileGeneration` is what was found in the file at open. */
  constructor(connection: Connection, path: string | undefined, uuid: string, fileGeneration: number) {
    this.#connection = connection;
    this.#path = path;
    this.#uuid = uuid;
    this.#fileGeneration = fileGeneration;
    connection.join(this);
  }

  /** Writes the row, inside the open transaction; the file follows at its commit. `text` comes from `encodeState`. */
  save(text: string): void {
    const generation = this.#row()?.generation ?? 0;
    this.#base ??= generation;
    this.#connection.wroteUnmirrored = true;
    this.#connection.run(
      'INSERT INTO snapshot (id, data, generation) VALUES (1, ?1, ?2) ON CONFLICT (id) DO UPDATE SET data = ?1, generation = ?2',
      text, Math.max(generation, this.#fileGeneration) + 1,
    );
    this.#saves++;
  }

  #row(): Row | undefined {
    const row = this.#connection.get<[unknown, number]>('SELECT data, generation FROM snapshot WHERE id = 1');
    if (!row) return undefined;
    return new Row(typeof row[0] === 'string' ? row[0] : '', row[1]);
  }

  begin(): void {}

  prepare(): void {
    if (this.#base === undefined || this.#path === undefined) return;
    const row = this.#row();
    if (!row || row.generation === this.#base) return; // every save of this transaction was rolled back
    const temporary = this.#prepareFile(this.#path, row, (days, now) => this.#knownBalances(days, now));
    this.#prepared = { temporary, path: this.#path, generation: row.generation };
  }

  committed(): void {
    if (this.#prepared) this.#place(this.#prepared);
    this.#base = this.#prepared = undefined;
  }

  abandoned(): void {
    if (this.#prepared) this.#discard(this.#prepared.temporary);
    this.#base = this.#prepared = this.#balances = undefined;
  }

  /**
   * Inside a write: the balances, read again only where anything but this has written since. A session is saved again and
   * again while nothing else changes, and reading them takes longer than all the rest that is not the disk's.
   */
  #knownBalances(days: readonly string[], now: Date): Balances {
    // Every row that this connection has changed, also one that was rolled back, and every commit of another one.
    const [changes] = this.#connection.get<[number]>('SELECT total_changes()')!;
    const asOf = JSON.stringify([changes - this.#saves, this.#connection.version, days]);
    const known = this.#balances;
    // A clock that was set back makes cooldowns run again that were left out.
    if (known?.asOf !== asOf || known.at > now) this.#balances = { asOf, at: now, read: this.#readBalances(days, now) };
    return this.#balances!.read;
  }

  /** Those of the last day are over by a clock that may be wrong; older ones would make the file grow for ever. */
  #readBalances(days: readonly string[], now: Date): Balances {
    const cooldowns = cooldownsSince(this.#connection, new Date(now.getTime() - 86_400_000));
    return { usage: readableUsage(this.#connection, days), cooldowns };
  }

  #prepareFile(path: string, row: Row, balances?: ReadBalances): string {
    return prepareSnapshotFile(path, this.#connection.path!, this.#content(row.generation, balances), row.text);
  }

  #content(generation: number, balances: ReadBalances = (days, now) => this.#readBalances(days, now)): Omit<SnapshotContent, 'state'> {
    const now = this.#connection.now();
    const [lastDay, previousDay] = this.#connection.usageDays.get();
    const today = localDay(nameable(now));
    const yesterday = new Date(Date.parse(`${today}T00:00:00Z`) - 86_400_000).toISOString().slice(0, 10);
    const days = [...new Set([lastDay, previousDay, today, yesterday])].filter((day) => day !== null);
    const head = auditHeadOf(this.#connection) ?? null;
    return { store: this.#uuid, generation, savedAt: now.toISOString(), ...balances(days, now), head };
  }

  /** After COMMIT: the row is durable whatever happens here, so a failure is a finding. */
  #place({ temporary, path, generation }: { temporary: string; path: string; generation: number }): void {
    try {
      // Under the write lock, and only while the row is still this one: of two processes that save at once, the slower
      // one must not rename its older file over the newer one.
      this.#connection.locked(() => {
        const row = this.#row();
        if (row?.generation !== generation) discardSnapshotFile(temporary);
        else if (existsSync(temporary)) placeSnapshotFile(temporary, path);
        // Another process, which opened the store after the commit, took the file for one that a killed process had left.
        else if (!this.#isPlaced(generation)) placeSnapshotFile(this.#prepareFile(path, row), path);
      });
      this.#fileGeneration = generation;
      for (const kind of ['snapshot-not-placed', 'snapshot-file-damaged', 'snapshot-file-missing', 'snapshot-row-damaged'] as const) this.#connection.faults.clear(kind);
    } catch (error) {
      this.#connection.faults.report('snapshot-not-placed', `the snapshot is in the database, but not in ${path}: ${(error as Error).message}`, error);
      this.#discard(temporary);
    }
  }

  #isPlaced(generation: number): boolean {
    const file = this.#lookAtFile();
    return file.state === 'whole' && file.content.generation === generation;
  }

  #discard(temporary: string): void {
    try {
      discardSnapshotFile(temporary);
    } catch (error) {
      this.#connection.faults.report('snapshot-not-placed', `${temporary} could not be removed: ${(error as Error).message}`, error);
    }
  }

  /** The newer of the two copies that is whole. */
  load(): StateSnapshot | undefined {
    const file = this.#readFile();
    const row = this.#row();
    this.#reportCopies(file, row);
    const fromFile = file.state === 'whole' && file.content.generation > (row?.state ? row.generation : 0);
    if (fromFile) return file.content.state;
    // A row is there before its file is. Where only a damaged file is left, there was a state, and it is unknown.
    if (!row?.state && (row || file.state === 'damaged')) {
      throw new StoreError('ERR_STORE_CORRUPT', `failed to load the snapshot: the row in the database ${row ? 'cannot be read' : 'is missing'} and the file is ${file.state}`);
    }
    return row?.state;
  }

  /**
   * At open, writes a file that is missing or older than the row: a crash came between the commit and the rename. It gets
   * the row's own generation, because nothing was saved. A disk that is full then is a finding, not a reason to refuse the
   * store.
   */
  placeAgain(fileGeneration: number): void {
    const path = this.#path;
    if (path === undefined) return;
    try {
      const prepared = this.#connection.readTogether('write the snapshot file again', () => {
        const row = this.#row();
        if (!row?.state || row.generation <= fileGeneration) return undefined;
        return { temporary: this.#prepareFile(path, row), path, generation: row.generation };
      });
      if (prepared) this.#place(prepared);
    } catch (error) {
      this.#connection.faults.report('snapshot-not-placed', (error as Error).message, error);
    }
  }

  /**
   * For a copy of the database: writes the file that belongs beside it, from its row, under a temporary name in the folder
   * of `path`, and gives that. `undefined` where no state was saved.
   */
  prepareBeside(path: string): string | undefined {
    return this.#connection.readTogether('write the snapshot file', () => {
      const row = this.#row();
      return row?.state && row.generation > 0 ? this.#prepareFile(path, row) : undefined;
    });
  }

  /** Looks at both copies and records what is wrong with them. */
  check(): void {
    const file = this.#lookAtFile();
    this.#reportCopies(file, this.#row());
    this.#reportLoss(file);
  }

  /** A writing open heals it; whoever only looks at the store must be told. */
  #reportLoss(file: SnapshotFile): void {
    const { faults } = this.#connection;
    const loss = file.state === 'whole' ? compareHead(this.#connection, file.content) : undefined;
    if (loss) faults.report('behind', `the database lacks what ${this.#path} was written with (${loss}): it has lost commits, or an older copy was put in its place; opening it for writing heals it`);
    else faults.clear('behind');
  }

  /**
   * Both copies, for `health()`. `told` gives what a read gives, and `undefined` for one that a damaged page has ended, which
   * says nothing of the file.
   */
  copies(now: Date, told: <T>(read: () => T) => T | undefined): { row: SnapshotCopy; file: SnapshotCopy } {
    const both = told(() => ({ file: this.#lookAtFile(), row: this.#row() }));
    const { file, row } = both ?? { file: this.#lookAtFile(), row: undefined };
    this.#reportCopies(file, row);
    told(() => this.#reportLoss(file));
    const age = (state: StateSnapshot): number => now.getTime() - state.timestamp.getTime();
    const stored = (): SnapshotCopy => {
      if (!row) return { state: both ? 'absent' : 'damaged' };
      const { generation, state } = row;
      return state ? { state: 'whole', generation, ageMs: age(state) } : { state: 'damaged', generation };
    };
    return {
      row: stored(),
      file: file.state === 'whole' ? { state: 'whole', generation: file.content.generation, ageMs: age(file.content.state) } : { state: file.state },
    };
  }

  #readFile(): SnapshotFile {
    if (this.#path === undefined) return { state: 'absent' };
    const file = readSnapshotFile(this.#path);
    if (file.state === 'whole' && file.content.store !== this.#uuid) return { state: 'damaged', reason: 'it belongs to another store' };
    return file;
  }

  /** For a report, a file that cannot be read now is as good as a damaged one. */
  #lookAtFile(): SnapshotFile {
    try {
      return this.#readFile();
    } catch (error) {
      return { state: 'damaged', reason: (error as Error).message };
    }
  }

  #reportCopies(file: SnapshotFile, row: Row | undefined): void {
    const { faults } = this.#connection;
    if (file.state === 'damaged') faults.report('snapshot-file-damaged', `${this.#path}: ${file.reason}`);
    else faults.clear('snapshot-file-damaged');
    if (file.state === 'absent' && row && this.#path !== undefined) faults.report('snapshot-file-missing', `${this.#path} is missing; the next snapshot writes it again`);
    else faults.clear('snapshot-file-missing');
    if (row && !row.state) faults.report('snapshot-row-damaged', 'the snapshot in the database cannot be read; the next snapshot replaces it');
    else faults.clear('snapshot-row-damaged');
  }

  /** For recovery: reads what the next save will read. */
  rehearse(): void {
    this.#content(0);
  }

  /** For recovery: the row as it is. */
  storedRow(): Row | undefined {
    return this.#row();
  }
}

