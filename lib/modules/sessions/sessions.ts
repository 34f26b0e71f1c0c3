// Sessions: what every service would write around the core, written once. A session's time is charged once, whatever
// crashes and whatever the wall clock does.
import { randomUUID } from 'node:crypto';
import type { ModuleConnection } from '../../core/door.ts';
import type { SessionEndReason } from '../../core/events.ts';
import type { SessionSnapshot } from '../../core/state.ts';
import { connect, type SqliteStore } from '../../store.ts';
import {
  askClock, checkArray, checkCount, checkDuration, checkFunction, checkInstant, checkInteger, checkOptionalText,
  checkOptions, checkText, invalid, quote,
} from '../../values/checks.ts';
import { type DayPart, localDay } from '../../values/days.ts';
import { hasCode, StoreError } from '../../values/errors.ts';
import { countedSession, type CountedSession, grownDays } from '../session-days.ts';

/**
 * What a session is started with. Its id is a new UUID unless given. An id can be used once for as long as the events
 * of its session are in the database; once they went into an archive (`shepherd-store/archive`) it is forgotten.
 */
export interface SessionStart {
  entryId: string;
  sessionId?: string | undefined;
  /** The entry's name for people; only the event keeps it. */
  label?: string | undefined;
  /**
   * When the session is to end at the latest: the `deadline` of what `evaluate` of `shepherd-store/limits` gave, which
   * has none where nothing limits the session. It is recorded and not enforced: the tracker has no timer.
   */
  deadline?: Date | undefined;
  /**
   * The subject whose balance the session spends: the `balance` of what `evaluate` gave. The end of the session takes
   * its time off that balance.
   */
  balance?: string | undefined;
}

/** A session that has ended, and the time of each day it ran on. */
export interface EndedSession {
  sessionId: string;
  entryId: string;
  reason: SessionEndReason;
  durationMs: number;
  /** Parts that were added to the entry's usage. */
  charged: DayPart[];
  /** Parts whose day has a total that cannot be read or grow; the total was left as it is. */
  uncharged: DayPart[];
  /**
   * What was taken off the balance that the session spends: its duration, or less where the balance had less, and
   * nothing where the balance cannot be read. Absent where the session spends none.
   */
  spentMs?: number;
}

const reasonTypes: readonly string[] = [
  'expired', 'user_stop', 'admin_stop', 'policy_stop', 'service_shutdown', 'service_crashed', 'process_exited',
  'launch_failed',
] satisfies SessionEndReason['type'][];

/** Gives a copy of a reason that has the fields of its type. That JSON carries its text is checked with the event. */
function checkReason(given: SessionEndReason): SessionEndReason {
  type Fields = { type?: unknown; exitCode?: unknown; error?: unknown };
  const { type, exitCode, error } = checkOptions<Fields>('reason', given, ['type', 'exitCode', 'error']);
  if (!reasonTypes.includes(type as string)) {
    throw invalid('reason', given, `an object whose type is one of ${reasonTypes.join(', ')}`);
  }
  if (exitCode !== undefined && type !== 'process_exited') {
    throw invalid('reason.exitCode', exitCode, 'absent, but for process_exited');
  }
  if (error !== undefined && type !== 'launch_failed') {
    throw invalid('reason.error', error, 'absent, but for launch_failed');
  }
  if (type === 'launch_failed') {
    if (typeof error !== 'string') throw invalid('reason.error', error, 'a string');
    return { type, error };
  }
  if (exitCode === undefined) return { type: type as 'expired' };
  return { type: 'process_exited', exitCode: checkInteger('reason.exitCode', exitCode, Number.MIN_SAFE_INTEGER) };
}

/** The cooldown that a session is to be ended with. */
function checkCooldown(options: { cooldownMs?: number | undefined } | undefined): number | undefined {
  const { cooldownMs } = checkOptions('options', options, ['cooldownMs']);
  return cooldownMs === undefined ? undefined : checkDuration('options.cooldownMs', cooldownMs);
}

/**
 * Runs the sessions of a store, one at a time. Each method is one transaction, durable on return. Elapsed time comes
 * from a clock that only goes forward (`monotonicMs`); the wall clock only names the days, in `timeZone` (an IANA name,
 * by default the system's zone): the time between two saves (`start`, `touch`, `extend`, `end`) belongs to days that
 * the wall clock named between them, counted back from the later save. Its methods may be part of a `transaction`: if
 * that is undone, so is what they did. All methods throw what the store's writing methods throw.
 */
export class SessionTracker {
  readonly #store: SqliteStore;
  readonly #connection: ModuleConnection;
  readonly #timeZone: string | undefined;
  readonly #monotonicMs: () => number;
  /**
   * When this tracker started its session, by the forward-only clock and by the session's id. Everything else is in the
   * store. Sessions that the open transaction has ended stay here, because they run on where it is undone.
   */
  #startedMs = new Map<string, number>();

  /**
   * `monotonicMs`: a clock that only goes forward, in milliseconds; `performance.now` by default. Throws
   * `ERR_STORE_INVALID_ARGUMENT` for what is no store and for an unknown time zone.
   */
  constructor(
    store: SqliteStore, options?: { timeZone?: string | undefined; monotonicMs?: (() => number) | undefined },
  ) {
    const { timeZone, monotonicMs } = checkOptions('options', options, ['timeZone', 'monotonicMs']);
    if (timeZone !== undefined) localDay(new Date(0), timeZone);
    this.#store = store;
    this.#connection = connect(store);
    this.#timeZone = timeZone;
    this.#monotonicMs = checkFunction('options.monotonicMs', monotonicMs) ?? ((): number => performance.now());
  }

  #readMonotonic(): number {
    const reading = askClock('options.monotonicMs', this.#monotonicMs);
    if (!Number.isFinite(reading)) throw invalid('what options.monotonicMs gives', reading, 'a number of milliseconds');
    return reading;
  }

  /**
   * The session that this tracker runs, with the time elapsed until now; `undefined` where it runs none. It becomes
   * `undefined` when another process has ended the session; only `touch` and `end` throw.
   */
  get active(): SessionSnapshot | undefined {
    return this.#stored();
  }

  /**
   * Starts a session: appends the event and saves the snapshot. Whether the entry may start is not asked: `evaluate`
   * says that. Throws `ERR_STORE_CONFLICT` while another session is active, also one that a crash left behind
   * (`recover` ends it), and for a session id that was used before and whose events no archive has taken. No session
   * is charged twice for that: a snapshot from before the archived part of the log is not recovered.
   */
  start(options: SessionStart): SessionSnapshot {
    const names = ['entryId', 'sessionId', 'label', 'deadline', 'balance'];
    const { entryId, sessionId = randomUUID(), label, deadline, balance } = checkOptions('options', options, names);
    checkText('options.entryId', entryId);
    checkText('options.sessionId', sessionId);
    checkOptionalText('options.label', label);
    const deadlineText = deadline === undefined ? undefined : checkInstant('options.deadline', deadline);
    checkOptionalText('options.balance', balance);
    const startedMs = this.#readMonotonic();
    const what = `start a session of ${quote(entryId)}`;
    return this.#connection.write('SessionTracker.start', what, () => {
      const other = this.#store.loadSnapshot()?.activeSession;
      if (other && !this.#isEnded(other.sessionId)) {
        const why = `session ${quote(other.sessionId)} of ${quote(other.entryId)} is active`;
        throw new StoreError('ERR_STORE_CONFLICT', `failed to ${what}: ${why}; after a crash, recover() ends it`);
      }
      const startedAt = this.#connection.now();
      const started: SessionSnapshot = {
        sessionId, entryId, startedAt, ...(deadline ? { deadline: new Date(deadline) } : undefined),
        warningsIssued: [], elapsedMs: 0, ...(balance === undefined ? undefined : { balance }),
      };
      this.#store.appendAudit(
        { type: 'session_started', sessionId, entryId, label, deadline: deadlineText, balance },
        { eventId: `session_started:${sessionId}` },
      );
      this.#store.saveSnapshot({ timestamp: startedAt, activeSession: started });
      this.#startedMs.set(sessionId, startedMs);
      return started;
    });
  }

  /**
   * Saves the snapshot again: a crash can cost no more than the time since the last save, and where a machine sleeps
   * over midnight no more than that time can get to the wrong day. `warningsIssued` replaces the list of the warnings
   * shown so far, each named by its threshold in whole seconds; it writes no `warning_issued` event. Throws
   * `ERR_STORE_CONFLICT` where no session is active.
   */
  touch(options?: { warningsIssued?: readonly number[] | undefined }): void {
    const { warningsIssued } = checkOptions('options', options, ['warningsIssued']);
    const warnings = warningsIssued === undefined ? undefined
      : checkArray('options.warningsIssued', warningsIssued, 'an array of whole seconds', checkCount);
    this.#connection.write('SessionTracker.touch', 'touch the session', () => {
      const session = this.#mustBeActive('touch the session');
      const activeSession = { ...session, ...(warnings ? { warningsIssued: warnings } : undefined) };
      this.#store.saveSnapshot({ timestamp: this.#connection.now(), activeSession });
    });
  }

  /**
   * Sets the deadline of the running session, later or earlier than it was: appends the event and saves the snapshot as
   * `touch` does. The warnings that were shown stay listed, although with a later deadline they may be due again. Gives
   * the session. Throws `ERR_STORE_CONFLICT` where no session is active.
   */
  extend(options: { deadline: Date }): SessionSnapshot {
    const { deadline } = checkOptions('options', options, ['deadline']);
    const deadlineText = checkInstant('options.deadline', deadline);
    return this.#connection.write('SessionTracker.extend', 'extend the session', () => {
      const session = this.#mustBeActive('extend the session');
      const { sessionId, entryId } = session;
      const activeSession = { ...session, deadline: new Date(deadlineText) };
      this.#store.appendAudit({ type: 'session_extended', sessionId, entryId, deadline: deadlineText });
      this.#store.saveSnapshot({ timestamp: this.#connection.now(), activeSession });
      return activeSession;
    });
  }

  /**
   * Ends the session: adds its time to its entry's usage on the days that the clock named while it ran, and takes it
   * off the balance that the session spends; with `cooldownMs` makes the entry's cooldown last at least that long;
   * appends the event with the duration; saves the snapshot without a session. Throws `ERR_STORE_CONFLICT` where no
   * session is active, or it was ended by another process or by an earlier call whose result was unknown.
   */
  end(reason: SessionEndReason, options?: { cooldownMs?: number | undefined }): EndedSession {
    const cooldownMs = checkCooldown(options);
    const checked = checkReason(reason);
    return this.#connection.write('SessionTracker.end', 'end the session', () => {
      return this.#finish(this.#mustBeActive('end the session'), checked, cooldownMs);
    });
  }

  /**
   * Ends the session that a crash left active, with the reason `service_crashed`. It is charged, and its balance is
   * spent, up to the last `start`, `touch` or `extend`, as it was saved there. `cooldownMs` is that of `end`, counted
   * from now, so that pulling the plug does not evade the cooldown. Gives `undefined` where there is no session, and
   * then sets no cooldown. To be called once after each start of the service; another call is harmless. One process
   * runs the sessions of a store: this cannot tell a crash from a service that still runs, and would end the session of
   * that one. Throws `ERR_STORE_CONFLICT` while this tracker's own session runs, and `ERR_STORE_CORRUPT` where neither
   * copy of the snapshot can be read: `saveSnapshot` then begins anew.
   */
  recover(options?: { cooldownMs?: number | undefined }): EndedSession | undefined {
    const cooldownMs = checkCooldown(options);
    return this.#connection.write('SessionTracker.recover', 'recover the session', () => {
      const own = this.#stored();
      if (own) {
        throw new StoreError('ERR_STORE_CONFLICT', `failed to recover: session ${quote(own.sessionId)} is running`);
      }
      const snapshot = this.#store.loadSnapshot();
      if (!snapshot?.activeSession) return undefined;
      const session = countedSession(snapshot.activeSession, snapshot.timestamp, this.#timeZone);
      // Where only an older copy of the snapshot is left, the log may show that its session has ended and was charged.
      if (!this.#isEnded(session.sessionId)) {
        return this.#finish(session, { type: 'service_crashed' }, cooldownMs);
      }
      this.#store.saveSnapshot({ timestamp: this.#connection.now() });
      return undefined;
    });
  }

  /**
   * Gives the session of this tracker where it still runs. Both the snapshot and the log are asked: another process may
   * have recovered or ended the session, a transaction around its start or end may have failed, or the ledger, which
   * has no snapshots, may have restored the events of such a transaction alone.
   */
  #stored(): CountedSession | undefined {
    const { activeSession, timestamp } = this.#store.loadSnapshot() ?? {};
    if (!activeSession || !timestamp) return undefined;
    const { sessionId, startedAt } = activeSession;
    const startedMs = this.#startedMs.get(sessionId);
    if (startedMs === undefined || this.#isEnded(sessionId)) return undefined;
    const { days } = countedSession(activeSession, timestamp, this.#timeZone);
    const elapsedMs = Math.max(0, Math.floor(this.#readMonotonic() - startedMs));
    const now = this.#connection.now();
    // All of a transaction has one time, so the open one did not start this session, and cannot bring back another one.
    if (startedAt.getTime() !== now.getTime()) this.#startedMs = new Map([[sessionId, startedMs]]);
    return { ...activeSession, elapsedMs, days: grownDays(days, elapsedMs, [timestamp, now], this.#timeZone) };
  }

  #mustBeActive(what: string): CountedSession {
    const session = this.#stored();
    if (session) return session;
    const ended = 'by another process or by an earlier call, whose result may have been unknown';
    const why = `this tracker has started no session, or its session was ended, ${ended}`;
    throw new StoreError('ERR_STORE_CONFLICT', `failed to ${what}: ${why}`);
  }

  /** Inside the transaction, sets the cooldown, charges the days, spends the balance and records the end. */
  #finish(session: CountedSession, reason: SessionEndReason, cooldownMs: number | undefined): EndedSession {
    const { sessionId, entryId, elapsedMs: durationMs, days, balance } = session;
    if (cooldownMs !== undefined) {
      this.#extendCooldown(entryId, new Date(this.#connection.now().getTime() + cooldownMs));
    }
    const ended: EndedSession = { sessionId, entryId, reason, durationMs, charged: [], uncharged: [] };
    for (const part of days) (this.#charge(entryId, part) ? ended.charged : ended.uncharged).push(part);
    const tags = ended.uncharged.map(({ day }) => `uncharged:${day}`);
    if (balance !== undefined) {
      const spentMs = this.#spend(balance, session);
      ended.spentMs = spentMs ?? 0;
      if (spentMs === undefined) tags.push(`unspent:${balance}`);
    }
    // The event id is unique, so a session that has ended cannot be charged again.
    this.#store.appendAudit(
      { type: 'session_ended', sessionId, entryId, reason, durationMs },
      { eventId: `session_ended:${sessionId}`, tags: tags.length > 0 ? tags : undefined },
    );
    this.#store.saveSnapshot({ timestamp: this.#connection.now() });
    return ended;
  }

  /** Whether the session has ended: one look-up in the index of event ids, whatever the length of the log. */
  #isEnded(sessionId: string): boolean {
    return this.#connection.read('look for the end of the session', () => {
      return this.#connection.parts.log.hasEvent(`session_ended:${sessionId}`);
    });
  }

  /**
   * Adds a day's part to the usage and says whether that worked. A total that is damaged or full must not keep the
   * session from ending, because the service would crash at every start.
   */
  #charge(entryId: string, { day, durationMs }: DayPart): boolean {
    try {
      this.#store.addUsage(entryId, day, durationMs);
      return true;
    } catch (error) {
      if (hasCode(error, 'ERR_STORE_CORRUPT') || hasCode(error, 'ERR_STORE_INVALID_ARGUMENT')) return false;
      throw error;
    }
  }

  /**
   * Takes a session's time off a balance, and gives how much that was; `undefined` where the balance is damaged, or the
   * id was used for another change. That must not keep the session from ending; a damaged balance stays as it is, and
   * whoever reads it is refused.
   */
  #spend(subject: string, { sessionId, elapsedMs }: CountedSession): number | undefined {
    if (elapsedMs === 0) return 0;
    const change = { subject, durationMs: -elapsedMs, id: `session_ended:${sessionId}`, source: 'session' };
    try {
      return Math.abs(this.#store.adjustBalance(change).appliedMs);
    } catch (error) {
      if (hasCode(error, 'ERR_STORE_CORRUPT') || hasCode(error, 'ERR_STORE_CONFLICT')) return undefined;
      throw error;
    }
  }

  /**
   * Makes the cooldown last at least until `until`. A longer cooldown that somebody else set stands. A damaged one
   * stays too: reading it throws, so that the entry does not become available early.
   */
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
