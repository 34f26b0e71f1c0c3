// A policy of limits: its types, and the check that refuses it or gives a copy that nobody can change any more.
import {
  checkArray, checkDuration, checkInteger, checkOptions, checkRecord, checkText, invalid,
} from '../values/checks.ts';
import { minuteMs } from './calendar.ts';

/**
 * A part of each day, or of some days of the week, during which a subject is available. It ends before `to`. Where `to`
 * is before `from`, the window goes over midnight, and belongs to the day on which it began.
 */
export interface LimitWindow {
  /** Days of the week as ISO 8601 has them: 1 is Monday, 7 is Sunday. All of them where absent. */
  days?: readonly number[] | undefined;
  /** `HH:MM`. */
  from: string;
  /** `HH:MM`, or `24:00` for the end of the day. */
  to: string;
}

/** What limits a group of entries; what is absent does not limit. */
export interface GroupRules {
  /** Outside all of them it is not available; an empty list makes it never available. */
  windows?: readonly LimitWindow[] | undefined;
  /** Time per day; for a group, that of all its entries together. */
  dailyMs?: number | undefined;
  /** Time per week. */
  weeklyMs?: number | undefined;
}

/** What limits an entry. */
export interface EntryRules extends GroupRules {
  /** Names of groups, whose rules hold for the entry as well. */
  groups?: readonly string[] | undefined;
  /** Whether its sessions spend a balance: the entry's own (`true`), or that of a subject, such as `group:games`. */
  usesBalance?: boolean | string | undefined;
}

/** Who may do what, and for how long: plain data, as JSON holds it. */
export interface LimitPolicy {
  /** The entries, by their ids. What is not here may not start. */
  entries: Readonly<Record<string, EntryRules>>;
  /** The groups, by their names. The subject of the group `games` is `group:games`. */
  groups?: Readonly<Record<string, GroupRules>> | undefined;
  /** The day on which weeks begin, 1 (Monday, where absent) to 7. */
  weekStartsOn?: number | undefined;
}

/** A window as it is reckoned with; times are milliseconds after midnight. */
export interface Window {
  days: readonly number[];
  from: number;
  to: number;
}

/** The rules of a subject. */
export interface SubjectRules {
  subject: string;
  windows?: readonly Window[];
  dailyMs?: number;
  weeklyMs?: number;
  /** The entries whose usage counts. */
  members: string[];
}

/** An entry with all rules that hold for it: its own first, and then those of its groups. */
export interface KnownEntry {
  subjects: SubjectRules[];
  /** The subject whose balance its sessions spend. */
  balance?: string;
}

/** A policy as it is reckoned with. */
export interface Rules {
  entries: Map<string, KnownEntry>;
  weekStartsOn: number;
}

const groupPrefix = 'group:';
const everyDay: readonly number[] = [1, 2, 3, 4, 5, 6, 7];

/** What follows from each policy that `checkPolicy` gave. Those are frozen, so it holds as long as they are there. */
const known = new WeakMap<object, Rules>();

/**
 * Checks a policy once, and gives a frozen copy of it, with which `evaluate` need not check it again. Throws
 * `ERR_STORE_INVALID_ARGUMENT` with a message that names the place, such as `policy.entries["x"].windows[2].from`.
 */
export function checkPolicy(policy: LimitPolicy): LimitPolicy {
  if (isKnown(policy)) return policy;
  const checked = copyOf(policy);
  freeze(checked);
  known.set(checked, rulesOf(checked));
  return checked;
}

/** The rules of a policy, which is checked first unless `checkPolicy` gave it. */
export function rulesFor(policy: LimitPolicy): Rules {
  return known.get(checkPolicy(policy))!;
}

function isKnown(policy: unknown): boolean {
  return typeof policy === 'object' && policy !== null && known.has(policy);
}

function freeze(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  for (const item of Object.values(value)) freeze(item);
  Object.freeze(value);
}

function copyOf(given: LimitPolicy): LimitPolicy {
  const { entries, groups, weekStartsOn } = fields('policy', given, ['entries', 'groups', 'weekStartsOn']);
  const checkedGroups = groups === undefined ? undefined : byName('policy.groups', groups, checkGroup);
  const names = new Set(Object.keys(checkedGroups ?? {}));
  return {
    entries: byName('policy.entries', entries, (name, rules, id) => checkEntry(name, rules as EntryRules, id, names)),
    ...(checkedGroups && { groups: checkedGroups }),
    ...(weekStartsOn !== undefined && { weekStartsOn: checkInteger('policy.weekStartsOn', weekStartsOn, 1, 7) }),
  };
}

/** `checkOptions` for what must be there. */
function fields<T extends object>(name: string, value: T, names: readonly string[]): T {
  if (value === undefined) throw invalid(name, value, 'a plain object');
  return checkOptions(name, value, names);
}

/** A plain object with a checked value for each key. A key `__proto__` is one like any other. */
function byName<T>(
  name: string, value: unknown, check: (name: string, item: unknown, key: string) => T,
): Record<string, T> {
  const items = checkRecord(name, value, 'a plain object', (_, item) => item);
  return Object.fromEntries(items.map(([key, item]) => [key, check(`${name}[${JSON.stringify(key)}]`, item, key)]));
}

const groupFields = ['windows', 'dailyMs', 'weeklyMs'] as const satisfies (keyof GroupRules)[];
const entryFields = [...groupFields, 'groups', 'usesBalance'] as const satisfies (keyof EntryRules)[];

function checkGroup(name: string, given: unknown): GroupRules {
  return checkLimits(name, fields(name, given as GroupRules, groupFields));
}

function checkEntry(name: string, given: EntryRules, id: string, known: ReadonlySet<string>): EntryRules {
  if (id.startsWith(groupPrefix)) {
    throw invalid('a key of policy.entries', id, `the id of an entry, which does not begin with "${groupPrefix}"`);
  }
  const { groups, usesBalance, ...limits } = fields(name, given, entryFields);
  const checkMember = (place: string, item: unknown): string => {
    if (!known.has(checkText(place, item))) throw invalid(place, item, 'the name of a group in policy.groups');
    return item as string;
  };
  return {
    ...checkLimits(name, limits),
    ...(groups !== undefined && { groups: distinct(`${name}.groups`, groups, 'an array of names', checkMember) }),
    ...(usesBalance !== undefined && { usesBalance: checkBalance(`${name}.usesBalance`, usesBalance) }),
  };
}

const acceptedWindows = 'an array of windows';

function checkLimits(name: string, { windows, dailyMs, weeklyMs }: GroupRules): GroupRules {
  return {
    ...(windows !== undefined && { windows: checkArray(`${name}.windows`, windows, acceptedWindows, checkWindow) }),
    ...(dailyMs !== undefined && { dailyMs: checkDuration(`${name}.dailyMs`, dailyMs) }),
    ...(weeklyMs !== undefined && { weeklyMs: checkDuration(`${name}.weeklyMs`, weeklyMs) }),
  };
}

function checkBalance(name: string, value: unknown): boolean | string {
  return typeof value === 'boolean' ? value : checkText(name, value);
}

function checkWindow(name: string, given: unknown): LimitWindow {
  const { days, from, to } = fields(name, given as LimitWindow, ['days', 'from', 'to']);
  checkTime(`${name}.from`, from, /^(?:[01]\d|2[0-3]):[0-5]\d$/, 'a time as HH:MM');
  checkTime(`${name}.to`, to, /^(?:(?:[01]\d|2[0-3]):[0-5]\d|24:00)$/, 'a time as HH:MM, or 24:00');
  if (from === to) throw invalid(`${name}.to`, to, 'another time than from');
  if (days === undefined) return { from, to };
  const checked = distinct(`${name}.days`, days, 'an array of days of the week', (place, day) => {
    return checkInteger(place, day, 1, 7);
  });
  if (checked.length === 0) throw invalid(`${name}.days`, days, 'absent for every day, or to name one day or more');
  return { days: checked, from, to };
}

function checkTime(name: string, value: unknown, form: RegExp, accepted: string): void {
  if (typeof value !== 'string' || !form.test(value)) throw invalid(name, value, accepted);
}

function distinct<T>(
  name: string, value: unknown, accepted: string, check: (name: string, item: unknown) => T,
): T[] {
  const items = checkArray(name, value, accepted, check);
  const index = items.findIndex((item, at) => items.indexOf(item) < at);
  if (index >= 0) throw invalid(`${name}[${index}]`, items[index], 'another one than those before it');
  return items;
}

function rulesOf({ entries, groups = {}, weekStartsOn = 1 }: LimitPolicy): Rules {
  const named = new Map(Object.entries(groups).map(([name, rules]) => {
    return [name, subjectOf(`${groupPrefix}${name}`, rules, [])] as const;
  }));
  const all = new Map<string, KnownEntry>();
  for (const [id, rules] of Object.entries(entries)) {
    const memberOf = (rules.groups ?? []).map((name) => named.get(name)!);
    for (const group of memberOf) group.members.push(id);
    const { usesBalance = false } = rules;
    const balance = usesBalance === true ? id : usesBalance;
    const subjects = [subjectOf(id, rules, [id]), ...memberOf];
    all.set(id, balance === false ? { subjects } : { subjects, balance });
  }
  return { entries: all, weekStartsOn };
}

function subjectOf(subject: string, { windows, dailyMs, weeklyMs }: GroupRules, members: string[]): SubjectRules {
  return {
    subject, members,
    ...(windows && { windows: windows.map(windowOf) }),
    ...(dailyMs !== undefined && { dailyMs }),
    ...(weeklyMs !== undefined && { weeklyMs }),
  };
}

function windowOf({ days = everyDay, from, to }: LimitWindow): Window {
  return { days, from: timeOf(from), to: timeOf(to) };
}

function timeOf(text: string): number {
  return (Number(text.slice(0, 2)) * 60 + Number(text.slice(3))) * minuteMs;
}
