// Sessions: what every service would write around the core, written once. A session's time is charged once, whatever
// crashes and whatever the wall clock does.
import { randomUUID } from 'node:crypto';
import type { EventBase, SessionEndReason } from '../events.ts';
import { localDay } from '../days.ts';
import type { DayPart } from '../days.ts';
import { hasCode, StoreError } from '../errors.ts';
import type { SessionSnapshot } from '../snapshot-file.ts';
import { connect } from '../store.ts';
import type { ModuleConnection, SqliteStore } from '../store.ts';
import { checkDuration, checkInstant, checkInteger, checkOptions, checkText, invalid, quote } from '../values.ts';
import { countedSession, grownDays } from './sessions/days.ts';
import type { CountedSession } from './sessions/days.ts';

/** What a session is started with. Its id is a new UUID unless given; an id can be used once in the life of a store. */
export interface SessionStart {
  entryId: string;
  sessionId?: string;
  /** The entry's name for people; kept in the event only. */
  label?: string;
  /** When the session is to end at the latest. */
  deadline?: Date;
}

/** A session that has ended and what was charged for it: the parts are the days it ran on. */
export interface EndedSession {
  sessionId: string;
  entryId: string;
  reason: SessionEndReason;
  durationMs: number;
  charged: DayPart[];
  /** Parts whose day has a total that cannot be read or grow; the total was left as it is. */
  uncharged: DayPart[];
}

const reasonTypes: readonly string[] = [
  'expired', 'user_stop', 'admin_stop', 'policy_stop', 'service_shutdown', 'service_crashed', 'process_exited', 'launch_failed',
] satisfies SessionEndReason['type'][];

/** A copy of a reason that is as its type says; whether its text is one that JSON carries, the log finds out. */
function checkReason(given: SessionEndReason): SessionEndReason {
  const { type, exitCode, error } = checkOptions<{ type?: unknown; exitCode?: unknown; error?: unknown }>('reason', given, ['type', 'exitCode', 'error']);
  if (!reasonTypes.includes(type as string)) throw invalid('reason', given, `an object whose type is one of ${reasonTypes.join(', ')}`);
  if (exitCode !== undefined && type !== 'process_exited') throw invalid('reason.exitCode', exitCode, 'absent, but for process_exited');
  if (error !== undefined && type !== 'launch_failed') throw invalid('reason.error', error, 'absent, but for launch_failed');
  if (type === 'launch_failed') {
    if (typeof error !== 'string') throw invalid('reason.error', error, 'a string');
    return { type, error };
  }
  if (exitCode === undefined) return { type: type as 'expired' };
  return { type: 'process_exited', exitCode: checkInteger('reason.exitCode', exitCode, Number.MIN_SAFE_INTEGER) };
}

/** Which session this process started, and when by its forward-only clock. Everything else is in the store. */
interface Running {
  sessionId: string;
  startedMs: number;
}

/**
 * Runs the sessions of a store, one at a time. Each method is one transaction, durable on return. Elapsed time comes from
 * the store's forward-only clock (`monotonicMs`); the wall clock only names the days, in `timeZone` (an IANA name, by
 * default the system's zone): the time between two saves (`start`, `touch`, `end`) belongs to days that the wall clock named
 * between them, counted back from the later one. All methods throw what the store's writing methods throw.
 */
export class SessionTracker<E extends EventBase> {
  readonly #store: SqliteStore<E>;
  readonly #connection: ModuleConnection;
  readonly #timeZone: string | undefined;
  #running: Running | undefined;

  /** Throws `ERR_STORE_INVALID_ARGUMENT` for what is no store and for an unknown time zone. */
  constructor(store: SqliteStore<E>, options?: { timeZone?: string }) {
    const { timeZone } = checkOptions('options', options, ['timeZone']);
    if (timeZone !== undefined) localDay(new Date(0), timeZone);
    this.#store = store;
    this.#connection = connect(store);
    this.#timeZone = timeZone;
  }

  /** The session that this tracker runs, with the time elapsed until now; `undefined` where none is. */
  get active(): SessionSnapshot | undefined {
    return this.#stored();
  }

  /**
   * Starts a session: the event and the snapshot. Throws `ERR_STORE_CONFLICT` while another session is active, also one
   * that a crash left behind (`recover` ends it), and for a session id that was used before.
   */
  start(options: SessionStart): SessionSnapshot {
    const { entryId, sessionId = randomUUID(), label, deadline } = checkOptions('options', options, ['entryId', 'sessionId', 'label', 'deadline']);
    checkText('options.entryId', entryId);
    checkText('options.sessionId', sessionId);
    if (label !== undefined) checkText('options.label', label);
    const deadlineText = deadline === undefined ? undefined : checkInstant('options.deadline', deadline);
    const startedMs = this.#connection.monotonicMs();
    return this.#connection.write(`start a session of ${quote(entryId)}`, () => {
      const other = this.#store.loadSnapshot()?.activeSession;
      if (other && !this.#isEnded(other.sessionId)) throw new StoreError('ERR_STORE_CONFLICT', `failed to start a session of ${quote(entryId)}: session ${quote(other.sessionId)} of ${quote(other.entryId)} is active; after a crash, recover() ends it`);
      const startedAt = this.#connection.now();
      const started: SessionSnapshot = {
        sessionId, entryId, startedAt, ...(deadline ? { deadline: new Date(deadline) } : undefined), warningsIssued: [], elapsedMs: 0,
      };
      this.#store.appendAudit(
        { type: 'session_started', sessionId, entryId, ...(label === undefined ? undefined : { label }), ...(deadlineText === undefined ? undefined : { deadline: deadlineText }) },
        { eventId: `session_started:${sessionId}` },
      );
      this.#store.saveSnapshot({ timestamp: startedAt, activeSession: started });
      this.#running = { sessionId, startedMs };
      return started;
    });
  }

  /**
   * Saves the snapshot again: a crash can cost no more than the time since the last one, and where a machine sleeps over
   * midnight no more than that can get to the wrong day. `warningsIssued` replaces the thresholds, in whole seconds, of the
   * warnings shown so far. Throws `ERR_STORE_CONFLICT` where no session is active.
   */
  touch(options?: { warningsIssued?: readonly number[] }): void {
    const { warningsIssued } = checkOptions('options', options, ['warningsIssued']);
    if (warningsIssued !== undefined && !Array.isArray(warningsIssued)) throw invalid('options.warningsIssued', warningsIssued, 'an array of whole seconds');
    const warnings = warningsIssued && Array.from(warningsIssued, (secs, index) => checkInteger(`options.warningsIssued[${index}]`, secs, 0));
    this.#connection.write('touch the session', () => {
      const session = this.#mustBeActive('touch the session');
      this.#store.saveSnapshot({ timestamp: this.#connection.now(), activeSession: { ...session, ...(warnings ? { warningsIssued: warnings } : undefined) } });
    });
  }

  /**
   * Ends the session: its time goes to the days it ran on, as they were named while it did; with `cooldownMs` its entry's cooldown
   * lasts at least that long; the event has the duration; the snapshot is left without a session. Throws
   * `ERR_STORE_CONFLICT` where no session is active, or another process has ended it.
   */
  end(reason: SessionEndReason, options?: { cooldownMs?: number }): EndedSession {
    const { cooldownMs } = checkOptions('options', options, ['cooldownMs']);
    if (cooldownMs !== undefined) checkDuration('options.cooldownMs', cooldownMs);
    const checked = checkReason(reason);
    return this.#connection.write('end the session', () => {
      const session = this.#mustBeActive('end the session');
      if (cooldownMs !== undefined) {
        this.#extendCooldown(session.entryId, new Date(this.#connection.now().getTime() + cooldownMs));
      }
      return this.#finish(session, checked);
    });
  }

  /**
   * Ends the session that a crash left active, charged up to the last `start` or `touch` as it was saved there, with the
   * reason `service_crashed`; `undefined` where there is none. To be called once after each start of the service; again is
   * harmless. Throws `ERR_STORE_CONFLICT` while this tracker's own session runs, and `ERR_STORE_CORRUPT` where neither
   * copy of the snapshot can be read: `saveSnapshot` then begins anew.
   */
  recover(): EndedSession | undefined {
    return this.#connection.write('recover the session', () => {
      const own = this.#stored();
      if (own) throw new StoreError('ERR_STORE_CONFLICT', `failed to recover: session ${quote(own.sessionId)} is running`);
      const snapshot = this.#store.loadSnapshot();
      if (!snapshot?.activeSession) return undefined;
      const session = countedSession(snapshot.activeSession, snapshot.timestamp, this.#timeZone);
      // Where an older copy of the snapshot is all that is left, its session may long have been charged.
      if (!this.#isEnded(session.sessionId)) return this.#finish(session, { type: 'service_crashed' });
      this.#store.saveSnapshot({ timestamp: this.#connection.now() });
      return undefined;
    });
  }

  /**
   * Another process may have recovered or ended the session; a transaction around its start or end may have failed, or have
   * been carried forward by the ledger, which has no snapshots.
   */
  #stored(): CountedSession | undefined {
    const { activeSession, timestamp } = this.#store.loadSnapshot() ?? {};
    if (!this.#running || !timestamp || activeSession?.sessionId !== this.#running.sessionId) return undefined;
    if (this.#isEnded(activeSession.sessionId)) return undefined;
    const { days } = countedSession(activeSession, timestamp, this.#timeZone);
    const elapsedMs = Math.max(0, Math.floor(this.#connection.monotonicMs() - this.#running.startedMs));
    const wall = [timestamp, this.#connection.now()] as const;
    return { ...activeSession, elapsedMs, days: grownDays(days, elapsedMs, wall, this.#timeZone) };
  }

  #mustBeActive(what: string): CountedSession {
    const session = this.#stored();
    if (!session) throw new StoreError('ERR_STORE_CONFLICT', `failed to ${what}: this tracker has no active session, or another process has ended it`);
    return session;
  }

  /** Inside the transaction: charges the days and records the end. */
  #finish(session: CountedSession, reason: SessionEndReason): EndedSession {
    const { sessionId, entryId, elapsedMs: durationMs, days } = session;
    const ended: EndedSession = { sessionId, entryId, reason, durationMs, charged: [], uncharged: [] };
    for (const part of days) (this.#charge(entryId, part) ? ended.charged : ended.uncharged).push(part);
    const tags = ended.uncharged.map(({ day }) => `uncharged:${day}`);
    // The event id is unique: a session that has ended cannot be charged again.
    this.#store.appendAudit({ type: 'session_ended', sessionId, entryId, reason, durationMs }, { eventId: `session_ended:${sessionId}`, ...(tags.length > 0 ? { tags } : undefined) });
    this.#store.saveSnapshot({ timestamp: this.#connection.now() });
    return ended;
  }

  /** One look-up in the index of event ids, whatever the length of the log. */
  #isEnded(sessionId: string): boolean {
    const sql = "SELECT 1 FROM audit_log WHERE json_extract(event_meta, '$.eventId') = ? AND json_extract(event_meta, '$.eventId') IS NOT NULL";
    return this.#connection.read('look for the end of the session', () => this.#connection.prepare(sql).get(`session_ended:${sessionId}`) !== undefined);
  }

  /** A total that is damaged or full must not keep the session from ending: the service would crash at every start. */
  #charge(entryId: string, { day, durationMs }: DayPart): boolean {
    try {
      this.#store.addUsage(entryId, day, durationMs);
      return true;
    } catch (error) {
      if (hasCode(error, 'ERR_STORE_CORRUPT') || hasCode(error, 'ERR_STORE_INVALID_ARGUMENT')) return false;
      throw error;
    }
  }

  /** A longer cooldown that somebody else set stands; one that cannot be read stays, and fails closed when it is read. */
  #extendCooldown(entryId: string, until: Date): void {
    try {
      const current = this.#store.getCooldownUntil(entryId);
      if (current && current >= until) return;
    } catch (error) {
      if (hasCode(error, 'ERR_STORE_CORRUPT')) return;
      throw error;
    }
    this.#store.setCooldownUntil(entryId, until);
  }
}
