// Contents of reports as a household has them, made up by a seed, and as large ones as a report has to be drawn of.
import type {
  Change, Contents, DayRecord, History, MachineEvent, Quota, ReportSession, Usage,
} from '../../lib/modules/report/contents.ts';
import { hostileTexts } from './hostile.ts';
import { seededRandom } from './random.ts';

const dayMs = 86_400_000;
const known = ['Minecraft', 'Web browser', 'GCompris', 'Tux Paint', 'Videos', 'Super Tux', 'Scratch', 'Music', 'Chess'];

interface Settings {
  seed?: number;
  days?: number;
  entries?: number;
  /** How many subjects have a quota. */
  quotas?: number;
  /** Sessions of each day on which something was used. */
  sessions?: number;
  labels?: readonly string[];
}

/** Contents with something of everything. */
export function makeContents(settings: Settings = {}): Contents {
  const { seed = 1, days: count = 28, entries = 6, quotas = 3, sessions = 3, labels = known } = settings;
  const random = seededRandom(seed);
  const last = Date.parse('2026-11-30T00:00:00Z');
  const days = Array.from({ length: count }, (_, index) => {
    return new Date(last - (count - 1 - index) * dayMs).toISOString().slice(0, 10);
  });
  const recorded = days.map((_, index): DayRecord => {
    if (index === count - 1 && count > 7) return 'future';
    if (index === 0 && count > 7) return 'archived';
    return index % 11 === 5 ? 'silent' : 'recorded';
  });
  const usage = usageOf(days, recorded, entries, random);
  const history = historyOf(days, recorded, usage, sessions, random);
  return {
    days, timeZone: 'Europe/Berlin', madeAt: new Date('2026-11-29T20:15:03.120Z'),
    labels: new Map(usage.entries.map(({ entryId }, index) => [entryId, labels[index] ?? `Game number ${index}`])),
    usage: { value: usage },
    quotas: { value: quotasOf(days, usage, quotas, random) },
    history: { value: history },
    proof: { value: { ok: true, checkedRows: 12_345, anchor: { id: 12_345, hash: 'ab12'.repeat(16) }, problems: [] } },
    versions: { package: '0.1.0', schema: 10, node: '26.10.0', sqlite: '3.51.0' },
    uuid: '0198c5c4-7a53-7c5e-9a53-0b8a3a5d7e10',
  };
}

function usageOf(days: readonly string[], recorded: readonly DayRecord[], count: number, random: () => number): Usage {
  const entries = Array.from({ length: count }, (_, entry) => {
    const byDay = days.map((_, index) => {
      const isUsed = recorded[index] === 'recorded' && index % 9 !== 7 && random() < 0.75;
      if (!isUsed) return 0;
      const ms = Math.floor((random() * 90 * 60_000) / (1 + entry / 2));
      return entry === 0 && index === 3 ? ms + 0.5 * 3_600_000 : ms - (index % 3 === 0 ? 0 : ms % 1000);
    });
    return { entryId: `app-${entry}`, byDay, total: byDay.reduce((sum, ms) => sum + ms, 0) };
  });
  entries.sort((one, other) => other.total - one.total);
  const dayTotals = days.map((_, index) => entries.reduce((sum, { byDay }) => sum + byDay[index]!, 0));
  const before = days.map((_, index) => dayTotals[index - 7] ?? Math.floor(random() * 3 * 3_600) * 1000);
  return { entries, dayTotals, total: dayTotals.reduce((sum, ms) => sum + ms, 0), weekBefore: before, unreadable: [] };
}

function quotasOf(days: readonly string[], usage: Usage, count: number, random: () => number): Quota[] {
  return usage.entries.slice(0, count).map(({ entryId, byDay }, index) => {
    const dailyMs = (index + 2) * 15 * 60_000;
    return {
      subject: index === 2 ? 'group:games' : entryId, members: [entryId], dailyMs,
      allowedMs: days.map(() => (random() < 0.1 ? dailyMs + 30 * 60_000 : dailyMs)), usedMs: byDay,
    };
  });
}

const ends = [
  { type: 'expired' }, { type: 'user_stop' }, { type: 'process_exited', exitCode: 0 },
  { type: 'process_exited', exitCode: 3 }, { type: 'launch_failed', error: 'no such file' },
  { type: 'service_crashed' },
] as const;

function sessionsOf(days: readonly string[], usage: Usage, each: number, random: () => number): ReportSession[] {
  const sessions = days.flatMap((day, index) => {
    if (usage.dayTotals[index] === 0) return [];
    return Array.from({ length: each }, (_, place): ReportSession => {
      const from = new Date(Date.parse(`${day}T13:05:00Z`) + place * 95 * 60_000 + Math.floor(random() * 1_800_000));
      const durationMs = Math.floor(random() * 5_400) * 1000;
      return {
        sessionId: `${day}-${place}`, entryId: usage.entries[Math.floor(random() * usage.entries.length)]!.entryId,
        from, to: new Date(from.getTime() + durationMs), durationMs, reason: ends[Math.floor(random() * ends.length)]!,
      };
    });
  });
  const lastDay = days.at(-2) ?? days[0]!;
  const { entryId } = usage.entries[0] ?? { entryId: 'app-0' };
  const late = new Date(`${lastDay}T22:30:00Z`);
  const lateMs = 5_400_000;
  return [
    ...sessions.sort((one, other) => one.from!.getTime() - other.from!.getTime()),
    {
      sessionId: 'late', entryId, from: late, to: new Date(late.getTime() + lateMs), durationMs: lateMs,
      reason: ends[0],
    },
    { sessionId: 'lost', entryId, from: new Date(`${lastDay}T08:00:00Z`) },
    { sessionId: 'begun', entryId, to: new Date(`${lastDay}T09:00:00Z`), durationMs: 60_000, reason: ends[1] },
    { sessionId: 'now', entryId, from: new Date(`${lastDay}T19:45:00Z`), isRunning: true },
  ];
}

function historyOf(
  days: readonly string[], recorded: DayRecord[], usage: Usage, each: number, random: () => number,
): History {
  const sessions = sessionsOf(days, usage, each, random);
  const weekdays = [0, 0, 0, 0, 0, 0, 0];
  for (const day of days) weekdays[(new Date(day).getUTCDay() + 6) % 7]! += 1;
  const hours = weekdays.map((_, weekday) => Array.from({ length: 24 }, (_, hour) => {
    const isLikely = hour >= (weekday > 4 ? 9 : 13) && hour < 21;
    return isLikely ? Math.floor(random() * 55 * 60_000 * weekdays[weekday]!) : 0;
  }));
  const at = (index: number, time: string): Date => new Date(`${days[Math.min(index, days.length - 1)]}T${time}Z`);
  const reasons = [['daily_quota'], ['outside_window', 'cooldown'], ['school_day'], ['unknown_entry']];
  return {
    recorded, recordedBefore: days.map(() => 'recorded'), sessions, hours,
    clockHours: weekdays.map((count) => Array<number>(24).fill(count * 3_600_000)),
    denied: reasons.map((codes, index) => {
      return { at: at(index * 5 + 1, '17:30:12'), entryId: `app-${index}`, reasons: codes };
    }),
    changes: changesAt(at, days), machine: machineAt(at), unreadable: 0,
  };
}

function changesAt(at: (index: number, time: string) => Date, days: readonly string[]): Change[] {
  const day = days[0]!;
  return [
    {
      at: at(1, '08:00:00'), kind: 'granted', subject: 'app-0', day, durationMs: 1_800_000, reason: 'did the dishes',
      source: 'mum',
    },
    { at: at(2, '08:00:00'), kind: 'granted', subject: 'group:games', day, durationMs: -900_000 },
    { at: at(3, '08:00:00'), kind: 'availability', subject: 'app-1', day, availability: 'denied', reason: 'exam' },
    { at: at(4, '08:00:00'), kind: 'availability', subject: 'app-1', day, availability: 'allowed' },
    { at: at(5, '08:00:00'), kind: 'availability', subject: 'app-1', day, availability: null },
    { at: at(6, '08:00:00'), kind: 'earned', subject: 'app-2', durationMs: 600_000, reason: 'reading', source: 'dad' },
    { at: at(7, '08:00:00'), kind: 'earned', subject: 'app-2', durationMs: -300_000 },
    { at: at(8, '08:00:00'), kind: 'corrected', subject: 'app-0', day, durationMs: -1_200_500, reason: 'left running' },
    { at: at(9, '08:00:00'), kind: 'corrected', subject: 'app-0', day, durationMs: 60_000, reason: 'clock' },
  ];
}

function machineAt(at: (index: number, time: string) => Date): MachineEvent[] {
  return [
    { at: at(1, '06:59:58'), kind: 'started' },
    { at: at(2, '21:00:00'), kind: 'stopped' },
    { at: at(3, '07:10:00'), kind: 'crashed' },
    { at: at(3, '07:12:00'), kind: 'recovered', found: 'a -wal of another file', lost: { from: 812, to: 815 } },
    { at: at(4, '07:12:00'), kind: 'recovered', found: 'damage', lost: { to: 900 } },
    { at: at(5, '03:00:00'), kind: 'clock_back', backMs: 3_600_000 },
    { at: at(6, '03:00:00'), kind: 'archived' },
    { at: at(7, '03:00:00'), kind: 'backed_up' },
    { at: at(7, '03:05:00'), kind: 'verified' },
    { at: at(7, '03:06:00'), kind: 'identity' },
  ];
}

/** Contents in which every text that somebody can have given is a hostile one. */
export function hostileContents(): Contents {
  const contents = makeContents({ days: 14, entries: hostileTexts.length, quotas: 12, labels: hostileTexts });
  const text = (index: number): string => hostileTexts[index % hostileTexts.length]!;
  const history = contents.history.value!;
  history.sessions.forEach((session, index) => (session.reason = { type: 'launch_failed', error: text(index) }));
  history.sessions.push({ sessionId: 'odd', entryId: text(0), reason: { type: text(1) as 'expired' } });
  history.denied = hostileTexts.map((each) => ({ at: contents.madeAt, entryId: each, reasons: [each] }));
  history.changes = hostileTexts.map((each) => ({
    at: contents.madeAt, kind: 'corrected', subject: `group:${each}`, day: each, durationMs: 1,
    reason: each, source: each,
  }));
  history.machine = hostileTexts.map((each) => ({ at: contents.madeAt, kind: 'recovered', found: each }));
  contents.usage.value!.unreadable = hostileTexts.map((each) => ({ entryId: each, day: each, message: each }));
  const anchor = { id: 1, hash: text(0) };
  contents.proof = { value: { ok: false, checkedRows: 1, problems: [...hostileTexts], anchor } };
  contents.quotas!.value!.forEach((quota, index) => (quota.subject = `group:${text(index)}`));
  contents.entryIds = [...hostileTexts];
  return { ...contents, uuid: text(1), versions: { package: text(2), schema: 1, node: text(3), sqlite: text(4) } };
}

/** Contents of a store in which nothing has happened. */
export function emptyContents(): Contents {
  const contents = makeContents({ days: 7, entries: 0, quotas: 0, sessions: 0 });
  const history = contents.history.value!;
  const none = history.hours.map((hours) => hours.map(() => 0));
  return {
    ...contents,
    usage: { value: { ...contents.usage.value!, weekBefore: contents.days.map(() => 0) } },
    history: {
      value: {
        ...history, recorded: contents.days.map(() => 'recorded'), sessions: [], hours: none, denied: [], changes: [],
        machine: [],
      },
    },
    proof: { value: { ok: true, checkedRows: 0, problems: [] } },
  };
}

/** Contents of days on which nothing was used, and a session runs. */
export function unusedContents(recorded: DayRecord[], unreadable: Usage['unreadable'] = []): Contents {
  const contents = emptyContents();
  const history = contents.history.value!;
  history.recorded = recorded;
  history.sessions = [{ sessionId: 's', entryId: 'a', from: contents.madeAt, isRunning: true }];
  contents.usage.value!.unreadable = unreadable;
  return contents;
}

/** Contents of a store of which nothing can be read. */
export function unreadableContents(): Contents {
  const unreadable = 'database disk image is malformed';
  const parts = { usage: { unreadable }, quotas: { unreadable }, history: { unreadable }, proof: { unreadable } };
  return { ...makeContents(), ...parts };
}
