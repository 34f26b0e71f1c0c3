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
  /** The days of the report and those of the week before, and on which of them is an event. */
  readonly #marked: Marked;
  readonly #markedBefore: Marked;
  readonly #denied: History['denied'] = [];
  readonly #changes: History['changes'] = [];
  #firstTime: number | undefined;
  #unreadable = 0;

  constructor(asked: Asked, labels: Map<string, string>) {
    this.#asked = asked;
    this.#sessions = new Sessions(asked.days, asked.isWanted, labels);
    this.#marked = marked(asked.days);
    this.#markedBefore = marked(asked.days.weekBefore());
  }

  step(row: LogRow): void {
    const { time, type } = row;
    const place = time === undefined ? undefined : this.#asked.days.placeOf(time);
    this.#firstTime ??= time;
    if (place !== undefined) this.#marked.hasEvent.add(place);
    else if (time !== undefined) {
      const placeBefore = this.#markedBefore.days.placeOf(time);
      if (placeBefore !== undefined) this.#markedBefore.hasEvent.add(placeBefore);
    }
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
    const recorded = this.#recordsOf(this.#marked, isShortened);
    const before = this.#recordsOf(this.#markedBefore, isShortened);
    const { hours, places } = this.#sessions.hours();
    return {
      recorded,
      recordedBefore: [...before, ...recorded].slice(0, days.texts.length),
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

  #recordsOf({ days, hasEvent }: Marked, isShortened: boolean): DayRecord[] {
    return days.texts.map((_, place) => {
      if (hasEvent.has(place)) return 'recorded';
      if (days.startAt(place) > this.#asked.now) return 'future';
      const isBefore = this.#firstTime === undefined || days.startAt(place + 1) <= this.#firstTime;
      return isShortened && isBefore ? 'archived' : 'silent';
    });
  }
}

/** Days, and the places of those on which an event is. */
interface Marked {
  days: ReportDays;
  hasEvent: Set<number>;
}

function marked(days: ReportDays): Marked {
  return { days, hasEvent: new Set() };
}
