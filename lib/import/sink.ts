// Where the rows of a source go, each decided by itself: new, already there, or not to be taken.
import { types } from 'node:util';
import { StoreError } from '../errors.ts';
import { encodeOwnEvent } from '../events.ts';
import type { StoreEvent } from '../events.ts';
import type { ForeignState } from '../foreign-state.ts';
import { objectText } from '../json-text.ts';
import type { SessionSnapshot, StateSnapshot } from '../snapshot-file.ts';
import { connect } from '../store.ts';
import type { ModuleConnection, SqliteStore } from '../store.ts';
import { quote } from '../values.ts';
import type { JsonValue } from '../values.ts';
import { SettingWriter } from './settings.ts';
import type { TakenSetting } from './settings.ts';
import { countOf, TableWriter } from './tables.ts';
import type { Before, HasRow, RowCount, TargetRow } from './tables.ts';

/** How many rows of each kind; those of the modules' tables where the source is of a kind that has them. */
export interface ImportCounts extends Partial<Record<RowCount, number>> {
  events: number;
  usage: number;
  cooldowns: number;
  snapshots: number;
}

/** A row of the source that was not taken: its table, what names it there, and why. */
export interface SkippedRow {
  table: string;
  row: string;
  reason: string;
}

/** An event in this project's terms. */
export interface SourceEvent {
  /** Tells the row from every other, the same at each import: by it the row is recognised. */
  sourceRow: string;
  /** The event id that this package gives such an event where it has one; `sourceRow` otherwise. */
  eventId?: string;
  type: string;
  data: string;
  timestamp: string;
  /** What the source says and the event does not: goes into `event_meta`. */
  meta: Record<string, unknown>;
}

/** A state of the source's service. */
export interface SourceSnapshot extends ForeignState {
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
  /** A setting of the service. */
  setting(at: RowName, key: string, value: JsonValue): void;
  /** A row of a module's table. What names its run or plan unit has to come after that. */
  row(at: RowName, row: TargetRow): void;
  skip(at: RowName, reason: string): void;
}

/** Where a row stands. */
export type RowName = Omit<SkippedRow, 'reason'>;

/** A value as part of a row's name in a report. */
export function named(value: unknown): string {
  return types.isUint8Array(value) ? JSON.stringify(Buffer.from(value).toString()).slice(1, -1) : String(value);
}

/** Takes nothing: for the walk that only finds out whether the source can be read to its end. */
export const nowhere: Sink = { event() {}, usage() {}, cooldown() {}, snapshot() {}, setting() {}, row() {}, skip() {} };

type Taken = Extract<StoreEvent, { type: 'store_import_taken' }>;
type Page = Required<Pick<Taken, 'usage' | 'cooldowns' | 'snapshots' | 'settings' | 'rows' | 'things'>>;
const emptyPage = (): Page => ({ usage: [], cooldowns: [], snapshots: [], settings: [], rows: [], things: [] });

// A page of what was taken is one event: small enough that whoever lists the newest events does not read years of usage.
const pageRows = 500;

/**
 * Takes rows into a store, inside its transaction. Usage, cooldowns, the snapshot and the rows of the modules' tables change
 * after they were taken, so what was taken of each is recorded in the log (`store_import_taken`) and a later import of the
 * same source, grown meanwhile, adds only the difference: a comparison with the store's own total could not tell the
 * source's seconds from those the store has counted itself since, nor what is new from what was deleted here. Of a row that
 * lasts it is recorded twice: what it held, and which thing it was, by which it is known after it has changed.
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
  readonly #before: Before = { rows: new Set(), things: new Set() };
  readonly #tables: TableWriter;
  readonly #settings: SettingWriter;
  #pages = 0;
  #page = emptyPage();

  constructor(store: SqliteStore, sourceId: string, tables: readonly TargetRow['table'][] = [], hasNow: HasRow = () => false) {
    this.#store = store;
    this.#connection = connect(store);
    this.#sourceId = sourceId;
    this.#tables = new TableWriter(this.#connection, this.#before, hasNow);
    const counts = { events: 0, usage: 0, cooldowns: 0, snapshots: 0, ...Object.fromEntries(tables.map((table) => [countOf(table), 0])) };
    this.taken = { ...counts };
    this.alreadyThere = { ...counts };
    const takenSettings: TakenSetting[] = [];
    for (let data = this.#takenPage(); data !== undefined; data = this.#takenPage()) {
      const { usage, cooldowns, snapshots, settings = [], rows = [], things = [] } = JSON.parse(data) as Taken;
      for (const [entryId, day, durationMs] of usage) this.#usage.set(usageKey(entryId, day), durationMs);
      for (const [entryId, until] of cooldowns) this.#cooldowns.set(entryId, Date.parse(until));
      for (const identity of snapshots) this.#snapshots.add(identity);
      takenSettings.push(...settings);
      for (const print of rows) this.#before.rows.add(print);
      for (const thing of things) this.#before.things.add(thing);
      this.#pages++;
    }
    this.#settings = new SettingWriter(store, takenSettings);
  }

  #takenPage(): string | undefined {
    return this.#byEventId('event_data', this.#pageId())?.[0] as string | undefined;
  }

  #pageId(): string {
    return `store_import_taken:${this.#sourceId}:${this.#pages}`;
  }

  /** By the index of event ids, whatever the length of the log. */
  #byEventId(columns: string, eventId: string): unknown[] | undefined {
    const sql = `SELECT ${columns} FROM audit_log WHERE json_extract(event_meta, '$.eventId') = ? AND json_extract(event_meta, '$.eventId') IS NOT NULL`;
    return this.#connection.prepare(sql).get(eventId) as unknown[] | undefined;
  }

  event({ sourceRow, eventId = sourceRow, type, data, timestamp, meta }: SourceEvent): void {
    // The store itself, or another row of the source, may have given its event id to an event of its own.
    for (const id of eventId === sourceRow ? [eventId] : [eventId, sourceRow]) {
      const found = this.#byEventId("coalesce(json_extract(event_meta, '$.sourceRow'), json_extract(event_meta, '$.eventId'))", id);
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
      // One that was taken before may have been cleared here since: it does not come back.
      const known = Math.max(this.#cooldowns.get(entryId) ?? -Infinity, this.#store.getCooldownUntil(entryId)?.getTime() ?? -Infinity);
      if (until.getTime() <= known) {
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
    // What a source has forgotten of its own sessions is its affair.
    const session = own?.activeSession;
    if (session && !this.#isImported(session)) this.#refuseToForget(session, state, 'the store has it');
    this.#store.saveSnapshot(state);
    if (unknown.size > 0) this.#keep(at, unknown);
    this.#snapshots.add(identity);
    this.#page.snapshots.push(identity);
    this.taken.snapshots++;
  }

  /** Throws where a running session would be in neither state any more: its time would be charged to nobody. */
  #refuseToForget(session: SessionSnapshot | undefined, remaining: StateSnapshot, why: string): void {
    if (!session || remaining.activeSession?.sessionId === session.sessionId) return;
    if (this.#byEventId('1', `session_ended:${session.sessionId}`)) return;
    const { sessionId, entryId } = session;
    const message = `the session ${quote(sessionId)} of ${quote(entryId)} has not ended, and ${why}`;
    throw new StoreError('ERR_STORE_INVALID_ARGUMENT', message);
  }

  /** Whether the start of a session came from a source. */
  #isImported({ sessionId }: SessionSnapshot): boolean {
    const found = this.#byEventId("json_extract(event_meta, '$.sourceRow')", `session_started:${sessionId}`);
    return found !== undefined && found[0] !== null;
  }

  /** The event that has what a state has no place for, in the source's own text. */
  #keep({ table, row }: RowName, fields: ReadonlyMap<string, string>): void {
    const texts = Object.entries({ sourceId: this.#sourceId, table, row });
    const members = new Map(texts.map(([name, text]) => [name, JSON.stringify(text)]));
    members.set('fields', objectText(fields));
    this.#connection.appendAudit({ type: 'store_import_kept', data: objectText(members), meta: null });
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
      const { became, print, thing } = this.#tables.take(row, (table, id) => this.#skippedNames.has(`${table} ${JSON.stringify(id).slice(1, -1)}`));
      if (became === 'left') return;
      const counts = became === 'taken' ? this.taken : this.alreadyThere;
      counts[countOf(row.table)]!++;
      if (print !== undefined) this.#page.rows.push(print);
      if (thing !== undefined) this.#page.things.push(thing);
    });
  }

  skip(at: RowName, reason: string): void {
    this.skipped.push({ ...at, reason });
    this.#skippedNames.add(`${at.table} ${at.row}`);
  }

  /** A row that does not go together with what this store holds, such as a damaged total, is listed; a failing disk ends it all. */
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
    const event: Taken = { type: 'store_import_taken', sourceId: this.#sourceId, usage, cooldowns, snapshots, ...filled };
    this.#connection.appendAudit({ ...encodeOwnEvent(event), meta: JSON.stringify({ eventId: this.#pageId() }) });
    this.#pages++;
    this.#page = emptyPage();
  }

  /** Records what was taken. Writes nothing where nothing was. */
  finish(kind: string, from: string): void {
    if (this.#pageLength() > 0) this.#writePage();
    if (Object.values(this.taken).every((count) => count === 0)) return;
    const event: StoreEvent = { type: 'store_imported', kind, from, sourceId: this.#sourceId, ...this.taken, skipped: this.skipped.length };
    this.#connection.appendAudit(encodeOwnEvent(event));
  }
}

const refusals: readonly string[] = ['ERR_STORE_INVALID_ARGUMENT', 'ERR_STORE_SERIALIZATION', 'ERR_STORE_CORRUPT'];

/** Whether an error is about one value. (A damaged page has the last of these codes too; SQLite then refuses to commit.) */
export function isRefusal(error: unknown): error is StoreError {
  return error instanceof StoreError && refusals.includes(error.code);
}

function usageKey(entryId: string, day: string): string {
  return `${day} ${entryId}`;
}
