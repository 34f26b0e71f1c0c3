// A ledger that is attached to an open store: what happens at open, before each write and at each commit so that log
// and ledger hold the same rows. All of it runs under SQLite's write lock.
import { realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import type { Anchor } from '../core/chain.ts';
import type { Outcome } from '../core/commit-participant.ts';
import type { Connection } from '../core/connection.ts';
import { type EncodedEvent, encodeChecked, type EventTexts, type StoreEvent } from '../core/events.ts';
import type { Attached, LedgerPort, SetAside } from '../core/mirror-port.ts';
import { ledgerOrigin } from '../core/options.ts';
import type { StoreParts } from '../core/parts.ts';
import { contentTables } from '../core/schema.ts';
import { TemporaryFile } from '../opening/temporary.ts';
import { quote } from '../values/checks.ts';
import { hasCode, StoreError } from '../values/errors.ts';
import type { JsonObject } from '../values/json.ts';
import { checkCommon, checkStore, isCutOf, isLike } from './agree.ts';
import { carryBalances } from './carried.ts';
import { LedgerCut } from './cut.ts';
import type { End } from './end.ts';
import { decideAppend, requirePermission, toRecorded } from './policy.ts';
import { ledgerAfter, replayRow } from './replay.ts';
import { type LedgerRow, ledgerRows } from './rows.ts';
import { signerOf } from './signer.ts';
import type { LedgerTail } from './tail.ts';
import { writeInTurn, writeInTurnSync } from './turn.ts';
import { checkLength } from './write-lines.ts';

/** Keeps the log of a store and its ledger equal. */
export class AttachedLedger implements LedgerPort {
  readonly #parts: StoreParts;
  readonly #connection: Connection;
  readonly #ledger: LedgerTail;
  /** Whether damage that no power cut can cause is set aside and rewritten too, instead of refused. */
  readonly #recover: boolean;
  /** The last row of both the log and the ledger when the open transaction began. */
  #agreed: Anchor | undefined;
  /** The ends of the ledger before and after this transaction's rows were appended to it; `undefined` until then. */
  #appended: { before: End; after: End } | undefined;
  /** Whether this transaction made a change that no event records, so that a replay would not repeat it. */
  #wroteOther = false;
  /** Whether the store had this ledger before the open transaction began. */
  isAttached = false;
  #isHeld = false;
  /** Whether a part of the ledger was set aside and no event records that yet. */
  #isUntold = false;
  #lostTo: number | undefined;
  /** How many lines the ledger was last given that it should have had, but for those in place of what was set aside. */
  #written = 0;
  /** SQLite's data_version when the database was last asked which key signs its events. */
  #signerVersion: unknown;

  constructor(parts: StoreParts, ledger: LedgerTail, recover: boolean) {
    this.#parts = parts;
    this.#connection = parts.connection;
    this.#ledger = ledger;
    this.#recover = recover || ledger.recover;
  }

  get #uuid(): string {
    return this.#parts.log.uuid;
  }

  #head(): Anchor | undefined {
    return this.#parts.log.head();
  }

  #headOrBeginning(): Anchor {
    return this.#head() ?? this.#parts.log.beginning();
  }

  noteOther(): void {
    this.#wroteOther = true;
  }

  sign(hash: string): string | null {
    return this.#ledger.sign(hash);
  }

  checkEvent(event: EventTexts): void {
    checkLength(event);
  }

  get isFirst(): boolean {
    const tables = contentTables().map((name) => `EXISTS (SELECT 1 FROM ${name})`);
    const sql = `SELECT 1 FROM store_meta WHERE has_ledger = 0 AND (${tables.join(' OR ')})`;
    return this.#connection.get(sql) !== undefined;
  }

  attach(): Attached {
    const before = this.#head()?.id ?? 0;
    const hadLedger = this.#parts.log.hasLedger();
    this.#parts.log.ledger = this;
    this.#connection.attendLast(this);
    const attached: Attached = { replayed: 0, written: 0, setAside: [] };
    writeInTurnSync(this.#connection, 'open', `attach the ledger ${this.#ledger.path}`, () => {
      attached.replayed = (this.#head()?.id ?? 0) - before;
      this.#watch();
      if (!this.#parts.log.hasLedger()) this.#turnOn();
      this.#rememberPath();
      this.#checkSigner();
      attached.setAside = this.#recordSetAside();
    });
    // The first ledger of a store, or one that was detached, is behind without any loss.
    if (hadLedger) attached.written = this.#written;
    if (this.#lostTo !== undefined) attached.lost = { from: before + attached.replayed + 1, to: this.#lostTo };
    this.isAttached = true;
    return attached;
  }

  /**
   * Notes where the ledger is, so that a command beside a running service finds it. The path leads from folder to
   * folder as they are without links, because whoever reads it may have come by another link, or by none.
   */
  #rememberPath(): void {
    const { path } = this.#connection;
    if (path === undefined) return;
    const [from, to] = [path, this.#ledger.path].map((file) => realpathSync(dirname(file)));
    const known = join(relative(from!, to!), basename(this.#ledger.path));
    this.#connection.run('UPDATE store_meta SET ledger_path = ?1 WHERE id = 1 AND ledger_path IS NOT ?1', known);
  }

  /**
   * Makes sure that one key signs the whole log, because rows that a second key has signed, or none, do not verify with
   * it. A wrong or missing key is a conflict, at open or once another process has begun to sign.
   */
  #checkSigner(): void {
    const { publicKey, unsigned } = this.#ledger;
    const signer = signerOf(this.#connection)?.publicKey;
    this.#signerVersion = this.#connection.dataVersion;
    if (signer === publicKey || (publicKey === undefined && unsigned)) return;
    if (signer === undefined) {
      this.#recordOnce({ type: 'signing_started', publicKey: publicKey! }, `signing_started:${publicKey}`);
      return;
    }
    const absent = 'a key, which was not given; to go on without it takes unsigned: true';
    const key = publicKey === undefined ? absent : 'another key';
    const found = new StoreError('ERR_STORE_CONFLICT', `found that the store signs its events with ${key}`);
    throw this.isAttached ? this.#connection.stop(found) : found;
  }

  #recordOnce(event: StoreEvent, eventId: string): void {
    this.#parts.log.append({ ...encodeChecked(event), meta: JSON.stringify({ eventId }) });
  }

  /** Records the present balances as events: from here on the events alone account for usage and cooldowns. */
  #turnOn(): void {
    const { log, usage, cooldowns } = this.#parts;
    this.#connection.run('UPDATE store_meta SET has_ledger = 1 WHERE id = 1');
    log.recordChange({ type: 'ledger_attached' });
    for (const total of usage.readableInOrder()) log.recordChange({ type: 'usage_added', ...total });
    for (const { entryId, until, setAt = null } of cooldowns.readable()) {
      log.recordChange({ type: 'cooldown_set', entryId, until, setAt });
    }
  }

  /**
   * Records an event for each part that was set aside. The parts are found by the names of their files, because a crash
   * or a rollback may have come between a file and its event.
   */
  #recordSetAside(): SetAside[] {
    const eventIdOf = (name: string): string => `ledger_set_aside:${name}`;
    const files = this.#ledger.file.listAside((name) => this.#parts.log.hasEvent(eventIdOf(name)));
    for (const { path, bytes, sha256 } of files) {
      const file = basename(path);
      this.#recordOnce({ type: 'ledger_set_aside', file, bytes, sha256 }, eventIdOf(file));
    }
    return files;
  }

  /**
   * Makes log and ledger end with the same row: rows that only the ledger has are replayed into the database with their
   * effects, and rows that only the log has are appended to the ledger. Two different rows with one id are
   * `ERR_STORE_PARITY`, and neither is changed. Costs one fstat and one look-up where there is nothing to do.
   */
  #reconcile(): void {
    let end = this.#ledger.refresh();
    if (isLike(end, this.#uuid, this.#head())) return;
    // The end is read again, because an append that was taken back and repeated can leave the same size.
    end = this.#ledger.refresh(true);
    checkStore(end, this.#parts.log, this.#ledger.path);
    if (this.#parts.log.owns(ledgerOrigin(end))) {
      // A database that was made anew begins where its ledger does: the rows before are in archives.
      if (end.after && !this.#head()) this.#parts.log.beginBehind(end.after);
      const head = this.#head();
      checkCommon(this.#parts.log, this.#ledger, end);
      if (end.groupEnd > (head?.id ?? 0)) this.#replay(this.#ledger.rows((head?.id ?? 0) + 1), end.groupEnd);
    }
    if (end.torn && this.#recover) this.#replay(this.#ledger.rowsBehindDamage(this.#headOrBeginning()));
    if (!isLike(end, this.#uuid, this.#head())) this.#bring(end);
  }

  #bring(end: End): void {
    const connection = this.#connection;
    const [created] = connection.get<[string]>('SELECT created_at FROM store_meta WHERE id = 1')!;
    const head = this.#headOrBeginning();
    const beginning = this.#parts.log.beginning();
    const { replaced, setAside, lostTo } = this.#ledger.bringTo({
      store: this.#uuid, created, after: beginning.id > 0 ? beginning : undefined, head,
      renewed: this.#parts.log.formerIdentities(),
      like: statSync(connection.path!), now: connection.now(), recover: this.#recover,
      rows: (after = beginning) => ledgerRows(connection, after, head.id),
    });
    this.#isUntold ||= setAside;
    this.#lostTo = lostTo;
    const last = end.head && this.#parts.log.owns(ledgerOrigin(end)) ? end.head.id : 0;
    this.#written = setAside ? 0 : Math.max(0, head.id - last);
    if (replaced && this.isAttached) this.#watchAnew();
  }

  /** Watches the file that is at the path now. */
  #watchAnew(): void {
    const { files } = this.#parts.watch;
    files.unwatch(this.#ledger.path);
    this.#watch();
  }

  /** Watches the ledger. Where it was cut since, this store goes on with the new file. */
  #watch(): void {
    this.#parts.watch.files.watch(this.#ledger.path, () => this.#followCut());
  }

  #replay(rows: Iterable<LedgerRow>, upToId = Infinity): void {
    let { id: last, hash: previous } = this.#headOrBeginning();
    let hasLedger = this.#parts.log.hasLedger() ? 1 : 0;
    for (const row of rows) {
      if (row.id > upToId) break;
      if (row.previous !== previous) {
        const message = `row ${row.id} of ${this.#ledger.path} does not follow row ${last} of the database`;
        throw new StoreError('ERR_STORE_PARITY', message);
      }
      hasLedger = ledgerAfter(row) ?? hasLedger;
      replayRow(this.#parts, row, hasLedger === 1);
      previous = row.hash;
      last = row.id;
    }
    this.#connection.run('UPDATE store_meta SET has_ledger = ? WHERE id = 1', hasLedger);
  }

  #append(after: Anchor = this.#parts.log.beginning()): void {
    const end = this.#head()?.id ?? 0;
    try {
      this.#ledger.append(ledgerRows(this.#connection, after, end, true));
    } catch (error) {
      // The file may now end with a part of a group, and no other group may follow that, so the store stops.
      if (hasCode(error, 'ERR_STORE_IO')) throw this.#connection.stop(error as StoreError);
      throw error;
    }
  }

  begin(): void {
    this.#appended = undefined;
    this.#wroteOther = false;
    this.#hold();
    if (this.isAttached && this.#connection.dataVersion !== this.#signerVersion) this.#followCut();
    this.#reconcile();
    this.#agreed = this.#head();
    if (!this.isAttached) return;
    if (this.#connection.dataVersion !== this.#signerVersion) this.#checkSigner();
    if (this.#isUntold) this.#recordSetAside();
  }

  /** Opens the file that is at the path now, under the write lock, until the store is closed. */
  #hold(): void {
    if (this.#isHeld) return;
    this.#ledger.hold();
    this.#isHeld = true;
  }

  /**
   * Goes on with the file that another process has put in the place of the ledger when it cut it behind rows that are
   * archived, and says whether it did. Any other file there stops the store (`StoreWatch.prepare`).
   */
  #followCut(): boolean {
    if (!this.#ledger.file.isReplaced || !isCutOf(this.#parts.log, this.#ledger)) return false;
    this.#ledger.file.follow();
    this.#ledger.refresh(true);
    this.#watchAnew();
    return true;
  }

  /** Decides on all of the events before the first one is written, so that one refusal refuses the group. */
  permit(events: readonly EncodedEvent[]): EncodedEvent[] {
    const headsAgree = this.#headsAgree();
    return events.map((event) => {
      this.checkEvent(event);
      const decision = decideAppend(event.policy?.policy ?? [], event.policy?.breakGlass, headsAgree);
      requirePermission(`append the event ${quote(event.type)}`, decision);
      if (!event.policy) return event; // the ledger's own contribution is not kept: it is the same with every event
      const meta = { ...(JSON.parse(event.meta!) as JsonObject), policyDecision: toRecorded(decision) };
      return { ...event, meta: JSON.stringify(meta) };
    });
  }

  /** Whether the ledger still ends with the row that was the log's last when this transaction began. */
  #headsAgree(): boolean {
    const { head, torn } = this.#ledger.refresh();
    return !torn && head?.hash === this.#agreed?.hash;
  }

  /** Writes and syncs the lines of the rows that this transaction inserted, as the last step before COMMIT. */
  prepare(): void {
    if (this.#head()?.id === this.#agreed?.id) return;
    // The heads are compared again, also for the store's own events, because the caller's code has run since `permit`
    // and no line may follow lines that are not from this log.
    requirePermission(`append to ${this.#ledger.path}`, decideAppend([], undefined, this.#headsAgree()));
    const before = this.#ledger.end;
    this.#append(this.#agreed);
    this.#appended = { before, after: this.#ledger.end };
  }

  committed(): void {
    this.#isUntold = false;
  }

  /**
   * Removes the lines of a transaction whose COMMIT failed from the ledger, so that it did not happen. Bringing its
   * rows into the database instead would take the room that the COMMIT lacked.
   */
  takeBack(): Outcome {
    const appended = this.#appended;
    if (!appended) return 'undone';
    try {
      // The COMMIT that failed gave the write lock back.
      return this.#connection.locked(() => this.#takeBackLines(appended));
    } catch (error) {
      // The end of the file on the disk is unknown, and no other group may follow it, so the store stops.
      if (hasCode(error, 'ERR_STORE_IO')) this.#connection.stop(error as StoreError);
      return 'unknown';
    }
  }

  #takeBackLines({ before, after }: { before: End; after: End }): Outcome {
    const { id, hash } = after.head!;
    // Since the COMMIT failed, another process may have brought the lines into the database, and others behind them.
    if (this.#parts.log.hashAt(id) === hash) return this.#wroteOther ? 'unknown' : 'done';
    const { head, torn } = this.#ledger.refresh(true);
    const isLast = !torn && head?.hash === hash;
    if (!isLast || (this.#head()?.id ?? 0) > (this.#agreed?.id ?? 0)) return 'unknown';
    this.#ledger.takeBack(before);
    return 'undone';
  }

  carryOver(archivedId: number): void {
    const signer = signerOf(this.#connection);
    if (signer && signer.id <= archivedId) {
      const { publicKey, since } = signer;
      this.#recordOnce({ type: 'signing_started', publicKey, since }, `signing_started:${publicKey}:${archivedId}`);
    }
    carryBalances(this.#parts, archivedId);
  }

  async cutBehind(row: Anchor, signal: AbortSignal | undefined): Promise<void> {
    using temporary = TemporaryFile.beside(this.#ledger.path);
    using cut = new LedgerCut(this.#ledger, temporary.path);
    const [operation, what] = ['archiveAudits', `cut the ledger ${this.#ledger.path}`];
    const committed = async (): Promise<End> => {
      await writeInTurn(this.#connection, operation, what, () => void this.#ledger.refresh(true), signal);
      return this.#ledger.end;
    };
    if (!await cut.copy(row, committed, signal)) return;
    await writeInTurn(this.#connection, operation, what, () => {
      cut.place();
      this.#watchAnew();
      // Another process looks for the new file only after a commit of somebody else.
      for (let turn = 0; turn < 2; turn++) {
        this.#connection.run('UPDATE store_meta SET has_ledger = NOT has_ledger WHERE id = 1');
      }
    }, signal);
  }

  detach(): void {
    this.#parts.log.recordChange({ type: 'ledger_detached' });
    this.#connection.run('UPDATE store_meta SET has_ledger = 0, ledger_path = NULL WHERE id = 1');
  }

  end(): void {
    this.#connection.attendLast(undefined);
    this.#parts.watch.files.unwatch(this.#ledger.path);
    this.#parts.log.ledger = undefined;
    this.close();
  }

  close(): void {
    if (this.#isHeld) this.#ledger.letGo();
    this.#isHeld = false;
  }
}
