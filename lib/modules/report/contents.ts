// What a report shows, as figures: `figures.ts` reads them from a store, and `page.ts` makes the page of them.
import type { SessionEndReason } from '../../core/events.ts';

/** A part of a report, or why it cannot be read: the page then says so in its place. */
export type Part<T> = { value: T; unreadable?: undefined } | { value?: undefined; unreadable: string };

/** All that a report shows. Durations are milliseconds, days `YYYY-MM-DD` in the zone of the report. */
export interface Contents {
  /** The days of the report, the first one first, without a gap. */
  days: string[];
  /** The entries to which the report was limited; absent where it has all of them. */
  entryIds?: string[];
  timeZone: string;
  madeAt: Date;
  /** The names for people, by entry; of the newest `session_started` that has one. */
  labels: Map<string, string>;
  usage: Part<Usage>;
  /** Absent where no policy was given. */
  quotas?: Part<Quota[]>;
  history: Part<History>;
  proof: Part<Proof>;
  versions: { package: string; schema: number; node: string; sqlite: string };
  uuid: string;
}

/** What was used, as `usage` shows it. */
export interface Usage {
  /** The entries that were used in the days of the report, the one with the most time first. */
  entries: EntryUsage[];
  /** The total of each day, and that of all of them. Without what cannot be read. */
  dayTotals: number[];
  total: number;
  /** The total of the day that lies a week before each one, by the same entries. */
  weekBefore: number[];
  /** Each total of a day that cannot be read, with why. */
  unreadable: { entryId: string; day: string; message: string }[];
}

/** An entry's usage: `byDay` runs along `Contents.days`; `undefined` where that day's total cannot be read. */
export interface EntryUsage {
  entryId: string;
  total: number;
  byDay: (number | undefined)[];
}

/** A daily quota of an entry or group: along `Contents.days`, what was allowed (with what was granted) and used. */
export interface Quota {
  /** An entry's id, or `group:NAME`. */
  subject: string;
  members: string[];
  dailyMs: number;
  /** The quota of each day with what was granted or taken away on it; `undefined` where that cannot be read. */
  allowedMs: (number | undefined)[];
  usedMs: (number | undefined)[];
}

/** What the log tells. */
export interface History {
  /** Along `Contents.days`. */
  recorded: DayRecord[];
  /** The same of the day that lies a week before each one. */
  recordedBefore: DayRecord[];
  /** Sessions that touch a day of the report, the oldest first. */
  sessions: ReportSession[];
  /** How long sessions ran within each hour of the day, 24 numbers for each of seven weekdays; Monday is the first. */
  hours: number[][];
  /**
   * How long the clocks showed each of these hours, on the days that are recorded or on which a session ran: an hour
   * that comes twice, as in autumn, is twice as long.
   */
  clockHours: number[][];
  denied: { at: Date; entryId: string; reasons: string[] }[];
  /** Time granted or taken away, days opened or closed, corrections, and what was earned or spent by hand. */
  changes: Change[];
  machine: MachineEvent[];
  /** How many events could not be read. */
  unreadable: number;
}

/** What there is of a day: `silent` is a day without any event, `archived` one whose events are in an archive. */
export type DayRecord = 'recorded' | 'silent' | 'archived' | 'future';

export interface ReportSession {
  sessionId: string;
  entryId: string;
  /** Absent where its beginning is not in the log. */
  from?: Date;
  /** Absent where it has no end in the log. */
  to?: Date;
  /** Absent where it has no end. */
  durationMs?: number;
  reason?: SessionEndReason;
  /** Where there is no end: whether it is the session that runs now. */
  isRunning?: boolean;
}

export interface Change {
  at: Date;
  kind: 'granted' | 'availability' | 'earned' | 'corrected';
  subject: string;
  /** The day that is meant; absent for a balance. */
  day?: string;
  /** Absent for an availability. */
  durationMs?: number;
  availability?: 'allowed' | 'denied' | null;
  reason?: string;
  source?: string;
}

/** What the machine or its operator did. `clock_back`: the event's time is before that of the one before it. */
export interface MachineEvent {
  at: Date;
  kind:
    | 'started' | 'stopped' | 'crashed' | 'recovered' | 'clock_back' | 'archived' | 'backed_up' | 'verified'
    | 'identity';
  /** For `recovered`: what was found; for `clock_back`: by how many ms. */
  found?: string;
  lost?: { from?: number; to: number };
  backMs?: number;
}

/** Whether the log verifies. */
export interface Proof {
  ok: boolean;
  checkedRows: number;
  /** The newest row; absent for an empty log. */
  anchor?: { id: number; hash: string };
  /** What is wrong, in words; empty where it verifies. */
  problems: string[];
  /** The row behind which the log begins. */
  archivedId?: number;
}
