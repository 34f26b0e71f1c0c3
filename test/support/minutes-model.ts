// A model of limits that looks at every minute of the days around an instant, one by one: it shares nothing with
// lib/modules/limits/ but the types. All times are whole minutes.
import type { GroupRules, LimitCode, LimitPolicy, LimitWindow } from '../../lib/modules/limits/limits.ts';

const minuteMs = 60_000;

/** The minutes of some weeks in a time zone, as Intl names them. */
export class Minutes {
  readonly timeZone: string;
  readonly startMs: number;
  readonly count: number;
  /** The days, in order, by their names. */
  readonly days: string[] = [];
  readonly weekdays: number[] = [];
  /** The first minute of each day, and one that is behind the last. */
  readonly firsts: number[] = [];
  /** For each minute the index of its day, and the latest time that the clocks have shown on that day. */
  readonly dayAt: Uint8Array;
  readonly shownAt: Uint16Array;

  constructor(timeZone: string, start: string, count: number) {
    this.timeZone = timeZone;
    this.startMs = Date.parse(start);
    this.count = count;
    this.dayAt = new Uint8Array(count);
    this.shownAt = new Uint16Array(count);
    const formatter = new Intl.DateTimeFormat('en-CA', {
      timeZone, year: 'numeric', month: '2-digit', day: '2-digit', weekday: 'short', hour: '2-digit', minute: '2-digit',
      hourCycle: 'h23',
    });
    for (let minute = 0; minute < count; minute++) {
      const parts: Record<string, string> = {};
      for (const { type, value } of formatter.formatToParts(this.msOf(minute))) parts[type] = value;
      const day = `${parts['year']}-${parts['month']}-${parts['day']}`;
      const shown = Number(parts['hour']) * 60 + Number(parts['minute']);
      const isNew = this.days.at(-1) !== day;
      if (isNew) {
        this.days.push(day);
        this.weekdays.push(['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'].indexOf(parts['weekday']!) + 1);
        this.firsts.push(minute);
      }
      this.dayAt[minute] = this.days.length - 1;
      this.shownAt[minute] = isNew ? shown : Math.max(shown, this.shownAt[minute - 1]!);
    }
    this.firsts.push(count);
  }

  msOf(minute: number): number {
    return this.startMs + minute * minuteMs;
  }

  minuteOf(ms: number): number {
    return (ms - this.startMs) / minuteMs;
  }
}

/** What a store holds, in whole minutes. Days are indexes of `Minutes.days`. */
export interface History {
  usage: { entryId: string; day: number; minutes: number }[];
  overrides: { subject: string; day: number; granted: number; availability?: 'allowed' | 'denied' }[];
  cooldowns: { subject: string; until: number; setAt?: number; behindAt?: number }[];
  balances: { subject: string; minutes: number }[];
  /** Without `parts`, it ran from its start to when it was saved. */
  session?: {
    entryId: string; startedAt: number; savedAt: number; parts?: { day: number; minutes: number }[]; balance?: string;
  };
}

export interface ModelVerdict {
  reasons: { code: LimitCode; subject: string }[];
  remaining?: number;
  changesAt?: number;
}

/** The minute of a day that a text names. */
function minuteOf(text: string): number {
  const [hours, minutes] = text.split(':').map(Number);
  return hours! * 60 + minutes!;
}

/** A function that says whether a window is open at a minute. */
function insideOf({ days, from, to }: LimitWindow, minutes: Minutes): (minute: number) => boolean {
  const { dayAt, shownAt } = minutes;
  const isOf = minutes.weekdays.map((weekday) => !days || days.includes(weekday));
  const [begin, end] = [minuteOf(from), minuteOf(to)];
  if (end > begin) return (minute) => isOf[dayAt[minute]!]! && begin <= shownAt[minute]! && shownAt[minute]! < end;
  return (minute) => {
    const day = dayAt[minute]!;
    return (isOf[day]! && shownAt[minute]! >= begin) || (isOf[day - 1]! && shownAt[minute]! < end);
  };
}

/** An entry or a group, and whether it is open at a minute. */
interface Subject {
  subject: string;
  rules: GroupRules;
  members: string[];
  isOpen(minute: number): boolean;
}

/** The answers of the model for one policy and history, at one minute. */
export class LimitsModel {
  readonly #policy: LimitPolicy;
  readonly #history: History;
  readonly #minutes: Minutes;
  readonly #at: number;
  /** The store's clock. */
  readonly #now: number;
  readonly #subjects = new Map<string, Subject[]>();
  readonly #sessionUse = new Map<number, number>();
  #sessionMinutes = 0;

  constructor(policy: LimitPolicy, history: History, minutes: Minutes, at: number, now: number) {
    [this.#policy, this.#history, this.#minutes, this.#at, this.#now] = [policy, history, minutes, at, now];
    const { session } = history;
    if (!session) return;
    const use = (day: number, count: number): void => {
      this.#sessionUse.set(day, (this.#sessionUse.get(day) ?? 0) + count);
      this.#sessionMinutes += count;
    };
    if (session.parts) for (const part of session.parts) use(part.day, part.minutes);
    else for (let minute = session.startedAt; minute < session.savedAt; minute++) use(minutes.dayAt[minute]!, 1);
    for (let minute = session.savedAt; minute < at; minute++) use(minutes.dayAt[minute]!, 1);
  }

  #subjectsOf(entryId: string): Subject[] {
    const rules = this.#policy.entries[entryId];
    if (!rules) return [{ subject: entryId, rules: {}, members: [], isOpen: () => true }];
    const known = this.#subjects.get(entryId);
    if (known) return known;
    const groups = (rules.groups ?? []).map((name) => ({
      subject: `group:${name}`,
      rules: this.#policy.groups![name]!,
      members: Object.keys(this.#policy.entries).filter((id) => this.#policy.entries[id]!.groups?.includes(name)),
    }));
    const subjects = [{ subject: entryId, rules, members: [entryId] }, ...groups].map((each) => {
      return { ...each, isOpen: this.#isOpen(entryId, each.subject, each.rules.windows) };
    });
    this.#subjects.set(entryId, subjects);
    return subjects;
  }

  #overrideOf(subject: string, day: number): History['overrides'][number] | undefined {
    return this.#history.overrides.find((each) => each.subject === subject && each.day === day);
  }

  #isDenied(subject: string, day: number): boolean {
    return this.#overrideOf(subject, day)?.availability === 'denied';
  }

  #usedOn(members: readonly string[], day: number): number {
    const { usage, session } = this.#history;
    let sum = 0;
    for (const row of usage) if (row.day === day && members.includes(row.entryId)) sum += row.minutes;
    return session && members.includes(session.entryId) ? sum + (this.#sessionUse.get(day) ?? 0) : sum;
  }

  #dailyLeft(subject: string, dailyMs: number | undefined, members: readonly string[], day: number): number {
    if (dailyMs === undefined) return Infinity;
    const granted = this.#overrideOf(subject, day)?.granted ?? 0;
    return Math.max(0, dailyMs / minuteMs + granted) - this.#usedOn(members, day);
  }

  #weeklyLeft(weeklyMs: number | undefined, members: readonly string[], day: number): number {
    if (weeklyMs === undefined) return Infinity;
    let left = weeklyMs / minuteMs;
    for (let each = day; ; each--) {
      left -= this.#usedOn(members, each);
      if (this.#minutes.weekdays[each] === (this.#policy.weekStartsOn ?? 1)) return left;
    }
  }

  #balanceOf(entryId: string): string | undefined {
    const uses = this.#policy.entries[entryId]?.usesBalance;
    return uses === true ? entryId : uses === false ? undefined : uses;
  }

  #balanceLeft(subject: string): number {
    const { session, balances } = this.#history;
    const stored = balances.find((each) => each.subject === subject)?.minutes ?? 0;
    const spends = session && (session.balance ?? this.#balanceOf(session.entryId)) === subject;
    return spends ? stored - this.#sessionMinutes : stored;
  }

  /** A cooldown lasts no longer than it was set for, counted from when the store's clock was seen behind. */
  #cooldownEnd(subject: string): number {
    const row = this.#history.cooldowns.find((each) => each.subject === subject);
    if (!row) return -Infinity;
    const { until, setAt, behindAt } = row;
    if (setAt === undefined || setAt <= this.#now) return until;
    const from = behindAt !== undefined && behindAt <= this.#now ? behindAt : this.#now;
    return Math.min(until, from + Math.max(0, until - setAt));
  }

  #isOpen(entryId: string, subject: string, windows: GroupRules['windows']): (minute: number) => boolean {
    if (!windows) return () => true;
    const { days, dayAt } = this.#minutes;
    const isLifted = days.map((_, day) => [entryId, subject].some((each) => {
      return this.#overrideOf(each, day)?.availability === 'allowed';
    }));
    const inside = windows.map((window) => insideOf(window, this.#minutes));
    return (minute) => isLifted[dayAt[minute]!]! || inside.some((isInside) => isInside(minute));
  }

  /** All reasons at a minute, as if nothing more were used. */
  reasonsAt(entryId: string, minute: number): ModelVerdict['reasons'] {
    const subjects = this.#subjectsOf(entryId);
    const day = this.#minutes.dayAt[minute]!;
    const balance = this.#balanceOf(entryId);
    const reasons: ModelVerdict['reasons'] = [];
    const add = (code: LimitCode, subject: string): void => void reasons.push({ code, subject });
    if (!this.#policy.entries[entryId]) add('unknown_entry', entryId);
    for (const { subject } of subjects) if (this.#isDenied(subject, day)) add('denied', subject);
    for (const { subject, isOpen } of subjects) if (!isOpen(minute)) add('outside_window', subject);
    for (const { subject, rules, members } of subjects) {
      if (this.#dailyLeft(subject, rules.dailyMs, members, day) <= 0) add('daily_quota', subject);
    }
    for (const { subject, rules, members } of subjects) {
      if (this.#weeklyLeft(rules.weeklyMs, members, day) <= 0) add('weekly_quota', subject);
    }
    for (const { subject } of subjects) if (this.#cooldownEnd(subject) > minute) add('cooldown', subject);
    if (balance !== undefined && this.#balanceLeft(balance) <= 0) add('no_balance', balance);
    return reasons;
  }

  /** The first minute behind the present one, on a day of which `isOf` holds, for which `holds` does. */
  #firstMinute(holds: (minute: number) => boolean, isOf: (day: number) => boolean = () => true): number | undefined {
    const { dayAt, firsts } = this.#minutes;
    for (let day = dayAt[this.#at]!; day <= dayAt[this.#at]! + 14; day++) {
      if (!isOf(day)) continue;
      for (let minute = Math.max(this.#at + 1, firsts[day]!); minute < firsts[day + 1]!; minute++) {
        if (holds(minute)) return minute;
      }
    }
    return undefined;
  }

  /** The first minute at which nothing refuses. What holds for all of a day is found out once for each. */
  #changesAt(entryId: string): number | undefined {
    const subjects = this.#subjectsOf(entryId);
    const ends = Math.max(...subjects.map(({ subject }) => this.#cooldownEnd(subject)));
    return this.#firstMinute(
      (minute) => minute >= ends && subjects.every(({ isOpen }) => isOpen(minute)),
      (day) => {
        const reasons = this.reasonsAt(entryId, this.#minutes.firsts[day]!);
        return reasons.every(({ code }) => code === 'cooldown' || code === 'outside_window');
      },
    );
  }

  /** The first minute at which one reason does not hold any more. */
  until(entryId: string, code: LimitCode, subject: string): number | undefined {
    return this.#firstMinute((minute) => {
      return !this.reasonsAt(entryId, minute).some((each) => each.code === code && each.subject === subject);
    });
  }

  verdict(entryId: string): ModelVerdict {
    const reasons = this.reasonsAt(entryId, this.#at);
    if (reasons.length > 0) return { reasons, ...defined('changesAt', this.#changesAt(entryId)) };
    const subjects = this.#subjectsOf(entryId);
    const day = this.#minutes.dayAt[this.#at]!;
    const denied = this.#minutes.days.map((_, on) => subjects.some(({ subject }) => this.#isDenied(subject, on)));
    const closes = this.#firstMinute((minute) => {
      return denied[this.#minutes.dayAt[minute]!]! || subjects.some(({ isOpen }) => !isOpen(minute));
    });
    const balance = this.#balanceOf(entryId);
    const left = Math.min(
      (closes ?? Infinity) - this.#at,
      balance === undefined ? Infinity : this.#balanceLeft(balance),
      ...subjects.map(({ subject, rules, members }) => this.#dailyLeft(subject, rules.dailyMs, members, day)),
      ...subjects.map(({ rules, members }) => this.#weeklyLeft(rules.weeklyMs, members, day)),
    );
    return { reasons, ...defined('remaining', left === Infinity ? undefined : left) };
  }
}

function defined<Name extends string>(name: Name, value: number | undefined): { [_ in Name]?: number } {
  return (value === undefined ? {} : { [name]: value }) as { [_ in Name]?: number };
}
