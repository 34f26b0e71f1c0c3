// The commands backup and restore.
import { backup, restore, type Restored } from '../modules/backup/backup.ts';
import { SqliteStore } from '../store.ts';
import { anchorText } from './anchor.ts';
import { type Command, dbOption, type Io, jsonOption, print, printJson, withBar } from './command.ts';
import { advised, hasLedger, openStore, tellStorePath } from './store-path.ts';
import { bytes, count, painter, plain } from './text.ts';

/** `backup`: copies a store that may be in use. */
export const backupCommand: Command = {
  name: 'backup',
  summary: 'Copies a store to a new file, beside a running service',
  takes: ['DEST'],
  options: { ...dbOption, ...jsonOption },
  notes: [
    'The store may be written to meanwhile; the copy is the store as it was at one',
    'moment. It is checked, page by page and along the chain, before it gets its',
    'name. The snapshot file goes beside it. Nothing is overwritten. A ledger and',
    'archives are files of their own, and are not copied.',
    'Keep the anchor elsewhere: verify --anchor proves that the copy has that row.',
  ],
  examples: ['backup --db shepherdd.db /mnt/usb/shepherdd-2026-11-21.db'],
  run: async (args, io) => {
    const [destination = ''] = args.positionals;
    using store = await openStore(args, io);
    const made = await withBar(io, 'backup', (options) => backup(store, destination, options));
    const { archivedId } = store.health();
    if (args.flag('json')) printJson(io, made);
    else {
      print(io, [
        `${painter(io.stdout)('green', 'made')}: ${plain(made.path)}, ${bytes(made.bytes)}, ${extent(made)}`,
        ...(made.snapshotPath === undefined ? [] : [`      ${plain(made.snapshotPath)}, the state to resume from`]),
        ...(archivedId === undefined
          ? [] : [`      The rows up to ${count(archivedId)} are in archives, which are to be copied too.`]),
        ...anchorLines(made),
      ]);
    }
    return 0;
  },
};

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
