// The commands balance and correct: time that was earned, and usage that was charged by mistake.
import { StoreError } from '../values/errors.ts';
import type { Args } from './args.ts';
import { type Command, type Io, now, print, printJson } from './command.ts';
import { UsageError } from './failures.ts';
import { limitLines, readBalances } from './limit-rows.ts';
import { errorLines } from './rows.ts';
import { openStore } from './store-path.ts';
import { entryOf, subjectOf } from './subject.ts';
import { brief, fit, nameRoom } from './text.ts';
import { parseChange } from './times.ts';
import { change, reasonOption, toldBy, writeNotes, writeOptions } from './write.ts';

const durationNote = 'DURATION is +30m, -1h30m, +2h or -90s; a number alone, +30, is minutes.';

/** `balance`: shows the time that was earned and not yet spent, or changes it. */
export const balance: Command = {
  name: 'balance',
  summary: 'Shows the time that an entry has earned, or changes it',
  takes: ['[ENTRY]', '[DURATION]'],
  options: {
    cap: { value: 'DURATION', help: 'adds no further than up to this balance' }, ...reasonOption, ...writeOptions,
  },
  notes: [
    'ENTRY is an entry, or a group as group:NAME. Without ENTRY all balances are',
    'listed; without DURATION the store is only read.',
    durationNote,
    'A balance is never below 0; what could not be added or taken off is said.',
    ...writeNotes,
    'A balance that cannot be read is shown as such, and the exit code is 1.',
  ],
  examples: ['balance', 'balance minecraft +30m --cap 2h --reason "reading"', 'balance minecraft -15m'],
  run: async (args, io) => (args.positionals.length > 1 ? adjust(args, io) : show(args, io)),
};

async function show(args: Args, io: Io): Promise<number> {
  for (const name of ['cap', 'reason']) {
    if (args.text(name) !== undefined) throw new UsageError(`--${name} goes with a change, such as +30m`);
  }
  const subject = args.positionals.length > 0 ? subjectOf(args) : undefined;
  if (subject !== undefined && parseChange(subject)?.isSigned) {
    throw new UsageError(`ENTRY is missing: write balance ENTRY ${subject}`);
  }
  using store = await openStore(args, io);
  if (subject !== undefined) {
    const balanceMs = store.getBalance(subject);
    if (args.flag('json')) printJson(io, { subject, balanceMs });
    else print(io, [`${fit(subject, nameRoom(io.stdout, 30))} has a balance of ${brief(balanceMs)}`]);
    return 0;
  }
  const rows = readBalances(store);
  const errors = errorLines(io.stdout, rows);
  if (args.flag('json')) printJson(io, { balances: rows });
  else if (rows.length === 0) print(io, ['No balances.']);
  else print(io, [...limitLines(io.stdout, [], rows), ...(errors.length > 0 ? ['', ...errors] : [])]);
  return errors.length > 0 ? 1 : 0;
}

function adjust(args: Args, io: Io): Promise<number> {
  const subject = subjectOf(args);
  const durationMs = signedAt(args, 1, 'the balance');
  const capMs = args.duration('cap');
  if (capMs !== undefined && durationMs < 0) throw new UsageError('--cap goes with a duration that is added');
  const told = toldBy(args);
  return change(args, io, (store) => {
    const { appliedMs, balanceMs } = store.adjustBalance({ subject, durationMs, capMs, ...told });
    const line = adjustedLine(fit(subject, nameRoom(io.stdout, 70)), durationMs, appliedMs, balanceMs);
    return { line, document: { subject, durationMs, capMs, appliedMs, balanceMs, ...told } };
  });
}

function adjustedLine(name: string, durationMs: number, appliedMs: number, balanceMs: number): string {
  const word = durationMs < 0 ? 'less' : 'more';
  const state = `for ${name}: the balance is ${brief(balanceMs)}`;
  if (appliedMs === durationMs) return `${brief(Math.abs(durationMs))} ${word} ${state}`;
  const why = durationMs < 0 ? 'there was no more to take off' : 'the cap leaves room for no more';
  return `${brief(Math.abs(appliedMs))} ${word}, not ${brief(Math.abs(durationMs))}, ${state}, and ${why}`;
}

/** A change that says by its sign that it is one, because 30m alone could be meant as the new value. */
function signedAt(args: Args, index: number, what: string): number {
  const { ms, isSigned } = args.changeAt(index);
  if (isSigned) return ms;
  const text = args.positionals[index]!;
  throw new UsageError(`"${text}" is what ${what} changes by: write +${text} or -${text}`);
}

/** `correct`: takes back usage that was charged by mistake, or adds what was not charged. */
export const correct: Command = {
  name: 'correct',
  summary: 'Corrects the usage of an entry that was charged by mistake',
  takes: ['ENTRY', 'DAY', 'DURATION'],
  options: {
    reason: { value: 'TEXT', help: 'why; required, the event keeps it', required: true }, ...writeOptions,
  },
  notes: [
    'DAY is YYYY-MM-DD, today or yesterday, in the local time zone (TZ).',
    durationNote,
    'A total is never corrected to less than 0. The time of a session that runs is',
    'charged when it ends.',
    ...writeNotes,
  ],
  examples: ['correct minecraft yesterday -30m --reason "left open"'],
  run: async (args, io) => {
    const entryId = entryOf(args, 0, 'usage');
    const day = args.dayAt(1, 'DAY', now(io));
    const durationMs = signedAt(args, 2, 'the total');
    const told = { ...toldBy(args), reason: requiredReason(args) };
    const name = fit(entryId, nameRoom(io.stdout, 60));
    return change(args, io, (store) => {
      const { totalMs } = store.transaction(() => {
        checkEnough(store.getUsage(entryId, day), durationMs, `${name} on ${day}`);
        return store.correctUsage({ entryId, day, durationMs, ...told });
      });
      const word = durationMs < 0 ? 'less' : 'more';
      const line = `${brief(Math.abs(durationMs))} ${word} used of ${name} on ${day}: ${brief(totalMs)} in all`;
      return { line, document: { entryId, day, durationMs, totalMs, ...told } };
    });
  },
};

/** The store refuses such a correction too, in milliseconds. */
function checkEnough(totalMs: number, durationMs: number, whose: string): void {
  if (totalMs + durationMs >= 0) return;
  const message = `${brief(-durationMs)} cannot be taken off the usage of ${whose}, which is ${brief(totalMs)}`;
  throw new StoreError('ERR_STORE_INVALID_ARGUMENT', message);
}

function requiredReason(args: Args): string {
  const reason = args.text('reason');
  if (reason !== undefined) return reason;
  throw new UsageError('--reason is missing: say why the usage is corrected');
}
