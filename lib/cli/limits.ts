// The command limits: which entries of a policy may start now, why not, and until when.
import { evaluateAll, type LimitReason, type Verdict } from '../modules/limits/limits.ts';
import type { SqliteStore } from '../store.ts';
import { localDay } from '../values/days.ts';
import { didYouMean } from '../values/near-miss.ts';
import type { Args } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, now, print, printJson } from './command.ts';
import { readPolicy } from './policy-file.ts';
import { openStore } from './store-path.ts';
import {
  clockTime, fit, instantText, lineWidth, nameColumn, nameRoom, type Output, painter, span, wrap,
} from './text.ts';

/** `limits`: shows which entries of a policy may start now. */
export const limits: Command = {
  name: 'limits',
  summary: 'Shows which entries of a policy may start, or why not',
  takes: ['POLICY.json', '[ENTRY]'],
  takesFiles: true,
  options: { ...dbOption, ...jsonOption },
  notes: [
    'POLICY.json is the policy that the service gives to evaluate, as JSON: entries,',
    'groups, their windows and quotas. Without ENTRY all of its entries are shown.',
    'What the running session has used is counted, and so is what was granted.',
    'Days and times are those of the local time zone (TZ).',
    'What is stored and cannot be read refuses, and the exit code is 1.',
  ],
  examples: ['limits policy.json --db shepherdd.db', 'limits policy.json minecraft --db shepherdd.db'],
  run: runLimits,
};

type Row = Verdict & { entryId: string };

/** What reads which entries of the policy in a file may start, and gives it as lines, for a screen that shows it. */
export function judgeBy(path: string): (store: SqliteStore, at: Date) => (stdout: Output) => string[] {
  const policy = readPolicy(path);
  const known = Object.keys(policy.entries);
  return (store, at) => {
    const rows = evaluateAll(store, policy, known, { at });
    return (stdout) => verdictLines(stdout, rows, known, at);
  };
}

async function runLimits(args: Args, io: Io): Promise<number> {
  const [path = '', entryId] = args.positionals;
  const policy = readPolicy(path);
  const known = Object.keys(policy.entries);
  using store = await openStore(args, io);
  const at = now(io);
  const rows = evaluateAll(store, policy, entryId === undefined ? known : [entryId], { at });
  if (args.flag('json')) printJson(io, { at, entries: rows });
  else if (rows.length === 0) print(io, ['The policy has no entries.']);
  else print(io, verdictLines(io.stdout, rows, known, at));
  return rows.some(({ reasons }) => reasons.some(({ code }) => code === 'unreadable')) ? 1 : 0;
}

/** A line for each entry, and below it one for each reason against it. */
export function verdictLines(stdout: Output, rows: readonly Row[], known: readonly string[], at: Date): string[] {
  const paint = painter(stdout);
  const names = nameColumn(stdout, rows.map(({ entryId }) => entryId), 52);
  return rows.flatMap((row) => {
    const line = `  ${names.cell(row.entryId)}  ${stateText(row, at, paint)}`;
    return [line, ...row.reasons.flatMap((reason) => reasonLines(stdout, reason, row.entryId, known, at))];
  });
}

function stateText(
  { allowed, remainingMs, deadline, changesAt }: Row, at: Date, paint: ReturnType<typeof painter>,
): string {
  if (!allowed) return `${paint('yellow', 'may not start')}${changesAt ? ` until ${timeText(changesAt, at)}` : ''}`;
  const left = remainingMs === undefined ? '' : `, ${span(remainingMs)} left`;
  return `${paint('green', 'may start')}${left}${deadline ? `, until ${timeText(deadline, at)}` : ''}`;
}

const reasonTexts: Record<LimitReason['code'], string> = {
  unknown_entry: 'the policy does not have it',
  denied: 'denied today',
  outside_window: 'outside its windows',
  daily_quota: "the day's time is used up",
  weekly_quota: "the week's time is used up",
  cooldown: 'in cooldown',
  no_balance: 'nothing is left of its balance',
  unreadable: 'what is stored of it cannot be read',
};

function reasonLines(
  stdout: Output, { code, subject, until }: LimitReason, entryId: string, known: readonly string[], at: Date,
): string[] {
  const suggestion = code === 'unknown_entry' ? didYouMean(entryId, known) : undefined;
  const words = [
    ...(subject === entryId ? [] : [`${fit(subject, nameRoom(stdout, 10))}:`]),
    ...reasonTexts[code].split(' '),
    ...(until ? ['until', timeText(until, at)] : []),
    ...(suggestion === undefined ? [] : fit(`(${suggestion})`, nameRoom(stdout, 10)).split(' ')),
  ];
  return wrap(words, lineWidth(stdout) - 6, nameRoom(stdout) === Infinity ? words : []).map((line) => `      ${line}`);
}

/** The time of an instant today, and of another one its day as well. */
function timeText(instant: Date, at: Date): string {
  return localDay(instant) === localDay(at) ? clockTime(instant) : instantText(instant);
}
