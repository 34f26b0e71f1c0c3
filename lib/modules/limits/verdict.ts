// What follows from rules and figures: whether an entry may start, why not, how much is left, and when that changes.
import { type Calendar, weekStart } from '../calendar.ts';
import type { Figures } from './figures.ts';
import type { KnownEntry, Rules, SubjectRules } from '../limit-policy.ts';
import { Openings } from './windows.ts';

/** Why an entry may not start. */
export type LimitCode =
  | 'unknown_entry' // the policy does not have it
  | 'denied' // by an override of today
  | 'outside_window' // none of its windows is open, and none is lifted
  | 'daily_quota' // the day's time is used up
  | 'weekly_quota' // the week's time is used up
  | 'cooldown' // its cooldown is not over
  | 'no_balance' // nothing is left of the balance that it spends
  | 'unreadable'; // something that decides is stored and cannot be right

/** One of the reasons why an entry may not start. */
export interface LimitReason {
  code: LimitCode;
  /** Whose rule or row it is: the entry's id, `group:NAME`, or the subject of a balance. */
  subject: string;
  /** When this reason ends, or might end; absent where that is unknown, or not within 14 days. */
  until?: Date;
}

/** Whether an entry may start, or go on. */
export interface Verdict {
  /** Whether there is no reason against it. */
  allowed: boolean;
  /** All reasons against it: by their codes, in the order of `LimitCode`, and for each code by subject. */
  reasons: LimitReason[];
  /** For how long it may run from `at` on; absent where nothing limits it within 14 days, and where it is refused. */
  remainingMs?: number;
  /** `at` plus `remainingMs`, for `SessionTracker.start`. */
  deadline?: Date;
  /**
   * Where it is refused: the first instant at which nothing will refuse it, if nothing more is used. Absent where that
   * is not within 14 days, or is not a matter of time.
   */
  changesAt?: Date;
  /** The subject whose balance a session of the entry spends, for `SessionTracker.start`. */
  balance?: string;
}

// The last instant whose day has a name everywhere.
const latest = Date.parse('9999-12-31T08:00:00.000Z');

/** A reason, and when it ends. */
interface Reason {
  code: LimitCode;
  subject: string;
  until: number | undefined;
}

/** What is found at an instant: the reasons, and for how long nothing ends what is permitted. */
interface Found {
  reasons: Reason[];
  leftMs: number;
}

/** Gives verdicts by the same rules and figures. */
export class Judge {
  readonly #rules: Rules;
  readonly #figures: Figures;
  readonly #calendar: Calendar;
  /** What has been added up for a subject, because a group's sum is that of all its entries. */
  readonly #used = new Map<SubjectRules, Map<number | 'earlier', number>>();
  /** When the windows of a group close, for all its entries that have no overrides of their own. */
  readonly #closings = new Map<SubjectRules, number>();

  constructor(rules: Rules, figures: Figures, calendar: Calendar) {
    this.#rules = rules;
    this.#figures = figures;
    this.#calendar = calendar;
  }

  /** The verdict at the instant of the figures. */
  verdict(entryId: string): Verdict {
    const { at } = this.#figures;
    const known = this.#rules.entries.get(entryId);
    const entry = known ?? { subjects: [{ subject: entryId, members: [] }] };
    const { reasons, leftMs } = this.#look(entry, at);
    if (!known) reasons.unshift({ code: 'unknown_entry', subject: entryId, until: undefined });
    const verdict: Verdict = { allowed: reasons.length === 0, reasons: reasons.map(shown) };
    if (verdict.allowed && leftMs < Infinity) {
      verdict.remainingMs = leftMs;
      verdict.deadline = new Date(Math.min(at + leftMs, latest));
    }
    const changesAt = this.#changeOf(entry, reasons);
    if (changesAt !== undefined) verdict.changesAt = new Date(changesAt);
    if (known?.balance !== undefined) verdict.balance = known.balance;
    return verdict;
  }

  /**
   * The first instant at which nothing refuses. Each reason holds until its `until` at least, so nothing can change
   * before the last of them.
   */
  #changeOf(entry: KnownEntry, reasons: readonly Reason[]): number | undefined {
    if (reasons.length === 0) return undefined;
    const end = this.#calendar.startOf(this.#figures.lastDay + 1);
    while (reasons.length > 0) {
      if (reasons.some(({ until }) => until === undefined)) return undefined;
      const time = Math.max(...reasons.map(({ until }) => until!));
      if (time >= end) return undefined;
      ({ reasons } = this.#look(entry, time));
      if (reasons.length === 0) return time;
    }
    return undefined;
  }

  #look(entry: KnownEntry, time: number): Found {
    const today = this.#calendar.dayOf(time);
    const found: Found = { reasons: [], leftMs: Infinity };
    const { subjects, balance } = entry;
    for (const { subject } of subjects) this.#lookAtDenial(found, subject, time, today);
    for (const rules of subjects) this.#lookAtWindows(found, rules, entry, time, today);
    for (const rules of subjects) this.#lookAtDay(found, rules, today);
    for (const rules of subjects) this.#lookAtWeek(found, rules, today);
    for (const { subject } of subjects) this.#lookAtCooldown(found, subject, time);
    if (balance !== undefined) this.#lookAtBalance(found, balance);
    this.#lookAtDamage(found, entry, today);
    return found;
  }

  #lookAtDenial(found: Found, subject: string, time: number, today: number): void {
    const calendar = this.#calendar;
    for (const [day, { availability }] of this.#figures.overridesOf(subject).days) {
      if (availability !== 'denied' || day < today || calendar.isLeftOut(day)) continue;
      if (day === today) found.reasons.push({ code: 'denied', subject, until: calendar.startOf(today + 1) });
      else found.leftMs = Math.min(found.leftMs, calendar.startOf(day) - time);
    }
  }

  #lookAtWindows(found: Found, rules: SubjectRules, entry: KnownEntry, time: number, day: number): void {
    const { subject, windows } = rules;
    if (!windows) return;
    const [own, ofEntry] = [subject, entry.subjects[0]!.subject].map((each) => this.#figures.overridesOf(each).days);
    const isLifted = (on: number): boolean => {
      return own!.get(on)?.availability === 'allowed' || ofEntry!.get(on)?.availability === 'allowed';
    };
    const openings = new Openings(this.#calendar, windows, isLifted, this.#figures.lastDay);
    const isShared = time === this.#figures.at && ofEntry!.size === 0;
    const closes = (isShared ? this.#closings.get(rules) : undefined) ?? openings.closesFrom(time, day);
    if (isShared) this.#closings.set(rules, closes);
    if (closes > time) found.leftMs = Math.min(found.leftMs, closes - time);
    else found.reasons.push({ code: 'outside_window', subject, until: openings.opensFrom(time, day) });
  }

  #lookAtDay(found: Found, rules: SubjectRules, today: number): void {
    const leftMs = this.#leftOn(rules, today);
    if (leftMs > 0) found.leftMs = Math.min(found.leftMs, leftMs);
    if (!(leftMs <= 0)) return;
    let until: number | undefined;
    for (let day = today + 1; day <= this.#figures.lastDay && until === undefined; day++) {
      if (this.#leftOn(rules, day) > 0 && !this.#calendar.isLeftOut(day)) until = this.#calendar.startOf(day);
    }
    found.reasons.push({ code: 'daily_quota', subject: rules.subject, until });
  }

  /** What is left of a day's time; `Infinity` where it is not limited, `NaN` where nobody knows. */
  #leftOn(rules: SubjectRules, day: number): number {
    if (rules.dailyMs === undefined) return Infinity;
    const { grantedMs = 0 } = this.#figures.overridesOf(rules.subject).days.get(day) ?? {};
    return Math.max(0, rules.dailyMs + grantedMs) - this.#usedOn(rules, day);
  }

  #lookAtWeek(found: Found, rules: SubjectRules, today: number): void {
    const leftMs = this.#leftInWeek(rules, today);
    if (leftMs > 0) found.leftMs = Math.min(found.leftMs, leftMs);
    if (!(leftMs <= 0)) return;
    const next = weekStart(today, this.#rules.weekStartsOn) + 7;
    const until = rules.weeklyMs === 0 ? undefined : this.#calendar.startOf(next);
    found.reasons.push({ code: 'weekly_quota', subject: rules.subject, until });
  }

  #leftInWeek(rules: SubjectRules, day: number): number {
    if (rules.weeklyMs === undefined) return Infinity;
    const { today } = this.#figures;
    const first = weekStart(day, this.#rules.weekStartsOn);
    let usedMs = first < today ? this.#usedOn(rules, 'earlier') : 0;
    for (let each = Math.max(first, today); each <= day; each++) usedMs += this.#usedOn(rules, each);
    return rules.weeklyMs - usedMs;
  }

  /** The time of a subject on a day, or on this week's days before today, the running session's included. */
  #usedOn(rules: SubjectRules, day: number | 'earlier'): number {
    const known = this.#used.get(rules) ?? new Map<number | 'earlier', number>();
    this.#used.set(rules, known);
    let sum = known.get(day);
    if (sum !== undefined) return sum;
    const { running } = this.#figures;
    sum = 0;
    for (const member of rules.members) {
      sum += day === 'earlier' ? this.#figures.usedEarlierMs(member) : this.#figures.usedMs(member, day);
      if (typeof running !== 'object' || running.entryId !== member) continue;
      sum += day === 'earlier' ? running.earlierMs : (running.days.get(day) ?? 0);
    }
    known.set(day, sum);
    return sum;
  }

  #lookAtCooldown(found: Found, subject: string, time: number): void {
    const end = this.#figures.cooldownOf(subject);
    if (end !== undefined && end > time) found.reasons.push({ code: 'cooldown', subject, until: end });
  }

  #lookAtBalance(found: Found, balance: string): void {
    const leftMs = this.#balanceLeft(balance);
    if (leftMs > 0) found.leftMs = Math.min(found.leftMs, leftMs);
    if (leftMs <= 0) found.reasons.push({ code: 'no_balance', subject: balance, until: undefined });
  }

  /** What is left of a balance once the running session has been taken off. */
  #balanceLeft(balance: string): number {
    const { running } = this.#figures;
    const spends = typeof running === 'object' && running.balance === balance;
    return this.#figures.balanceOf(balance) - (spends ? running.spentMs : 0);
  }

  #lookAtDamage(found: Found, { subjects, balance }: KnownEntry, today: number): void {
    const damaged = new Set<string>();
    if (this.#figures.running === 'unreadable') damaged.add(subjects[0]!.subject);
    for (const rules of subjects) if (this.#isDamaged(rules, today)) damaged.add(rules.subject);
    if (balance !== undefined && Number.isNaN(this.#balanceLeft(balance))) damaged.add(balance);
    for (const subject of damaged) found.reasons.push({ code: 'unreadable', subject, until: undefined });
  }

  #isDamaged(rules: SubjectRules, today: number): boolean {
    if (!this.#figures.overridesOf(rules.subject).isSound) return true;
    const end = this.#figures.cooldownOf(rules.subject) ?? 0;
    return Number.isNaN(end + this.#leftOn(rules, today) + this.#leftInWeek(rules, today));
  }
}

function shown({ code, subject, until }: Reason): LimitReason {
  return until === undefined ? { code, subject } : { code, subject, until: new Date(until) };
}
