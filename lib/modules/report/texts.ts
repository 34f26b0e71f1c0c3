// Every text that a report shows, in English: another language is another object of this type.
import { type Html, html } from './html.ts';

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const weekdays = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

/** A part of a text: markup, or a text that is escaped when it is put in. */
type Piece = Html | string;

/** The parts of a day, for the texts that name it. Monday is the weekday 0, January the month 0. */
export interface DayParts {
  year: number;
  month: number;
  day: number;
  weekday: number;
}

// Not by toLocaleString, whose first call takes longer than a whole page of numbers.
function grouped(value: number): string {
  return String(value).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

function count(value: number, one: string, many = `${one}s`): string {
  return `${grouped(value)} ${value === 1 ? one : many}`;
}

function leftOut(rows: string): string {
  return `${rows} left out here. All of them:`;
}

/** The texts in English. */
export const english = {
  language: 'en',
  title: 'What was used',
  weekdays: weekdays as readonly string[],
  /** The day of a row. */
  day: ({ weekday, day, month }: DayParts): string => `${weekdays[weekday]} ${day} ${months[month]}`,
  /** A day beside which no year stands. */
  fullDay: ({ weekday, day, month, year }: DayParts): string => `${weekdays[weekday]} ${day} ${months[month]} ${year}`,
  month: ({ month, year }: DayParts): string => `${months[month]} ${year}`,
  range: (first: string, last: string, days: number): string => {
    return first === last ? first : `${first} to ${last} (${count(days, 'day')})`;
  },
  zone: (zone: Piece): Html => html`days and times of ${zone}`,
  made: (day: string, time: string): string => `made ${day} at ${time}`,
  only: (names: readonly Html[], more: number): Html => {
    return html`Only ${names.map((name, index) => [index > 0 && ', ', name])}${more > 0 && ` and ${more} more`}`;
  },
  contentsOfPage: 'Parts of this report',
  hours: (ms: number): string => {
    const minutes = Math.floor(ms / 60_000);
    if (minutes === 0) return ms === 0 ? '0 min' : `${Math.floor(ms / 1000)} s`;
    const hours = Math.floor(minutes / 60);
    const rest = minutes % 60 === 0 ? '' : `${minutes % 60} min`;
    return hours === 0 ? rest : `${grouped(hours)} h${rest && ` ${rest}`}`;
  },
  unreadable: 'This cannot be read:',
  cannotBeRead: 'cannot be read',
  notKnown: '–',
  eventsUnreadable: (events: number): string => {
    return `${count(events, 'event')} could not be read, and nothing of them is shown.`;
  },
  figures: (of: string): string => `The figures: ${of}`,
  dayColumn: 'Day',
  total: 'Total',

  summary: 'In short',
  used: 'Used',
  mean: 'A day on average',
  meanOf: (days: number, left: number): string => {
    const note = left === 0 ? '' : `; ${count(left, 'day')} without a record left out`;
    return `of ${count(days, 'day')}${note}`;
  },
  comparison: 'A week before',
  compared: (before: string): string => `than the ${before} of the same days a week before`,
  comparedEqual: (before: string): string => `as the ${before} of the same days a week before`,
  moreUsed: (by: string): string => `${by} more`,
  lessUsed: (by: string): string => `${by} less`,
  equallyUsed: 'as much',
  nothingBefore: 'nothing',
  nothingCompared: 'was used on the same days a week before',
  unknownBefore: 'what was used on the same days a week before is not known',
  partUnknownBefore: (days: number): string => `; ${grouped(days)} of these not recorded`,
  mostUsed: 'Most used',
  lacking: 'The totals are without what cannot be read:',

  days: 'How long each day',
  daysPicture: (layers: number): string => {
    const parts = count(layers, 'part');
    return `Bars: how long each day, of up to ${parts} in the order of the list. The table has the figures.`;
  },
  nothingUsed: 'Nothing was used.',
  nothingRecorded: (silent: number): string => {
    const days = silent === 1 ? '1 day is' : `${grouped(silent)} days are`;
    return `Nothing was used, as far as that is known: ${days} not recorded.`;
  },
  noneRecorded: 'Not recorded: the service wrote nothing on these days, so what happened is not known.',
  nothingReadable: 'Nothing was used, as far as that can be read.',
  others: (entries: number): string => `others (${entries})`,
  weekBefore: 'a week before',
  weekBeforeKey: 'thin grey bar: the day a week before',
  silent: 'not recorded',
  archived: 'events archived',
  future: 'not yet',
  silentMeaning: 'not recorded: the service wrote nothing on that day, so what happened is not known',
  archivedMeaning: 'events archived: the day’s events are in an archive',
  partUnreadable: 'part of it cannot be read',
  daysCaption: 'Each day, and the day a week before',
  entriesCaption: (part: number, parts: number): string => {
    return `Each day by entry${parts > 1 ? ` (${part} of ${parts})` : ''}`;
  },
  entryTotals: 'All entries',
  entry: 'Entry',

  quotas: 'Against the quotas',
  noQuotas: 'The policy has no quota for a day.',
  quotaPicture: (name: string): string => `Bars: ${name}, each day against its quota. The table has the figures.`,
  quotaKey: 'upright line: what was allowed',
  overKey: 'hatched: more than that',
  aDay: (time: string): string => `${time} a day`,
  over: 'over',
  daysOver: (days: number): string => (days === 0 ? 'never over' : `over on ${count(days, 'day')}`),
  allowed: (time: string): string => `of ${time}`,
  quotasShown: (shown: number, all: number): string => `Drawn: the ${shown} most used of ${all}. The table has all.`,
  newestDrawn: (days: number): string => `Drawn: the newest ${days} days. The table has all.`,
  quotasCaption: (part: number, parts: number): string => {
    return `Each day against its quota${parts > 1 ? ` (${part} of ${parts})` : ''}`;
  },
  group: (name: Html): Html => html`group ${name}`,

  hoursOfDay: 'Hours of the day',
  hoursPicture: 'Seven weekdays by 24 hours: how long sessions ran, on average. The table has the figures.',
  hoursKey: 'average within the hour:',
  minutes: (minutes: number): string => `${minutes} min`,
  hour: (hour: number): string => `${hour}–${hour + 1}`,
  hourColumn: 'Hour',
  hoursCaption: 'Average within each hour, in minutes and seconds, by weekday',
  noHourMeaning: '–: no such day is recorded',

  sessions: 'Sessions',
  sessionsOf: (sessions: number): string => count(sessions, 'session'),
  earlierSessions: (more: number): string => leftOut(count(more, 'earlier session')),
  noSessions: 'No session.',
  noHours: 'No session of which the hours are known.',
  sessionsArchived: (days: number): string => {
    return `Not listed: sessions of ${count(days, 'day')} whose events are in an archive.`;
  },
  sessionsCaption: 'Sessions by day',
  from: 'From',
  to: 'To',
  howLong: 'How long',
  ended: 'Why it ended',
  unknownDay: 'Day unknown',
  noBeginning: 'not known',
  running: 'running',
  endUnknown: 'end not known',
  laterDay: (days: number): string => (days < 0 ? `−${-days} d` : `+${days} d`),
  reasons: {
    expired: 'its time was up',
    user_stop: 'stopped by the user',
    admin_stop: 'stopped by an administrator',
    policy_stop: 'stopped by a rule',
    service_shutdown: 'the service was stopped',
    service_crashed: 'a crash or a power cut',
    process_exited: 'the program ended',
    launch_failed: 'could not be started',
  } as Record<string, string>,
  exitCode: (code: number): string => `with code ${code}`,

  denied: 'Refused',
  deniedOf: (denied: number): string => `${count(denied, 'time', 'times')}`,
  earlierDenied: (more: number): string => leftOut(count(more, 'earlier refusal')),
  noneDenied: 'Nothing was refused.',
  deniedCaption: 'Launches that were refused',
  when: 'When',
  why: 'Why',
  limits: {
    unknown_entry: 'the policy does not have it',
    denied: 'closed for that day',
    outside_window: 'not at this time of day',
    daily_quota: 'the day’s time was used up',
    weekly_quota: 'the week’s time was used up',
    cooldown: 'its break was not over',
    no_balance: 'nothing was left to spend',
    unreadable: 'what decides could not be read',
  } as Record<string, string>,

  changes: 'Granted, corrected, earned',
  earlierChanges: (more: number): string => leftOut(count(more, 'earlier change')),
  noChanges: 'Nothing was granted, corrected or earned.',
  changesCaption: 'What was changed by hand',
  what: 'What',
  whom: 'For',
  granted: (time: string): string => `${time} granted`,
  taken: (time: string): string => `${time} taken away`,
  opened: 'opened, whatever the hours are',
  closed: 'closed',
  byRule: 'as the rules say again',
  earned: (time: string): string => `${time} earned`,
  spent: (time: string): string => `${time} spent`,
  corrected: (time: string): string => `usage corrected by ${time}`,
  forDay: (day: Piece): Html => html`for ${day}`,
  bySource: (source: Html): Html => html`by ${source}`,

  machine: 'What the machine had',
  earlierMachine: (more: number): string => leftOut(count(more, 'earlier event')),
  noMachine: 'Nothing is recorded of the machine.',
  machineCaption: 'Starts, stops and faults',
  machineKinds: {
    started: 'started',
    stopped: 'stopped',
    crashed: 'crashed, or lost its power',
    recovered: 'recovered',
    clock_back: 'the clock went back',
    archived: 'events moved to an archive',
    backed_up: 'backed up',
    verified: 'verified',
    identity: 'became a store of its own',
  } as Record<string, string>,
  lost: (to: number, from?: number): string => {
    return from === undefined || from === to ? `lost: row ${to}` : `lost: rows ${from} to ${to}`;
  },
  back: (time: string): string => `by ${time}`,

  proof: 'How far this can be trusted',
  log: 'The log',
  verifies: (rows: number): string => {
    if (rows === 0) return 'is empty';
    return rows === 1 ? 'verifies: 1 row' : `verifies: each of ${count(rows, 'row')} follows from the one before it`;
  },
  doesNotVerify: (rows: number): string => `DOES NOT VERIFY (${count(rows, 'row')} checked)`,
  archivedUpTo: (id: number): string => `It begins after row ${id}; the rows up to that one are in an archive.`,
  anchor: 'Anchor',
  anchorUse: 'the newest row and its hash: whoever keeps it can find out later whether the log was changed',
  noAnchor: 'none: the log is empty',
  store: 'Store',
  timeZone: 'Time zone',
  madeAt: 'Made at',
  versions: 'Versions',
  versionsOf: (of: { package: Html; schema: number; node: Html; sqlite: Html }): Html => {
    return html`shepherd-store ${of.package}, schema ${of.schema}, Node ${of.node}, SQLite ${of.sqlite}`;
  },
};

/** The texts of a language. */
export type Texts = typeof english;
