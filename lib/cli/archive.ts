// The commands that shorten a log and forget: archive, forget-usage, forget-archives.
import { statSync } from 'node:fs';
import {
  archiveAudits, type Archived, type ArchiveFile, forgetArchives, forgetUsage, type UpTo,
} from '../modules/archive/archive.ts';
import { type ArchivePlan, type Held, planArchive } from '../modules/archive/range.ts';
import { connect, type SqliteStore } from '../store.ts';
import { parseInstant } from '../values/checks.ts';
import { anchorText } from './anchor.ts';
import { type Args, type Option, storeFile } from './args.ts';
import { type Command, type Io, now, print, printJson, withBar } from './command.ts';
import { UsageError } from './failures.ts';
import { openStore } from './store-path.ts';
import { bytes, count, counted, instantText, lineWidth, painter, plain, wrap } from './text.ts';
import { midnight } from './times.ts';
import { change, type Done, writeNotes, writeOptions } from './write.ts';

const folderOption: Record<string, Option> = {
  folder: { value: 'DIR', help: 'where the archives are; required', required: true },
};
const defaultDays = 90;

/** `archive`: moves the oldest rows of the log into a file. */
export const archive: Command = {
  name: 'archive',
  summary: 'Moves the oldest rows of the log into a file',
  takes: [storeFile],
  options: {
    ...folderOption,
    'keep-days': { value: 'N', help: `the rows of N days stay; ${defaultDays} by default` },
    before: { value: 'WHEN', help: 'the rows before this time go' },
    gzip: { help: 'compresses the file' },
    'dry-run': { help: 'says which rows would go, and ends' },
    ...writeOptions,
  },
  notes: [
    'Rows go up to the first one that is not older, and only once the file is',
    'written, read back and verified. What was cut short, the next call finishes.',
    'Rows of the running session and rows younger than a day stay; a --before that',
    'asks for them is refused. A ledger is cut at the same row.',
    'Keep the files: verify --archives DIR proves them with the log. The database',
    'does not get smaller, but its free pages are used again; vacuum gives them back.',
    'WHEN is a day, a time or how long ago, as in help audit. The folder is made',
    'where there is none. The exit code is 0 also where there is nothing to do.',
    ...writeNotes,
  ],
  examples: [
    'archive --db shepherdd.db --folder archives --keep-days 30',
    'archive shepherdd.db --folder archives --dry-run',
  ],
  run: async (args, io) => {
    const folder = args.required('folder');
    const upTo = upToOf(args, now(io));
    if (args.flag('dry-run')) return dryRun(args, io, upTo);
    return change(args, io, (store, ledgerPath) => {
      return move(store, io, { folder, upTo, gzip: args.flag('gzip') }, ledgerPath);
    });
  },
};

function upToOf(args: Args, at: Date): UpTo {
  const before = args.instant('before', at);
  const keepDays = args.integer('keep-days', 1, 36_500);
  if (before && keepDays !== undefined) throw new UsageError('--before does not go with --keep-days: give one of them');
  return before ? { before } : { keepDays: keepDays ?? defaultDays };
}

/** What there is of free pages and of the ledger, in bytes. */
interface Sizes {
  databaseBytes: number;
  freePageBytes: number;
  ledgerBytes?: number;
}

function sizesOf(store: SqliteStore, ledgerPath: string | undefined): Sizes {
  const { databaseBytes, freePageBytes } = store.health();
  const ledger = ledgerPath === undefined ? undefined : statSync(ledgerPath, { throwIfNoEntry: false });
  return { databaseBytes, freePageBytes, ...(ledger ? { ledgerBytes: ledger.size } : undefined) };
}

async function move(
  store: SqliteStore, io: Io, options: { folder: string; upTo: UpTo; gzip: boolean }, ledgerPath: string | undefined,
): Promise<Done> {
  const before = sizesOf(store, ledgerPath);
  const archived = await withBar(io, 'archive', (long) => archiveAudits(store, { ...options, ...long }));
  if (!archived) {
    const plan = await planArchive(store, options.upTo, io.signal);
    return { line: nothingLines(io, store, plan), document: { archived: null, ...heldField(plan) } };
  }
  const after = sizesOf(store, ledgerPath);
  return { line: archivedLines(io, archived, before, after), document: { archived, before, after } };
}

function archivedLines(io: Io, archived: Archived, before: Sizes, after: Sizes): string[] {
  const { from, to, path, sha256, anchor } = archived;
  const gained = Math.max(0, after.freePageBytes - before.freePageBytes);
  const [wasLedger, isLedger] = [before.ledgerBytes, after.ledgerBytes];
  const what = `${plain(path)}, ${bytes(archived.bytes)}, ${rowsText(from, to)}`;
  return [
    `${painter(io.stdout)('green', 'archived')}: ${what}`,
    `sha256    ${sha256}`,
    `database  ${bytes(gained)} more are free in it: ${bytes(after.freePageBytes)} of ${bytes(after.databaseBytes)}`,
    ...(wasLedger === undefined || isLedger === undefined
      ? [] : [`ledger    ${bytes(isLedger)}, ${bytes(wasLedger)} before`]),
    '', `anchor ${anchorText(anchor)}`,
  ];
}

function rowsText(from: number, to: number): string {
  return from === to ? `row ${count(from)}` : `rows ${count(from)} to ${count(to)}`;
}

async function dryRun(args: Args, io: Io, upTo: UpTo): Promise<number> {
  using store = await openStore(args, io);
  const plan = await planArchive(store, upTo, io.signal);
  const { range, unfinished } = plan;
  const at = range && timeOf(store, range.last.id);
  const [first, last] = range ? [range.from, range.last.id] : [];
  if (args.flag('json')) {
    const rows = range ? { from: first, to: last, at: at ?? null } : null;
    printJson(io, { archive: rows, ...heldField(plan), unfinished: unfinished ?? null });
  } else if (range) {
    const upToText = at ? `, the last one of ${instantText(at)}` : '';
    print(io, [
      ...unfinishedLines(io, plan),
      ...labelled(io, 'would go', rowsText(range.from, range.last.id) + upToText),
      ...heldLines(io, store, plan),
    ]);
  } else print(io, [...unfinishedLines(io, plan), ...nothingLines(io, store, plan)]);
  return 0;
}

function heldField({ held }: ArchivePlan): { held: Held | null } {
  return { held: held ?? null };
}

function unfinishedLines(io: Io, { unfinished }: ArchivePlan): string[] {
  if (unfinished === undefined) return [];
  return labelled(io, 'first', `the rows up to ${count(unfinished)}, of an archive that was cut short`);
}

function nothingLines(io: Io, store: SqliteStore, plan: ArchivePlan): string[] {
  return [plan.held ? 'Nothing to archive.' : 'Nothing to archive: the log has no row.', ...heldLines(io, store, plan)];
}

function heldLines(io: Io, store: SqliteStore, { held }: ArchivePlan): string[] {
  if (!held) return [];
  const at = timeOf(store, held.id);
  const row = `row ${count(held.id)}${at ? ` of ${instantText(at)}` : ''}`;
  return labelled(io, 'stays', `${row}, and what is behind it: ${held.why}`);
}

/** A text behind a label, on as many lines as it needs. */
function labelled(io: Io, label: string, text: string): string[] {
  const lines = wrap(text.split(' '), lineWidth(io.stdout) - 10);
  return lines.map((line, index) => `${(index === 0 ? label : '').padEnd(10)}${line}`);
}

/** When a row was written; `undefined` where that cannot be read. */
function timeOf(store: SqliteStore, id: number): Date | undefined {
  const door = connect(store);
  const sql = 'SELECT timestamp FROM audit_log WHERE id = ?';
  return parseInstant(door.read('read the time of a row', () => door.get<[unknown]>(sql, id))?.[0]);
}

/** `forget-usage`: deletes the totals of usage of days that are past. */
export const forgetUsageCommand: Command = {
  name: 'forget-usage',
  summary: 'Deletes the totals of usage before a day',
  takes: [storeFile],
  options: { before: { value: 'DAY', help: 'the first day that stays; required', required: true }, ...writeOptions },
  notes: [
    'DAY is YYYY-MM-DD, and before the last seven days, which quotas of a week count.',
    'An event records it. What was deleted is still in free pages until vacuum; with',
    'a ledger also in the events, which archive and forget-archives remove.',
    'It asks nothing. The exit code is 0 also where there is nothing to forget.',
    ...writeNotes,
  ],
  examples: ['forget-usage --db shepherdd.db --before 2026-01-01'],
  run: async (args, io) => {
    args.required('before');
    const before = args.day('before', now(io))!;
    return change(args, io, (store) => {
      const rows = forgetUsage(store, { before });
      const line = rows === 0
        ? `Nothing was forgotten: there is no usage before ${before}.`
        : `${painter(io.stdout)('green', 'forgotten')}: ${counted(rows, 'total')} of usage before ${before}`;
      return { line, document: { before, rows } };
    });
  },
};

/** `forget-archives`: deletes the oldest archives. */
export const forgetArchivesCommand: Command = {
  name: 'forget-archives',
  summary: 'Deletes the oldest archives of a store',
  takes: [storeFile],
  options: {
    ...folderOption,
    before: { value: 'DAY', help: 'archives whose last row is older go; required', required: true },
    ...writeOptions,
  },
  notes: [
    'From the first archive on, in the order of their rows. An event names them, and',
    'verify --archives begins behind them from then on. They cannot be got back.',
    'DAY is YYYY-MM-DD. It asks nothing. The exit code is 0 also where there is',
    'nothing to forget.',
    ...writeNotes,
  ],
  examples: ['forget-archives --db kiosk.db --folder old --before 2024-01-01'],
  run: async (args, io) => {
    const folder = args.required('folder');
    args.required('before');
    const before = midnight(args.day('before', now(io))!);
    return change(args, io, (store) => {
      const forgotten = forgetArchives(store, folder, { before });
      return { line: forgottenLines(io, folder, forgotten), document: { before, forgotten } };
    });
  },
};

function forgottenLines(io: Io, folder: string, files: readonly ArchiveFile[]): string[] {
  const [first, last] = [files[0], files.at(-1)];
  if (!first || !last) return [`Nothing was forgotten: no archive in ${plain(folder)} ends before that.`];
  const what = `${counted(files.length, 'archive')} with ${rowsText(first.from, last.to)}`;
  return [`${painter(io.stdout)('green', 'forgotten')}: ${what}`, ...files.map(({ path }) => `  ${plain(path)}`)];
}
