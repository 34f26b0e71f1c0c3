// What the store holds that limits depend on, read at one state of the database by a number of queries that does not
// grow with the number of entries. What cannot be right is told apart from what is not there.
import type { ModuleConnection } from '../../core/door.ts';
import type { SessionSnapshot } from '../../core/state.ts';
import { maxMs, totalSql } from '../../core/usage.ts';
import type { SqliteStore } from '../../store.ts';
import { checkJsonLength } from '../../values/json.ts';
import { type DayPart, nameable, splitByDay } from '../../values/days.ts';
import { hasCode, toStoreError } from '../../values/errors.ts';
import { type Calendar, dayIn, textOf, weekStart } from '../calendar.ts';
import type { Rules, SubjectRules } from '../limit-policy.ts';
import { countedSession } from '../session-days.ts';

/** For how many days after today limits are looked at. */
const daysAhead = 14;

/** What is permitted on a day beyond the rules. `grantedMs` is `NaN` where it cannot be read. */
export interface Permitted {
  grantedMs: number;
  availability?: 'allowed' | 'denied';
}

/** The overrides of a subject, by their days. */
export interface Overrides {
  days: Map<number, Permitted>;
  /** Whether all of them can be read. */
  isSound: boolean;
}

/** The session that runs. */
export interface Running {
  entryId: string;
  /** The subject whose balance it spends. */
  balance: string | undefined;
  /** How long it has run. */
  spentMs: number;
  /** How much of that is of which day. */
  days: Map<number, number>;
  /** How much is of this week's days before today. */
  earlierMs: number;
}

/** What was read. A number that cannot be read is `NaN`, as is everything that is reckoned from it. */
export interface Figures {
  at: number;
  today: number;
  /** The last day that is looked at. */
  lastDay: number;
  /** The usage of an entry on a day from today on, without the running session. */
  usedMs(entryId: string, day: number): number;
  /** The same of this week's days before today, together. */
  usedEarlierMs(entryId: string): number;
  overridesOf(subject: string): Overrides;
  /** When a subject's cooldown is over; `undefined` where it has none. */
  cooldownOf(subject: string): number | undefined;
  balanceOf(subject: string): number;
  /** `'unreadable'` where nobody knows what runs. */
  running: Running | 'unreadable' | undefined;
}

// NULL stands for what cannot be right: node:sqlite throws for a number beyond 2^53, which would hide all other rows.
// CROSS JOIN makes SQLite look the given subjects up, one by one, instead of reading all rows of a day.
// Node 24 cuts a text off at NUL, which would make a day of what is none.
const soundDay = "iif(octet_length(day) = 10, day, 'damaged')";
// The table is not strict, and bytes and words sort behind all days: a row that has one is the usage of any day.
const usageSql = `SELECT asked.key, ${soundDay}, ${totalSql}
  FROM json_each(?1) AS asked CROSS JOIN usage ON entry_id = asked.value AND day BETWEEN ?2 AND ?3
  UNION ALL SELECT asked.key, 'damaged', NULL
  FROM json_each(?1) AS asked CROSS JOIN usage ON entry_id = asked.value AND day > '9999-12-31'`;
// SQLite adds up the days before today, because they matter as a sum only, and to fetch each takes twice as long. A sum
// of 1e300 or more tells that one of them cannot be right.
const earlierSql = `SELECT asked.key, (
    SELECT total(coalesce(iif(date(day) IS day, ${totalSql}, NULL), 1e300))
    FROM usage WHERE entry_id = asked.value AND day >= ?2 AND day < ?3
  ) FROM json_each(?1) AS asked`;
const overridesSql = `SELECT asked.key, ${soundDay},
    CASE WHEN typeof(granted_ms) = 'integer' AND granted_ms BETWEEN -${maxMs} AND ${maxMs} THEN granted_ms END,
    iif(availability IS NULL OR availability IN ('allowed', 'denied'), availability, 'damaged')
  FROM json_each(?1) AS asked CROSS JOIN overrides ON subject = asked.value AND day BETWEEN ?2 AND ?3`;
const balancesSql = `SELECT asked.key,
    CASE WHEN typeof(balance_ms) = 'integer' AND balance_ms BETWEEN 0 AND ${maxMs} THEN balance_ms END
  FROM json_each(?1) AS asked CROSS JOIN balances ON subject = asked.value`;
const textSql = (column: string): string => `iif(typeof(${column}) IN ('null', 'text'), ${column}, 'damaged')`;
const cooldownsSql = `SELECT asked.key, ${textSql('until')}, ${textSql('set_at')}, ${textSql('clock_behind_at')}
  FROM json_each(?1) AS asked CROSS JOIN cooldowns ON entry_id = asked.value`;

/** What an evaluation asks of the store. */
export interface Question {
  rules: Rules;
  entryIds: readonly string[];
  calendar: Calendar;
  timeZone: string | undefined;
  /** The store's clock where absent. */
  at: Date | undefined;
}

/** Reads everything that the verdicts of some entries depend on. */
export function readFigures(store: SqliteStore, door: ModuleConnection, question: Question): Figures {
  const { rules, calendar, entryIds } = question;
  const now = door.now();
  const at = (question.at ?? now).getTime();
  const today = calendar.dayOf(at);
  const lastDay = today + daysAhead;
  const { subjects, counted, balances, isWeekly } = subjectsOf(rules, entryIds);
  const firstDay = isWeekly ? weekStart(today, rules.weekStartsOn) : today;
  const reader = new Reader(door);
  const usage = reader.usage(counted, today, lastDay);
  const earlier = reader.earlier(firstDay < today ? counted : [], firstDay, today);
  // A store that is only read may lack the limits that an older version has passed over.
  const isBehind = door.isReadOnly && unlessDamaged(() => door.parts.limits.isBehind()) !== false;
  const overrides = isBehind ? undefined : reader.overrides(subjects, today, lastDay);
  const cooldowns = reader.cooldowns(subjects, now);
  const stored = isBehind ? undefined : reader.balances(balances);
  return {
    at, today, lastDay,
    usedMs: (entryId, day) => usage === undefined ? NaN : (usage.get(entryId)?.(day) ?? 0),
    usedEarlierMs: (entryId) => earlier === undefined ? NaN : (earlier.get(entryId) ?? 0),
    overridesOf: (subject) => overrides === undefined ? unreadable : (overrides.get(subject) ?? none),
    cooldownOf: (subject) => cooldowns === undefined ? NaN : cooldowns.get(subject),
    balanceOf: (subject) => stored === undefined ? NaN : (stored.get(subject) ?? 0),
    running: readRunning(store, door, question, { at, firstDay, today }),
  };
}

const none: Overrides = { days: new Map(), isSound: true };
const unreadable: Overrides = { days: new Map(), isSound: false };

/** Whose rows are needed: all subjects', the usage of those whose time is limited, and the balances that are spent. */
function subjectsOf({ entries }: Rules, entryIds: readonly string[]): {
  subjects: string[]; counted: string[]; balances: string[]; isWeekly: boolean;
} {
  const subjects = new Set<string>();
  const limited = new Set<SubjectRules>();
  const balances = new Set<string>();
  for (const entryId of entryIds) {
    const entry = entries.get(entryId);
    subjects.add(entryId);
    for (const rules of entry?.subjects ?? []) {
      subjects.add(rules.subject);
      if (rules.dailyMs !== undefined || rules.weeklyMs !== undefined) limited.add(rules);
    }
    if (entry?.balance !== undefined) balances.add(entry.balance);
  }
  const counted = new Set([...limited].flatMap(({ members }) => members));
  const isWeekly = [...limited].some(({ weeklyMs }) => weeklyMs !== undefined);
  return { subjects: [...subjects], counted: [...counted], balances: [...balances], isWeekly };
}

/** Reads the rows of lists of subjects. Each method gives `undefined` where a damaged page keeps it from doing so. */
class Reader {
  readonly #door: ModuleConnection;

  constructor(door: ModuleConnection) {
    this.#door = door;
  }

  #rows<Row extends readonly unknown[]>(sql: string, asked: readonly string[], ...values: string[]): Row[] | undefined {
    if (asked.length === 0) return [];
    checkJsonLength('the policy', asked);
    return unlessDamaged(() => this.#door.all<Row>(sql, JSON.stringify(asked), ...values));
  }

  usage(entryIds: readonly string[], from: number, to: number): Map<string, (day: number) => number> | undefined {
    type Row = [index: number, day: string, durationMs: number | null];
    const rows = this.#rows<Row>(usageSql, entryIds, textOf(from), textOf(to));
    const totals = new Map<number, Map<number, number>>();
    const damaged = new Set<number>();
    for (const [index, text, durationMs] of rows ?? []) {
      const day = dayIn(text);
      if (day === undefined) damaged.add(index); // it is the usage of one of these days, and nobody knows of which
      else if (totals.has(index)) totals.get(index)!.set(day, durationMs ?? NaN);
      else totals.set(index, new Map([[day, durationMs ?? NaN]]));
    }
    if (!rows) return undefined;
    const used = new Map<string, (day: number) => number>();
    for (const [index, days] of totals) used.set(entryIds[index]!, (day) => days.get(day) ?? 0);
    for (const index of damaged) used.set(entryIds[index]!, () => NaN);
    return used;
  }

  earlier(entryIds: readonly string[], from: number, to: number): Map<string, number> | undefined {
    const rows = this.#rows<[index: number, totalMs: number]>(earlierSql, entryIds, textOf(from), textOf(to));
    return rows && new Map(rows.map(([index, totalMs]) => [entryIds[index]!, totalMs < 1e300 ? totalMs : NaN]));
  }

  overrides(subjects: readonly string[], from: number, to: number): Map<string, Overrides> | undefined {
    type Row = [index: number, day: string, grantedMs: number | null, availability: string | null];
    const rows = this.#rows<Row>(overridesSql, subjects, textOf(from), textOf(to));
    const found = new Map<string, Overrides>();
    for (const [index, text, grantedMs, availability] of rows ?? []) {
      const subject = subjects[index]!;
      const overrides = found.get(subject) ?? { days: new Map<number, Permitted>(), isSound: true };
      found.set(subject, overrides);
      const day = dayIn(text);
      const isKnown = availability === 'allowed' || availability === 'denied';
      if (day === undefined || grantedMs === null || (!isKnown && availability !== null)) overrides.isSound = false;
      if (day === undefined) continue;
      overrides.days.set(day, { grantedMs: grantedMs ?? NaN, ...(isKnown && { availability }) });
    }
    return rows && found;
  }

  /**
   * `now` is the time by the store's clock, whatever instant is asked about, because the next write records in the row
   * that this read has found the clock behind.
   */
  cooldowns(subjects: readonly string[], now: Date): Map<string, number> | undefined {
    type Row = [index: number, until: unknown, setAt: unknown, clockBehindAt: unknown];
    const rows = this.#rows<Row>(cooldownsSql, subjects);
    const ends = rows?.map(([index, ...columns]) => {
      const subject = subjects[index]!;
      const end = unlessDamaged(() => this.#door.parts.cooldowns.end(subject, columns, now));
      return [subject, end?.getTime() ?? NaN] as const;
    });
    return ends && new Map(ends);
  }

  balances(subjects: readonly string[]): Map<string, number> | undefined {
    const rows = this.#rows<[index: number, balanceMs: number | null]>(balancesSql, subjects);
    return rows && new Map(rows.map(([index, balanceMs]) => [subjects[index]!, balanceMs ?? NaN]));
  }
}

/** What `fn` gives; `undefined` where what it reads is damaged. */
function unlessDamaged<T>(fn: () => T): T | undefined {
  try {
    return fn();
  } catch (error) {
    if (hasCode(toStoreError(error, 'read what limits depend on'), 'ERR_STORE_CORRUPT')) return undefined;
    throw error;
  }
}

function readRunning(
  store: SqliteStore, door: ModuleConnection, { rules, timeZone, calendar }: Question,
  { at, firstDay, today }: { at: number; firstDay: number; today: number },
): Running | 'unreadable' | undefined {
  const found = unlessDamaged(() => {
    const { activeSession, timestamp } = store.loadSnapshot() ?? {};
    if (!activeSession || !timestamp) return { running: undefined };
    // Where only an older copy of the snapshot is left, the log may show that its session has ended.
    if (door.parts.log.hasEvent(`session_ended:${activeSession.sessionId}`)) return { running: undefined };
    const counted = countedSession(activeSession, timestamp, timeZone);
    const savedAt = timestamp.getTime();
    // Days before the first one do not matter, and a clock that was far behind would have thousands of them.
    const since = new Date(Math.max(savedAt, calendar.startOf(firstDay)));
    const days = summed([...counted.days, ...splitUpTo(since, new Date(at), timeZone)]);
    let earlierMs = 0;
    for (const [day, durationMs] of days) if (day >= firstDay && day < today) earlierMs += durationMs;
    const spentMs = counted.elapsedMs + Math.max(0, at - savedAt);
    return { running: { ...spendingOf(activeSession, rules), spentMs, days, earlierMs } };
  });
  return found ? found.running : 'unreadable';
}

function spendingOf(session: SessionSnapshot, { entries }: Rules): Pick<Running, 'entryId' | 'balance'> {
  const { entryId, balance = entries.get(entryId)?.balance } = session;
  return { entryId, balance };
}

function splitUpTo(from: Date, to: Date, timeZone: string | undefined): DayPart[] {
  const [first, last] = [nameable(from, timeZone), nameable(to, timeZone)];
  return first < last ? splitByDay(first, last, timeZone) : [];
}

function summed(parts: readonly DayPart[]): Map<number, number> {
  const sums = new Map<number, number>();
  for (const { day: text, durationMs } of parts) {
    const day = dayIn(text)!;
    sums.set(day, (sums.get(day) ?? 0) + durationMs);
  }
  return sums;
}
