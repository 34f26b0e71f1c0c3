// The commands that work on a store and its ledger: replay, rebuild-ledger, rebuild-database, detach-ledger.
import type { KeyObject } from 'node:crypto';
import type { Anchor } from '../audit.ts';
import { decodeSigningKey } from '../events.ts';
import { existsAt, snapshotPathOf } from '../files.ts';
import { Ledger, rebuildDatabase, rebuildLedger, replay, verifyParity } from '../ledger/index.ts';
import { ledgerAfter } from '../mirroring.ts';
import { absolutePath } from '../paths.ts';
import { connect, SqliteStore } from '../store.ts';
import { anchorText } from './anchor.ts';
import { storeFile } from './args.ts';
import type { Args } from './args.ts';
import { dbOption, jsonOption, long, print, printJson } from './command.ts';
import type { Command, Io, Option } from './command.ts';
import { UsageError } from './failures.ts';
import { checkKeyFits, keyOption, signingKeyOf } from './keys.ts';
import { parityLines, settled, walkLines } from './parity.ts';
import { environmentPath, openStore, storePath } from './store-path.ts';
import { count, counted, painter, plain } from './text.ts';
import { hasLedger, openLedger } from './verify.ts';

const ledgerOption: Record<string, Option> = { ledger: { value: 'FILE', help: 'its ledger; required', required: true } };

/** `replay`: brings both files to the same state. */
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
    const { store, ledger, healed } = openWithLedger(args, io);
    try {
      const first = await long(io, 'lines compared', (options) => replay(store, ledger, options));
      const parity = await settled(io, () => long(io, 'lines compared', (options) => verifyParity(store, ledger, options)), first.parity);
      if (args.flag('json')) printJson(io, { ...healed, parity });
      else {
        const changed = healedLines(io, healed);
        print(io, [...(changed.length > 0 ? changed : ['replay    nothing: neither file lacked anything']), ...parityLines(io, parity, { hasLedger: true, isWhole: true })]);
      }
      return parity.isConsistent ? 0 : 1;
    } finally {
      close(store, ledger);
    }
  },
};

/** `detach-ledger`: the store goes on without it. */
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
  run: (args, io) => {
    const { store, ledger, healed } = openWithLedger(args, io);
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
      close(store, ledger);
    }
  },
};

function close(store: SqliteStore, ledger: Ledger): void {
  store.close();
  ledger.close();
}

/** What opening a store with its ledger changed. */
interface Healed {
  /** How many events came from the ledger into the database. */
  replayed: number;
  /** How many came from the database into the ledger. */
  written: number;
  /** Where a torn end of the ledger is now. */
  setAside: string[];
  /** What else was found at open; see `SqliteStore.recovery`. */
  recovery?: SqliteStore['recovery'];
}

interface WithLedger {
  store: SqliteStore;
  ledger: Ledger;
  healed: Healed;
}

/**
 * Opens a store with the ledger that it has, and tells what that changed. Throws `UsageError` where the store has none: to
 * open it would make this one its ledger.
 */
function openWithLedger(args: Args, io: Io): WithLedger {
  const [path, ledgerPath] = [storePath(args), args.required('ledger')];
  const { ledger, before } = lookBefore(args, io, ledgerPath, signingKeyOf(args));
  try {
    const store = SqliteStore.open(path, { ledger, ...(io.clock ? { clock: io.clock } : undefined) });
    const { recovery } = store;
    return { store, ledger, healed: { ...before, setAside: recovery?.setAside?.map(({ path: file }) => file) ?? [], ...(recovery ? { recovery } : undefined) } };
  } catch (error) {
    ledger.close();
    throw error;
  }
}

/** The ledger to open a store with, and what opening is going to change. Looks at the store and closes it again. */
function lookBefore(args: Args, io: Io, path: string, key: KeyObject | undefined): { ledger: Ledger; before: Pick<Healed, 'replayed' | 'written'> } {
  using store = openStore(args, io, path);
  openLedger(path, store).close(); // where there is none, opening the store would make one
  const ledger = Ledger.open(path, key ? { signingKey: key } : {});
  try {
    return { ledger, before: compareEnds(store, args, ledger, key) };
  } catch (error) {
    ledger.close();
    throw error;
  }
}

/** How much each of the two lacks, as far as their ends tell. Throws `UsageError` where they do not belong together. */
function compareEnds(store: SqliteStore, args: Args, ledger: Ledger, key: KeyObject | undefined): Pick<Healed, 'replayed' | 'written'> {
  const end = ledger.refresh();
  const head = store.auditHead()?.id ?? 0;
  let has: 0 | 1 = hasLedger(store) ? 1 : 0;
  let signer = signerOf(store);
  if (end.store === connect(store).uuid && end.groupEnd > head) {
    for (const row of ledger.rows(head + 1)) {
      has = ledgerAfter(row) ?? has;
      if (row.type === 'signing_started') signer = decodeSigningKey(row.id, row.data);
    }
  }
  if (has === 0) throw new UsageError(`the store ${storePath(args)} has no ledger: a service begins one by opening the store with it`);
  checkKeyFits(key, signer);
  return { replayed: Math.max(0, end.groupEnd - head), written: Math.max(0, head - (end.head?.id ?? 0)) };
}

/** The public key that the store began to sign with last. */
function signerOf(store: SqliteStore): string | undefined {
  const door = connect(store);
  const sql = "SELECT id, event_data FROM audit_log WHERE event_type = 'signing_started' ORDER BY id DESC LIMIT 1";
  const row = door.read('look for the key', () => door.prepare(sql).get()) as unknown as [number, unknown] | undefined;
  return row && decodeSigningKey(...row);
}

function healedLines(io: Io, { replayed, written, setAside, recovery }: Healed): string[] {
  const paint = painter(io.stdout);
  return [
    ...(replayed > 0 ? [`${paint('yellow', 'replayed')}  ${counted(replayed, 'event')} that the database lacked`] : []),
    ...(written > 0 ? [`${paint('yellow', 'written')}   ${counted(written, 'line')} that the ledger lacked`] : []),
    ...setAside.map((name) => `${paint('yellow', 'set aside')} the torn end of the ledger: ${plain(name)}`),
    ...(recovery && !recovery.found.startsWith('ledger-') ? [`${paint('yellow', 'recovered')} the database was found ${recovery.found}; the event store_recovered says more`] : []),
  ];
}

/** `rebuild-ledger`: the ledger from the database. */
export const rebuildLedgerCommand: Command = {
  name: 'rebuild-ledger',
  summary: 'Makes a ledger anew from the audit log of a store',
  takes: [storeFile],
  options: { ...dbOption, ledger: { value: 'NEWFILE', help: 'the ledger to make; required', required: true }, ...jsonOption },
  notes: [
    'For a ledger that is lost or damaged: move what is left of it away first, a file',
    'that is there is never overwritten. The log is verified before, and nothing is',
    'made from one that has a finding. The store itself is not changed.',
    'A service that is running keeps the ledger it opened: start it again afterwards.',
  ],
  examples: ['rebuild-ledger --db shepherdd.db --ledger audit.jsonl'],
  run: async (args, io) => {
    const path = newFile(args.required('ledger'), ['']);
    using store = openStore(args, io);
    // Made from a log that was tampered with, it would vouch for what somebody put there.
    const log = await long(io, 'events checked', (options) => store.verifyAudit(options));
    const made = log.ok ? await long(io, 'lines written', (options) => rebuildLedger(store, path, options)) : undefined;
    const has = hasLedger(store);
    if (args.flag('json')) printJson(io, { ok: log.ok, path, events: made?.events ?? 0, hasLedger: has, log });
    else if (made) print(io, [madeLine(io, path, counted(made.events, 'line')), ...(has ? [] : ['The store has no ledger so far; one that is opened with this goes on with it.'])]);
    else print(io, [...walkLines(io, '', log, { unit: 'event', fits: '' }), '', 'Nothing was made: a ledger would vouch for this log.']);
    return log.ok ? 0 : 1;
  },
};

/** `rebuild-database`: the database from the ledger. */
export const rebuildDatabaseCommand: Command = {
  name: 'rebuild-database',
  summary: 'Makes a database anew from a ledger',
  takes: [],
  options: { ledger: { value: 'FILE', help: 'the ledger; required', required: true }, db: { value: 'NEWFILE', help: 'the database to make; required', required: true }, ...jsonOption },
  notes: [
    'For a database that is lost or damaged: move what is left of it away first (with',
    'its -wal), a file that is there is never overwritten. It gets the log, usage and',
    'cooldowns; the state to resume from comes from the snapshot file beside it when',
    'the store is opened. Runs, facts and projects are in no ledger.',
    'The exit code is 1 when the end of the ledger is torn and was left out.',
  ],
  examples: ['rebuild-database --ledger audit.jsonl --db shepherdd.db'],
  run: async (args, io) => {
    const ledger = openLedger(args.required('ledger'));
    try {
      const path = newFile(args.text('db') ?? environmentPath() ?? args.required('db'), ['', '-wal']);
      const end = ledger.refresh();
      const leftOut = end.torn || (end.head?.id ?? 0) > end.groupEnd;
      const { events } = await long(io, 'events replayed', (options) => rebuildDatabase(ledger, path, options));
      const head = headIn(path);
      if (args.flag('json')) printJson(io, { ok: !leftOut, path, events, leftOut, ...(head ? { head } : undefined) });
      else {
        print(io, [
          madeLine(io, path, counted(events, 'event')),
          ...(existsAt(snapshotPathOf(path)) ? [`The state to resume from is in ${plain(snapshotPathOf(path))}.`] : []),
          ...(leftOut ? [`${painter(io.stdout)('red', 'left out')}: what follows row ${count(head?.id ?? 0)} in the ledger: it is torn or was never committed`] : []),
          ...(head ? ['', `anchor ${anchorText(head)}`] : []),
        ]);
      }
      return leftOut ? 1 : 0;
    } finally {
      ledger.close();
    }
  },
};

function headIn(path: string): Anchor | undefined {
  using store = SqliteStore.openReadOnly(path);
  return store.auditHead();
}

/** The path of a file to make. Throws `UsageError` where it or what belongs to it is there. */
function newFile(path: string, suffixes: readonly string[]): string {
  for (const file of suffixes.map((suffix) => path + suffix)) {
    if (existsAt(file)) throw new UsageError(`${file} is there already, and is not overwritten: move it away first`);
  }
  return absolutePath(path);
}

function madeLine(io: Io, path: string, what: string): string {
  return `${painter(io.stdout)('green', 'made')}: ${plain(path)}, ${what}`;
}
