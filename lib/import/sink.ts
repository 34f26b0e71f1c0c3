// Takes the rows of a source into a store. Each row is decided by itself: it is new, already there, or not to be taken.
import { types } from 'node:util';
import type { ModuleConnection } from '../core/door.ts';
import { encodeChecked } from '../core/events.ts';
import type { SessionSnapshot, StateSnapshot } from '../core/state.ts';
import type { ForeignState } from '../migrate/foreign-state.ts';
import { connect, type SqliteStore } from '../store.ts';
import { quote } from '../values/checks.ts';
import { StoreError } from '../values/errors.ts';
import { objectText } from '../values/json-text.ts';
import type { JsonObject, JsonValue } from '../values/json.ts';
import { LimitWriter, type SourceOverride, type TakenBalance, type TakenOverride } from './limits.ts';
import { SettingWriter, type TakenSetting } from './settings.ts';
import {
  type Before, type CountedTable, countOf, type HasRow, type RowCount, TableWriter, type TargetRow,
} from './tables.ts';

/**
 * The events that an import appends to the audit log; `appendAudit` refuses their types to everybody else.
 * `store_import_kept` keeps what the snapshot of a source had and a state has no place for; `store_import_taken` keeps
 * what was taken of a source's totals and rows, so that its next import adds only what has grown since.
 */
export type ImportEvent =
  | {
      type: 'store_imported'; kind: string; from: string; sourceId: string; events: number; usage: number;
      cooldowns: number; snapshots: number; skipped: number; runs?: number; planUnits?: number; runEvents?: number;
      resourceStates?: number; facts?: number; projects?: number; taskHistory?: number; assignedTasks?: number;
      runRecords?: number; overrides?: number; balances?: number;
    }
  | { type: 'store_import_kept'; sourceId: string; table: string; row: string; fields: JsonObject }
  | {
      type: 'store_import_taken'; sourceId: string; usage: [entryId: string, day: string, durationMs: number][];
      cooldowns: [entryId: string, until: string][]; snapshots: string[]; settings?: [key: string, valueHash: string][];
      rows?: string[]; things?: string[]; overrides?: TakenOverride[]; balances?: TakenBalance[];
    };

/** How many rows there were of each kind; of a module's table, or of limits, only where such a source has them. */
export interface ImportCounts extends Partial<Record<RowCount, number>> {
  events: number;
  usage: number;
  cooldowns: number;
  snapshots: number;
}

/** A row of the source that was not taken: its table, what names it there, and the reason. */
export interface SkippedRow {
  table: string;
  row: string;
  reason: string;
}

/** An event in this project's terms. */
export interface SourceEvent {
  /** Tells the row from every other. It is the same at each import, so that the row is recognised by it. */
  sourceRow: string;
  /** The event id that this package gives such an event, if it gives one; otherwise `sourceRow` is the event id. */
  eventId?: string;
  type: string;
  data: string;
  timestamp: string;
  /** What the source says beside the fields of the event, for `event_meta`. */
  meta: Record<string, unknown>;
}

/** A state of the source's service. */
interface SourceSnapshot extends ForeignState {
  /** Tells this state from others of the source. */
  identity: string;
}

/** What a kind of source hands its rows to. */
export interface Sink {
  event(event: SourceEvent): void;
  /** The source's own total of a day. */
  usage(at: RowName, entryId: string, day: string, durationMs: number): void;
  cooldown(at: RowName, entryId: string, until: Date): void;
  snapshot(at: RowName, snapshot: SourceSnapshot): void;
  /** The source's own override of a day. */
  override(at: RowName, override: SourceOverride): void;
  /** The source's own balance. */
  balance(at: RowName, subject: string, balanceMs: number): void;
  /** A setting of the service. */
  setting(at: RowName, key: string, value: JsonValue): void;
  /** A row of a module's table. A row that names a run or plan unit has to come after that run or unit. */
  row(at: RowName, row: TargetRow): void;
  skip(at: RowName, reason: string): void;
}

/** The table and the name of a row. */
export type RowName = Omit<SkippedRow, 'reason'>;

/** Gives a value as part of a row's name in a report. */
export function named(value: unknown): string {
  return types.isUint8Array(value) ? JSON.stringify(Buffer.from(value).toString()).slice(1, -1) : String(value);
}

/** A sink that takes nothing, for the walk that only finds out whether the source can be read to its end. */
export const nowhere: Sink = {
  event() {}, usage() {}, cooldown() {}, snapshot() {}, override() {}, balance() {}, setting() {}, row() {}, skip() {},
};

type Taken = Extract<ImportEvent, { type: 'store_import_taken' }>;
type Page = Required<Omit<Taken, 'type' | 'sourceId'>>;
const emptyPage = (): Page => ({
  usage: [], cooldowns: [], snapshots: [], settings: [], rows: [], things: [], overrides: [], balances: [],
});

// A page of what was taken is one event. It is small enough that listing the newest events does not read years of
// usage.
const pageRows = 500;

/**
 * Takes rows into a store, inside its transaction. Usage, cooldowns, limits, the snapshot and the rows of the modules'
 * tables change after they were taken, so what was taken of each is recorded in the log (`store_import_taken`) and a
 * later import of the same source, grown meanwhile, adds only the difference: a comparison with the store's own total
 * could not tell the source's seconds from those that the store has counted itself since, nor what is new from what was
 * deleted here. Of a lasting row two fingerprints are recorded: that of what it held, and that of what it is about, by
 * which the row is known after it has changed.
 */
export class TakingSink implements Sink {
  readonly taken: ImportCounts;
  readonly alreadyThere: ImportCounts;
  readonly skipped: SkippedRow[] = [];
  readonly #skippedNames = new Set<string>();
  readonly #store: SqliteStore;
  readonly #connection: ModuleConnection;
  readonly #sourceId: string;
  /** What earlier imports took of this source. */
  readonly #usage = new Map<string, number>();
  readonly #cooldowns = new Map<string, number>();
  readonly #snapshots = new Set<string>();
  readonly #before: Before = { rowFingerprints: new Set(), identityFingerprints: new Set() };
  readonly #tables: TableWriter;
  readonly #settings: SettingWriter;
  readonly #limits: LimitWriter;
  #pages = 0;
  #page = emptyPage();

  constructor(store: SqliteStore, sourceId: string, tables: readonly CountedTable[], hasNow: HasRow) {
    this.#store = store;
    this.#connection = connect(store);
    this.#checkWhole();
    this.#sourceId = sourceId;
    this.#tables = new TableWriter(this.#connection, this.#before, hasNow);
    this.#limits = new LimitWriter(store);
    const tableCounts = Object.fromEntries(tables.map((table) => [countOf(table), 0]));
    const counts = { events: 0, usage: 0, cooldowns: 0, snapshots: 0, ...tableCounts };
    this.taken = { ...counts };
    this.alreadyThere = { ...counts };
    const takenSettings: TakenSetting[] = [];
    for (let data = this.#takenPage(); data !== undefined; data = this.#takenPage()) {
      const taken = JSON.parse(data) as Taken;
      const { usage, cooldowns, snapshots, settings = [], rows = [], things = [] } = taken;
      this.#limits.remember(taken.overrides ?? [], taken.balances ?? []);
      for (const [entryId, day, durationMs] of usage) this.#usage.set(usageKey(entryId, day), durationMs);
      for (const [entryId, until] of cooldowns) this.#cooldowns.set(entryId, Date.parse(until));
      for (const identity of snapshots) this.#snapshots.add(identity);
      takenSettings.push(...settings);
      for (const rowFingerprint of rows) this.#before.rowFingerprints.add(rowFingerprint);
      for (const identityFingerprint of things) this.#before.identityFingerprints.add(identityFingerprint);
      this.#pages++;
    }
    this.#settings = new SettingWriter(store, takenSettings);
  }

  /**
   * Refuses a log that was shortened: what an earlier import took would be taken a second time, and charged, because
   * the events that tell of it are in an archive.
   */
  #checkWhole(): void {
    const { id } = this.#connection.parts.log.beginning();
    if (id === 0) return;
    const why = `rows up to ${id} are in an archive, and with them what earlier imports have taken`;
    throw new StoreError('ERR_STORE_CONFLICT', `${why}; a store takes another one over before its log is shortened`);
  }

  /** Reads the next page of what earlier imports took. */
  #takenPage(): string | undefined {
    return this.#byEventId('event_data', this.#pageId())?.[0] as string | undefined;
  }

  #pageId(): string {
    return `store_import_taken:${this.#sourceId}:${this.#pages}`;
  }

  /** Reads a row of the log by the index of event ids, which takes no longer in a long log. */
  #byEventId(columns: string, eventId: string): unknown[] | undefined {
    const sql = `SELECT ${columns} FROM audit_log
      WHERE json_extract(event_meta, '$.eventId') = ? AND json_extract(event_meta, '$.eventId') IS NOT NULL`;
    return this.#connection.prepare(sql).get(eventId) as unknown[] | undefined;
  }

  event({ sourceRow, eventId = sourceRow, type, data, timestamp, meta }: SourceEvent): void {
    const column = "coalesce(json_extract(event_meta, '$.sourceRow'), json_extract(event_meta, '$.eventId'))";
    // An event of the store's own, or of another row of the source, may have the event id already.
    for (const id of eventId === sourceRow ? [eventId] : [eventId, sourceRow]) {
      const found = this.#byEventId(column, id);
      if (found?.[0] === sourceRow) {
        this.alreadyThere.events++;
        return;
      }
      if (found) continue;
      const eventMeta = JSON.stringify({ eventId: id, ...(id === sourceRow ? undefined : { sourceRow }), ...meta });
      this.#connection.appendAudit({ type, data, meta: eventMeta }, timestamp);
      this.taken.events++;
      return;
    }
    throw new StoreError('ERR_STORE_CONFLICT', `another event has the id ${sourceRow}`);
  }

  usage(at: RowName, entryId: string, day: string, durationMs: number): void {
    const key = usageKey(entryId, day);
    const addedMs = durationMs - (this.#usage.get(key) ?? 0);
    if (addedMs <= 0) {
      this.alreadyThere.usage++;
      return;
    }
    this.#unlessRefused(at, () => {
      this.#store.addUsage(entryId, day, addedMs);
      this.#usage.set(key, durationMs);
      this.#page.usage.push([entryId, day, durationMs]);
      this.taken.usage++;
    });
  }

  cooldown(at: RowName, entryId: string, until: Date): void {
    this.#unlessRefused(at, () => {
      // A cooldown that was taken before may have been cleared here since, and then does not come back.
      const takenMs = this.#cooldowns.get(entryId) ?? -Infinity;
      const storedMs = this.#store.getCooldownUntil(entryId)?.getTime() ?? -Infinity;
      if (until.getTime() <= Math.max(takenMs, storedMs)) {
        this.alreadyThere.cooldowns++;
        return;
      }
      this.#store.setCooldownUntil(entryId, until);
      this.#cooldowns.set(entryId, until.getTime());
      this.#page.cooldowns.push([entryId, until.toISOString()]);
      this.taken.cooldowns++;
    });
  }

  snapshot(at: RowName, snapshot: SourceSnapshot): void {
    this.#unlessRefused(at, () => this.#takeSnapshot(at, snapshot));
    const isKept = this.#snapshots.has(snapshot.identity);
    const why = `a state has no place for it${isKept ? '; the event store_import_kept has its value' : ''}`;
    for (const path of snapshot.unknown.keys()) this.skip({ ...at, row: `${at.row} ${named(Buffer.from(path))}` }, why);
  }

  #takeSnapshot(at: RowName, { identity, state, unknown }: SourceSnapshot): void {
    const own = this.#store.loadSnapshot();
    const isKnown = this.#snapshots.has(identity);
    if (isKnown || (own && own.timestamp >= state.timestamp)) {
      if (!isKnown) this.#refuseToForget(state.activeSession, own!, 'the store has a later state without it');
      this.alreadyThere.snapshots++;
      return;
    }
    // A session that came from the source may be missing in its later state: the source decides about its own sessions.
    const session = own?.activeSession;
    if (session && !this.#isImported(session)) this.#refuseToForget(session, state, 'the store has it');
    this.#store.saveSnapshot(state);
    if (unknown.size > 0) this.#keep(at, unknown);
    this.#snapshots.add(identity);
    this.#page.snapshots.push(identity);
    this.taken.snapshots++;
  }

  /** Throws where a running session would be in no state any more, because its time would be charged to nobody. */
  #refuseToForget(session: SessionSnapshot | undefined, remaining: StateSnapshot, why: string): void {
    if (!session || remaining.activeSession?.sessionId === session.sessionId) return;
    if (this.#byEventId('1', `session_ended:${session.sessionId}`)) return;
    const { sessionId, entryId } = session;
    const message = `the session ${quote(sessionId)} of ${quote(entryId)} has not ended, and ${why}`;
    throw new StoreError('ERR_STORE_INVALID_ARGUMENT', message);
  }

  /** Whether the start of a session was imported. */
  #isImported({ sessionId }: SessionSnapshot): boolean {
    const found = this.#byEventId("json_extract(event_meta, '$.sourceRow')", `session_started:${sessionId}`);
    return found !== undefined && found[0] !== null;
  }

  /** Appends an event with what a state has no place for, in the source's own text. */
  #keep({ table, row }: RowName, fields: ReadonlyMap<string, string>): void {
    const texts = Object.entries({ sourceId: this.#sourceId, table, row });
    const members = new Map(texts.map(([name, text]) => [name, JSON.stringify(text)]));
    members.set('fields', objectText(fields));
    this.#connection.appendAudit({ type: 'store_import_kept', data: objectText(members), meta: null });
  }

  override(at: RowName, override: SourceOverride): void {
    this.#unlessRefused(at, () => {
      const { isTaken, record } = this.#limits.takeOverride(override);
      (isTaken ? this.taken : this.alreadyThere).overrides!++;
      if (record) this.#page.overrides.push(record);
    });
  }

  balance(at: RowName, subject: string, balanceMs: number): void {
    this.#unlessRefused(at, () => {
      const { isTaken, record } = this.#limits.takeBalance(subject, balanceMs);
      (isTaken ? this.taken : this.alreadyThere).balances!++;
      if (record) this.#page.balances.push(record);
    });
  }

  setting(at: RowName, key: string, value: JsonValue): void {
    this.#unlessRefused(at, () => {
      const { isTaken, record } = this.#settings.take(key, value);
      (isTaken ? this.taken : this.alreadyThere).facts!++;
      if (record) this.#page.settings.push(record);
    });
  }

  row(at: RowName, row: TargetRow): void {
    this.#unlessRefused(at, () => {
      const isSkipped = (table: string, id: string): boolean => {
        return this.#skippedNames.has(`${table} ${JSON.stringify(id).slice(1, -1)}`);
      };
      const { became, rowFingerprint, identityFingerprint } = this.#tables.take(row, isSkipped);
      if (became === 'left') return;
      const counts = became === 'taken' ? this.taken : this.alreadyThere;
      counts[countOf(row.table)]!++;
      if (rowFingerprint !== undefined) this.#page.rows.push(rowFingerprint);
      if (identityFingerprint !== undefined) this.#page.things.push(identityFingerprint);
    });
  }

  skip(at: RowName, reason: string): void {
    this.skipped.push({ ...at, reason });
    this.#skippedNames.add(`${at.table} ${at.row}`);
  }

  /**
   * Takes a row, and lists it as skipped where this store holds something that refuses it, such as a damaged total. Any
   * other error, such as a failing disk, ends the import.
   */
  #unlessRefused(at: RowName, take: () => void): void {
    try {
      take();
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.skip(at, error.message);
    }
    if (this.#pageLength() >= pageRows) this.#writePage();
  }

  #pageLength(): number {
    return Object.values(this.#page).reduce((sum, list) => sum + list.length, 0);
  }

  #writePage(): void {
    const { usage, cooldowns, snapshots, ...others } = this.#page;
    const filled = Object.fromEntries(Object.entries(others).filter(([, list]) => list.length > 0));
    const sourceId = this.#sourceId;
    const event: Taken = { type: 'store_import_taken', sourceId, usage, cooldowns, snapshots, ...filled };
    this.#connection.appendAudit({ ...encodeChecked(event), meta: JSON.stringify({ eventId: this.#pageId() }) });
    this.#pages++;
    this.#page = emptyPage();
  }

  /** Records what was taken. Writes nothing where nothing was taken. */
  finish(kind: string, from: string): void {
    if (this.#pageLength() > 0) this.#writePage();
    if (Object.values(this.taken).every((count) => count === 0)) return;
    const [sourceId, skipped] = [this.#sourceId, this.skipped.length];
    const event: ImportEvent = { type: 'store_imported', kind, from, sourceId, ...this.taken, skipped };
    this.#connection.appendAudit(encodeChecked(event));
  }
}

const refusals: readonly string[] = ['ERR_STORE_INVALID_ARGUMENT', 'ERR_STORE_SERIALIZATION', 'ERR_STORE_CORRUPT'];

/** Whether an error is about one value. A damaged page has such a code too, but SQLite then refuses to commit. */
export function isRefusal(error: unknown): error is StoreError {
  return error instanceof StoreError && refusals.includes(error.code);
}

function usageKey(entryId: string, day: string): string {
  return `${day} ${entryId}`;
}
