// The commands that work on a store and its ledger: replay, rebuild-ledger, rebuild-database, detach-ledger.
import type { Anchor } from '../core/chain.ts';
import { isSameStore } from '../core/identity.ts';
import { ledgerOrigin } from '../core/options.ts';
import { Ledger, type ParityReport, rebuildDatabase, rebuildLedger, replay, verifyParity } from '../ledger/index.ts';
import type { ArchiveFile } from '../modules/archive/files.ts';
import { connect, SqliteStore } from '../store.ts';
import { absolutePath, snapshotPathOf } from '../values/paths.ts';
import { existsAt } from '../values/place.ts';
import { anchorText } from './anchor.ts';
import { type Args, environmentPath, type Option, storeFile } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, long, print, printJson } from './command.ts';
import { UsageError } from './failures.ts';
import { keyOption } from './keys.ts';
import { needed } from './left-out.ts';
import { parityLines, settled, walkLines } from './parity.ts';
import { checkLedgerIsThere, hasLedger, openStore } from './store-path.ts';
import { count, counted, painter, plain } from './text.ts';
import { healedLines, openWithLedger } from './with-ledger.ts';

const ledgerOption: Record<string, Option> = {
  ledger: { value: 'FILE', help: 'its ledger; required', required: true },
};

/** `replay`: brings the database and the ledger to the same state. */
export const replayCommand: Command = {
  name: 'replay',
  summary: 'Brings a store and its ledger to one state, compares them',
  takes: [storeFile],
  options: { ...dbOption, ...ledgerOption, ...keyOption, ...jsonOption },
  notes: [
    'As whenever a service opens the store: what the ledger has more comes into the',
    'database with its effects, what the database has more into the ledger; an end',
    'that a power cut tore is set aside. Different contents for one row are never',
    'overwritten. Then every row is compared.',
    'The exit code is 1 when something differs.',
  ],
  examples: ['replay --db shepherdd.db --ledger audit.jsonl'],
  run: async (args, io) => {
    const { store, ledger, healed, close } = await openWithLedger(args, io);
    try {
      const first = await long(io, 'lines compared', (options) => replay(store, ledger, options));
      const compare = (): Promise<ParityReport> => {
        return long(io, 'lines compared', (options) => verifyParity(store, ledger, options));
      };
      const parity = await settled(io, compare, first.parity);
      if (args.flag('json')) printJson(io, { ...healed, parity });
      else {
        const lines = healedLines(io, healed);
        if (lines.length === 0) lines.push('replay    nothing: neither file lacked anything');
        print(io, [...lines, ...parityLines(io, parity, { hasLedger: true, isWhole: true })]);
      }
      return parity.isConsistent ? 0 : 1;
    } finally {
      close();
    }
  },
};

/** `detach-ledger`: ends the ledger, so that the store is used without it from then on. */
export const detachLedger: Command = {
  name: 'detach-ledger',
  summary: 'Ends the ledger of a store, which goes on without it',
  takes: [storeFile],
  options: { ...dbOption, ...ledgerOption, ...keyOption, force: { help: 'also while a service runs' }, ...jsonOption },
  notes: [
    'Stop the service first: while a process has the store open nothing is detached.',
    'With --force it is, and that process is refused every further write.',
    'Both files are brought to one state, and an event in both says that the ledger',
    'ends. It stays where it is, and proves everything up to there.',
  ],
  examples: ['detach-ledger --db shepherdd.db --ledger audit.jsonl'],
  run: async (args, io) => {
    const { store, ledger, healed, close } = await openWithLedger(args, io);
    try {
      store.detachLedger({ force: args.flag('force') });
      const head = store.auditHead()!;
      if (args.flag('json')) printJson(io, { ...healed, ledger: ledger.path, head });
      else {
        print(io, [
          ...healedLines(io, healed),
          `${painter(io.stdout)('green', 'detached')}: ${plain(ledger.path)} ends with row ${count(head.id)}`,
          'The store is opened without it from here on. The file stays where it is.',
          '', `anchor ${anchorText(head)}`,
        ]);
      }
      return 0;
    } finally {
      close();
    }
  },
};

/** `rebuild-ledger`: makes the ledger from the database. */
export const rebuildLedgerCommand: Command = {
  name: 'rebuild-ledger',
  summary: 'Makes a ledger anew from the audit log of a store',
  takes: [storeFile],
  options: {
    ...dbOption, ledger: { value: 'NEWFILE', help: 'the ledger to make; required', required: true }, ...jsonOption,
  },
  notes: [
    'For a ledger that is lost or damaged: move what is left of it away first, a file',
    'that is there is never overwritten. The log is verified before, and nothing is',
    'made from one that has a finding. The store itself is not changed.',
    'A service that is running keeps the ledger it opened: start it again afterwards.',
  ],
  examples: ['rebuild-ledger --db shepherdd.db --ledger audit.jsonl'],
  run: async (args, io) => {
    const path = newFile(args.required('ledger'), ['']);
    using store = await openStore(args, io);
    // The log is verified first, because a ledger made from a log that was tampered with would vouch for its events.
    const log = await long(io, 'events checked', (options) => store.verifyAudit(options));
    const made = log.ok ? await long(io, 'lines written', (options) => rebuildLedger(store, path, options)) : undefined;
    const storeHasLedger = hasLedger(store);
    if (args.flag('json')) {
      printJson(io, { ok: log.ok, path, events: made?.events ?? 0, hasLedger: storeHasLedger, log });
    } else if (made) {
      const advice = 'The store has no ledger so far; one that is opened with this goes on with it.';
      const lines = counted(made.events, 'line') + behindText(archivedIn(store));
      print(io, [madeLine(io, path, lines), ...(storeHasLedger ? [] : [advice])]);
    } else {
      const lines = walkLines(io, '', log, { unit: 'event', fits: '' });
      print(io, [...lines, '', 'Nothing was made: a ledger would vouch for this log.']);
    }
    return log.ok ? 0 : 1;
  },
};

/** `rebuild-database`: makes the database from the ledger. */
export const rebuildDatabaseCommand: Command = {
  name: 'rebuild-database',
  summary: 'Makes a database anew from a ledger',
  takes: [],
  options: {
    ledger: { value: 'FILE', help: 'the ledger; required', required: true },
    archives: { value: 'DIR', help: 'the folder of the archives that come before it' },
    db: { value: 'NEWFILE', help: 'the database to make; required', required: true },
    ...jsonOption,
  },
  notes: [
    'For a database that is lost or damaged: move what is left of it away first (with',
    'its -wal), a file that is there is never overwritten. It gets the log, usage and',
    'cooldowns; the state to resume from comes from the snapshot file beside it when',
    'the store is opened. Runs, facts and projects are in no ledger.',
    'Where rows were archived, --archives gives them back; rows that are in neither',
    'file are refused, by their ids.',
    'The exit code is 1 when the end of the ledger is torn and was left out.',
  ],
  examples: ['rebuild-database --ledger audit.jsonl --db shepherdd.db'],
  run: async (args, io) => {
    const ledgerPath = args.required('ledger');
    checkLedgerIsThere(ledgerPath);
    const ledger = Ledger.open(ledgerPath);
    const archives = await archivesOf(args, ledger);
    try {
      const path = newFile(args.text('db') ?? environmentPath() ?? args.required('db'), ['', '-wal']);
      const end = ledger.refresh();
      const leftOut = end.torn || (end.head?.id ?? 0) > end.groupEnd;
      const { events } = await long(io, 'events replayed', (options) => {
        return rebuildDatabase([...archives, ledger], path, options);
      });
      const { head, archivedId } = endsOf(path);
      if (args.flag('json')) {
        const ends = { ...(head ? { head } : undefined), ...(archivedId > 0 ? { archivedId } : undefined) };
        printJson(io, { ok: !leftOut, path, events, leftOut, ...ends });
      } else {
        const lines = [madeLine(io, path, counted(events, 'event') + behindText(archivedId))];
        if (archivedId > 0) lines.push('With the archives before it, --archives DIR, it begins with the first row.');
        const snapshotPath = snapshotPathOf(path);
        if (existsAt(snapshotPath)) lines.push(`The state to resume from is in ${plain(snapshotPath)}.`);
        if (leftOut) {
          const rest = `what follows row ${count(head?.id ?? 0)} in the ledger`;
          lines.push(`${painter(io.stdout)('red', 'left out')}: ${rest}: it is torn or was never committed`);
        }
        if (head) lines.push('', `anchor ${anchorText(head)}`);
        print(io, lines);
      }
      return leftOut ? 1 : 0;
    } finally {
      ledger.close();
    }
  },
};

/** The archives of the ledger's store in the folder that `--archives` names. */
async function archivesOf(args: Args, ledger: Ledger): Promise<Ledger[]> {
  const folder = args.text('archives');
  if (folder === undefined) return [];
  const { listArchives } = await needed('--archives', () => import('../modules/archive/files.ts'));
  const origin = ledgerOrigin(ledger.refresh());
  const isOurs = ({ store, to }: ArchiveFile): boolean => isSameStore({ store, lastId: to }, origin);
  const files = listArchives(folder).filter((file) => file.store !== undefined && isOurs(file));
  if (files.length === 0) throw new UsageError(`there is no archive of this ledger's store in ${folder}`);
  return files.map(({ path }) => Ledger.open(path));
}

/** The last row of a store, and the last one that is archived. */
function endsOf(path: string): { head: Anchor | undefined; archivedId: number } {
  using store = SqliteStore.openReadOnly(path);
  return { head: store.auditHead(), archivedId: archivedIn(store) };
}

/** The last archived row; 0 where there is none. */
function archivedIn(store: SqliteStore): number {
  const door = connect(store);
  return door.read('read where the log begins', () => door.parts.log.beginning().id);
}

function behindText(archivedId: number): string {
  return archivedId > 0 ? ` behind archived row ${count(archivedId)}` : '';
}

/** The absolute path of a file to make. Throws `UsageError` where the path with one of `suffixes` exists already. */
function newFile(path: string, suffixes: readonly string[]): string {
  for (const file of suffixes.map((suffix) => path + suffix)) {
    if (existsAt(file)) throw new UsageError(`${file} is there already, and is not overwritten: move it away first`);
  }
  return absolutePath(path);
}

function madeLine(io: Io, path: string, what: string): string {
  return `${painter(io.stdout)('green', 'made')}: ${plain(path)}, ${what}`;
}
