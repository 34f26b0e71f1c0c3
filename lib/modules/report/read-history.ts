// What a report shows of the log, in one pass from its first row to its last. The whole log is read, because a clock
// that was set wrong gives an event any time, and a session of the report may have begun long before.
import type { ModuleConnection } from '../../core/door.ts';
import { fieldsOf } from '../../core/retention-events.ts';
import type { SessionSnapshot } from '../../core/state.ts';
import { isText } from '../../values/checks.ts';
import { changeIn } from './read-changes.ts';
import type { DayRecord, History } from './contents.ts';
import { type LogRow, walkLog } from './log-rows.ts';
import { Machine, machineTypes } from './read-machine.ts';
import type { ReportDays } from './report-days.ts';
import { Sessions } from './read-sessions.ts';

const askedTypes: readonly string[] = [
  ...machineTypes, 'session_started', 'session_ended', 'launch_denied',
  'time_granted', 'availability_set', 'balance_adjusted', 'usage_corrected',
];

/** What a pass over the log needs to know. */
export interface Asked {
  days: ReportDays;
  now: number;
  /** Whether an entry is one of the report's. */
  isWanted(entryId: string): boolean;
  /** Whether an entry or a group is one of the report's. */
  isWantedSubject(subject: string): boolean;
  /** The session that the snapshot names. */
  running: SessionSnapshot | 'unreadable' | undefined;
}

/** Reads the log. `labels` gets the names for people that were found, also where the rest of the log is unreadable. */
export function readHistory(door: ModuleConnection, asked: Asked, labels: Map<string, string>): History {
  const gathering = new Gathering(asked, labels);
  const isShortened = door.parts.log.beginning().id > 0;
  walkLog(door, askedTypes, (row) => gathering.step(row));
  return gathering.end(isShortened);
}

class Gathering {
  readonly #asked: Asked;
  readonly #sessions: Sessions;
  readonly #machine = new Machine();
  readonly #hasEvent: boolean[];
  readonly #denied: History['denied'] = [];
  readonly #changes: History['changes'] = [];
  #firstTime: number | undefined;
  #unreadable = 0;

  constructor(asked: Asked, labels: Map<string, string>) {
    this.#asked = asked;
    this.#sessions = new Sessions(asked.days, asked.isWanted, labels);
    this.#hasEvent = asked.days.texts.map(() => false);
  }

  step(row: LogRow): void {
    const { time, type } = row;
    const place = time === undefined ? undefined : this.#asked.days.placeOf(time);
    this.#firstTime ??= time;
    if (place !== undefined) this.#hasEvent[place] = true;
    // Nobody knows of which day a row is whose time cannot be read.
    if (!row.isSound && (place !== undefined || time === undefined)) this.#unreadable++;
    this.#machine.step(row, place !== undefined);
    if (time === undefined || !row.isSound) return;
    if (type === 'session_started') this.#sessions.started(time, fieldsOf(row.id, row.data));
    else if (type === 'session_ended') this.#sessions.ended(time, fieldsOf(row.id, row.data));
    else if (place !== undefined) this.#stepShown(row, time);
  }

  #stepShown(row: LogRow, time: number): void {
    if (row.type === 'launch_denied') {
      const { entryId, reasons } = fieldsOf(row.id, row.data);
      if (!isText(entryId) || !this.#asked.isWanted(entryId)) return;
      const texts = Array.isArray(reasons) ? reasons.filter((reason) => typeof reason === 'string') : [];
      this.#denied.push({ at: new Date(time), entryId, reasons: texts });
      return;
    }
    const change = changeIn(row);
    if (change && this.#asked.isWantedSubject(change.subject)) this.#changes.push(change);
  }

  end(isShortened: boolean): History {
    const { days, now, running } = this.#asked;
    const recorded = days.texts.map((_, place) => this.#recordOf(place, isShortened));
    const { hours, places } = this.#sessions.hours();
    return {
      recorded,
      sessions: this.#sessions.list(running, now),
      hours,
      // A mean is not to be less for days of which nobody knows whether a session ran.
      clockHours: days.clockHours((place) => recorded[place] === 'recorded' || places.has(place)),
      denied: this.#denied,
      changes: this.#changes,
      machine: this.#machine.events,
      unreadable: this.#unreadable,
    };
  }

  #recordOf(place: number, isShortened: boolean): DayRecord {
    const { days, now } = this.#asked;
    if (this.#hasEvent[place]) return 'recorded';
    if (days.startAt(place) > now) return 'future';
    const isBefore = this.#firstTime === undefined || days.startAt(place + 1) <= this.#firstTime;
    return isShortened && isBefore ? 'archived' : 'silent';
  }
}
