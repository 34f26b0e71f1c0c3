// The commands backup and restore.
import { resolve } from 'node:path';
import { backup, type Backup, restore, type Restored } from '../modules/backup/backup.ts';
import { connect, SqliteStore } from '../store.ts';
import { anchorText } from './anchor.ts';
import type { Args } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, print, printJson, withBar } from './command.ts';
import { signingKeyOf } from './keys.ts';
import { record, recordOption, type Recording } from './record.ts';
import { advised, hasLedger, openStore, tellStorePath } from './store-path.ts';
import { bytes, count, painter, plain } from './text.ts';
import { writeOptions } from './write.ts';

/** `backup`: copies a store that may be in use. */
export const backupCommand: Command = {
  name: 'backup',
  summary: 'Copies a store to a new file, beside a running service',
  takes: ['DEST'],
  options: { ...dbOption, ...recordOption, ...writeOptions },
  notes: [
    'The store may be written to meanwhile; the copy is the store as it was at one',
    'moment. It is checked, page by page and along the chain, before it gets its',
    'name. The snapshot file goes beside it. Nothing is overwritten. A ledger and',
    'archives are files of their own, and are not copied.',
    'Keep the anchor elsewhere: verify --anchor proves that the copy has that row.',
    'With --record the log of the store gets the event store_backed_up when the copy',
    'is durable, so that status and metrics know when the last one was made; the copy',
    'does not have it. Where that cannot be written, the copy is good all the same,',
    'and the error says so. --ledger and --key are for this alone.',
  ],
  examples: ['backup --db shepherdd.db /mnt/usb/shepherdd-2026-11-21.db'],
  run: runBackup,
};

async function runBackup(args: Args, io: Io): Promise<number> {
  const [destination = ''] = args.positionals;
  if (args.flag('record')) signingKeyOf(args); // a key that cannot be read is found before all of the work
  const { made, uuid, archivedId } = await copied(args, io, destination);
  const recording = args.flag('record') ? await recorded(args, io, made, uuid) : undefined;
  if (args.flag('json')) printJson(io, { ...made, ...(recording ? { recorded: recording.recorded } : undefined) });
  else print(io, madeLines(io, made, archivedId, recording));
  if (recording?.error !== undefined) throw recording.error;
  return 0;
}

async function copied(
  args: Args, io: Io, destination: string,
): Promise<{ made: Backup; uuid: string; archivedId: number | undefined }> {
  using store = await openStore(args, io);
  const made = await withBar(io, 'backup', (options) => backup(store, destination, options));
  return { made, uuid: connect(store).uuid, archivedId: store.health().archivedId };
}

function recorded(args: Args, io: Io, made: Backup, uuid: string): Promise<Recording> {
  const { path, bytes: size, head } = made;
  return record(args, io, {
    done: `the backup ${path} was made`, event: { type: 'store_backed_up', file: resolve(path), bytes: size },
    head, uuid, ledger: args.text('ledger'),
  });
}

function madeLines(io: Io, made: Backup, archivedId: number | undefined, recording: Recording | undefined): string[] {
  return [
    `${painter(io.stdout)('green', 'made')}: ${plain(made.path)}, ${bytes(made.bytes)}, ${extent(made)}`,
    ...(made.snapshotPath === undefined ? [] : [`      ${plain(made.snapshotPath)}, the state to resume from`]),
    ...(archivedId === undefined
      ? [] : [`      The rows up to ${count(archivedId)} are in archives, which are to be copied too.`]),
    ...(recording?.lines ?? []),
    ...anchorLines(made),
  ];
}

/** `restore`: puts a backup in the place of a store. */
export const restoreCommand: Command = {
  name: 'restore',
  summary: 'Puts a backup in the place of a store, which is kept aside',
  takes: ['BACKUP'],
  takesFiles: true,
  options: { ...dbOption, ...jsonOption },
  notes: [
    'Stop the service first: a store that it has open is not replaced. The',
    'backup is checked before anything changes, and stays as it is. What stood there',
    'is moved aside and listed; to undo, restore the database that was moved.',
    'A ledger is not touched. It has what came after the backup, and a service that',
    'opens the store with it gets that back; to go back for good, move it away first.',
  ],
  examples: ['restore --db shepherdd.db /mnt/usb/shepherdd-2026-11-21.db'],
  run: async (args, io) => {
    const path = tellStorePath(args, io);
    const [from = ''] = args.positionals;
    const restored = await withBar(io, 'restore', (options) => {
      return restore(from, path, { ...options, clock: io.clock });
    }).catch(async (error: unknown) => {
      throw await advised(error, from);
    });
    if (args.flag('json')) printJson(io, restored);
    else print(io, restoredLines(io, restored));
    return 0;
  },
};

function restoredLines(io: Io, restored: Restored): string[] {
  const paint = painter(io.stdout);
  const { path, replaced, moved, partedAfter, rewound } = restored;
  return [
    `${paint('green', 'restored')}: ${plain(path)}, ${extent(restored)}`,
    ...(replaced === 'other-store' ? [paint('yellow', 'What stood there was another store.')] : []),
    ...(partedAfter === undefined ? [] : [paint('yellow', partedText(partedAfter))]),
    ...(rewound ? [`${paint('yellow', 'rewound')}: ${rewoundText(rewound)}`] : []),
    ...(replaced === 'damaged' ? [paint('yellow', 'What stood there was damaged.')] : []),
    ...(moved.length > 0 ? ['moved aside', ...moved.map((file) => `  ${plain(file)}`)] : []),
    ...(hasKnownLedger(path) ? ['The store has a ledger: opened with it, the store gets back what came later.'] : []),
    ...anchorLines(restored),
  ];
}

function partedText(after: number): string {
  const where = after === 0 ? 'from their first row on' : `behind row ${count(after)}`;
  return `The logs of the backup and of what stood there have parted ${where}: both went on by themselves.`;
}

function rewoundText(outboxes: string[]): string {
  return `${outboxes.join(', ')} got later rows than the backup has: see renew-identity`;
}

/** Whether a store has a ledger; `false` also for one with an older schema, because it cannot be opened read-only. */
function hasKnownLedger(path: string): boolean {
  try {
    using store = SqliteStore.openReadOnly(path);
    return hasLedger(store);
  } catch {
    return false;
  }
}

function extent({ head }: Pick<Restored, 'head'>): string {
  return head ? `the log up to row ${count(head.id)}` : 'an empty log';
}

function anchorLines({ head }: Pick<Restored, 'head'>): string[] {
  return head ? ['', `anchor ${anchorText(head)}`] : [];
}
