// What is recorded: one line a workload, each a series of child processes on one folder.
import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import {
  copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SqliteStore } from '../../lib/index.ts';
import { Outbox } from '../../lib/modules/outbox/outbox.ts';
import { snapshotPathOf } from '../../lib/values/paths.ts';
import { makeNewer, type Newer } from '../fixtures/newer/make.ts';
import { operation, perform } from '../support/crash-worker.ts';
import { archiveWorkloads } from './archive-workloads.ts';
import { laterClock, newerBeside, openStore, type Settings, type tasks } from './child.ts';
import { emptyView, type View, viewOf } from './view.ts';

/** One process: a task of child.ts with its arguments. */
export interface Phase {
  task: keyof typeof tasks;
  args: readonly string[];
  /** Whether it ends by killing itself, as in a crash of the service alone: the page cache stays. */
  killed?: boolean;
  /** Which fsync of it fails, counted from the one at which the store is open. */
  failSync?: number;
}

export interface Workload {
  phases: readonly Phase[];
  /** The name of the ledger in the folder of the recording; `true` for one beside the database. */
  ledger?: boolean | string;
  recover?: boolean;
  /** Whether the log is archived. */
  archives?: boolean;
  /** Whether the ledger is signed. */
  isSigned?: boolean;
  /**
   * Whether the store is behind or another one at first, so that opening it may recover something and the files may
   * differ.
   */
  mayRecover?: boolean;
  /** Whether a newer version of the package migrates the store. */
  isNewer?: boolean;
  /** What else must hold of the folder as the power cut left it, before anything is opened. */
  check?(settings: Settings, views: readonly View[]): void;
  /** Puts into the folder what was there long before, and gives what was acknowledged of it. */
  prepare?(settings: Settings): View | undefined;
  /** Starts from power cuts of another workload's: these are recovered from, and the power is cut again. */
  after?: string;
}

const plan = (from: number, count: number, end = 'closed', failSync?: number): Phase => ({
  task: 'plan',
  args: ['27', String(from), String(count), end],
  killed: end.endsWith('killed'),
  ...(failSync === undefined ? undefined : { failSync }),
});
const failing = (nth: number, end: string): readonly Phase[] => [
  plan(0, 8),
  plan(20, 12, end, nth),
  plan(40, 5, 'killed'),
  plan(60, 2),
];
const fixture = fileURLToPath(new URL('../fixtures/shepherdd-utc.db', import.meta.url));

/** A store with the first operations of a plan. */
function prepareStore(settings: Settings): View {
  mkdirSync(dirname(settings.path), { mode: 0o700 });
  using store = openStore(settings, () => new Date('2026-01-01T00:00:00Z'));
  for (let number = 0; number < 10; number++) perform(store, operation(27, number));
  const view = viewOf(store, settings.path);
  preparedHead = view.head;
  return view;
}

/** The newest event of the store that was prepared last. */
let preparedHead = 0;

/** What a folder's store holds once it has been opened; the folder stays as it is. */
function viewOfCopy(settings: Settings): View {
  const folder = dirname(settings.path);
  const copy = mkdtempSync(`${folder}-copy-`);
  cpSync(folder, copy, { recursive: true });
  const inCopy = (path: string): string => join(copy, basename(path));
  using store = openStore(
    { path: inCopy(settings.path), ledger: settings.ledger && inCopy(settings.ledger), recover: settings.recover },
    laterClock,
  );
  const view = viewOf(store, inCopy(settings.path));
  store.close();
  rmSync(copy, { recursive: true });
  return view;
}

/** An older store's file with some data in it, which the child migrates by opening it. */
function older(version: number): NonNullable<Workload['prepare']> {
  return (settings) => {
    prepareStore(settings);
    SqliteStore.migrate(settings.path, version, { force: true });
    rmSync(snapshotPathOf(settings.path), { force: true }); // the four tables have no identity that it could belong to
    const { tables } = viewOfCopy(settings);
    return { tables, head: 0 };
  };
}

/** A store that a newer version of the package, which is made for that, is going to migrate. */
function beforeUpdate(kind: Newer): NonNullable<Workload['prepare']> {
  return (settings) => {
    makeNewer(kind, fileURLToPath(newerBeside(settings)).slice(0, -1));
    return prepareStore(settings);
  };
}

/** A store that is sent elsewhere. */
function prepareOutbox(settings: Settings): View {
  prepareStore(settings);
  using store = openStore(settings, () => new Date('2026-01-01T00:00:00Z'));
  const outbox = new Outbox(store, 'centre');
  outbox.acknowledge(outbox.read({ limit: 3 })!.anchor);
  return viewOf(store, settings.path);
}

/** A store whose database is gone: it is recovered from what is left. */
function lost(settings: Settings): View {
  const { file } = prepareStore(settings);
  rmSync(settings.path);
  return { ...viewOfCopy(settings), head: 0, ...(file === undefined ? undefined : { file }) };
}

/** Services that stop at a failed fsync and start again; every second one is killed then. */
function restarts(syncs: readonly number[], ledger: boolean): Record<string, Workload> {
  return Object.fromEntries(
    syncs.map((nth, index) => [
      `a restart after fsync ${nth} failed${ledger ? ' in ledger mode' : ''}`,
      { ledger, phases: failing(nth, index % 2 === 0 ? 'stopped' : 'stopped, killed') },
    ]),
  );
}

/** A store, and beside it a copy from before that it is to go back to. */
function prepareBackup(settings: Settings): View {
  mkdirSync(dirname(settings.path), { mode: 0o700 });
  const store = openStore(settings, () => new Date('2026-01-01T00:00:00Z'));
  for (let number = 0; number < 5; number++) perform(store, operation(27, number));
  store.close();
  copyFileSync(settings.path, join(dirname(settings.path), 'backup.db'));
  using again = openStore(settings, () => new Date('2026-01-01T00:00:00Z'));
  for (let number = 5; number < 10; number++) perform(again, operation(27, number));
  again.appendAudit({ type: 'launch_denied', entryId: 'only in what was replaced', reasons: [] });
  return viewOf(again, settings.path);
}

/** What was promised to be kept is in the file itself or in one that was kept aside. */
function isKept(text: string) {
  return ({ path }: Settings): void => {
    const folder = dirname(path);
    const kept = readdirSync(folder).filter((name) => name.startsWith(basename(path)));
    assert.ok(
      kept.some((name) => readFileSync(join(folder, name)).includes(text)),
      `nothing of ${kept.join()} has what was there`,
    );
  };
}

/** A store whose database cannot be read: it is moved aside, and made anew from what is left. */
function damaged(settings: Settings): View {
  const { file } = prepareStore(settings);
  writeFileSync(settings.path, Buffer.alloc(20_000, 'damage'));
  return { ...viewOfCopy(settings), head: 0, ...(file === undefined ? undefined : { file }) };
}

/** A store whose database is older than its snapshot file. */
function behind(settings: Settings): View {
  const { file } = prepareBackup(settings);
  renameSync(join(dirname(settings.path), 'backup.db'), settings.path);
  return { ...viewOfCopy(settings), head: 0, ...(file === undefined ? undefined : { file }) };
}

/** A pair of keys is there whole once it was acknowledged, which is the event behind those that were prepared. */
function areKeysThere({ path }: Settings, views: readonly View[]): void {
  if (views[0]!.head === preparedHead) return;
  const key = join(dirname(path), 'ledger.key');
  createPrivateKey(readFileSync(key));
  createPublicKey(readFileSync(`${key}.pub`));
}

const renewing: readonly Phase[] = [{ task: 'renew', args: [] }, plan(30, 2, 'killed'), plan(40, 2)];

const limitsPhases: readonly Phase[] = [
  { task: 'limits', args: ['0', '16', 'killed'], killed: true },
  { task: 'limits', args: ['16', '16', 'closed'] },
  { task: 'limits', args: ['32', '6', 'killed'], killed: true },
];

export const workloads: Record<string, Workload> = {
  'the core, from an empty folder': { phases: [plan(0, 14), plan(14, 9, 'killed'), plan(23, 5)] },
  'ledger mode, from an empty folder': { ledger: true, phases: [plan(0, 14), plan(14, 9, 'killed'), plan(23, 5)] },
  'limits': { phases: limitsPhases },
  'limits in ledger mode': { ledger: true, phases: limitsPhases },
  'sessions': {
    phases: [
      { task: 'sessions', args: ['3'], killed: true },
      { task: 'sessions', args: ['2'], killed: true },
    ],
  },
  'a migration from version 1': { prepare: older(1), phases: [{ task: 'open', args: [] }, plan(30, 2)] },
  'an adoption of four tables': { prepare: older(0), phases: [{ task: 'open', args: [] }, plan(30, 2)] },
  'an import': {
    prepare: (settings) => {
      mkdirSync(dirname(settings.path), { mode: 0o700 });
      copyFileSync(fixture, join(dirname(settings.path), 'shepherdd.db'));
      return undefined;
    },
    phases: [{ task: 'import', args: ['shepherdd.db'] }, plan(30, 2)],
  },
  'a backup': {
    prepare: ({ path }) => {
      prepareStore({ path: join(dirname(path), 'source.db') });
      return undefined;
    },
    phases: [{ task: 'backup', args: ['source.db'] }, plan(30, 2)],
  },
  'the beginning of a ledger': {
    ledger: true,
    prepare: ({ path }) => ({ ...prepareStore({ path }), head: 0 }),
    phases: [{ task: 'attach', args: [] }, plan(30, 2)],
  },
  'a recovery from the snapshot file': { recover: true, prepare: lost, phases: [{ task: 'open', args: [] }] },
  'a recovery from the ledger': { recover: true, ledger: true, prepare: lost, phases: [{ task: 'open', args: [] }] },
  'a power cut while recovering from a power cut': {
    after: 'the core, from an empty folder',
    phases: [{ task: 'open', args: [] }],
  },
  'the same in ledger mode': {
    ledger: true,
    after: 'ledger mode, from an empty folder',
    phases: [{ task: 'open', args: [] }],
  },
  'a restore': {
    mayRecover: true,
    prepare: prepareBackup,
    phases: [{ task: 'restore', args: ['backup.db'] }],
    check: isKept('only in what was replaced'),
  },
  'a migration down': {
    prepare: prepareStore,
    phases: [
      { task: 'migrate', args: ['1'] },
      { task: 'open', args: [] },
    ],
  },
  'an update to a newer version that only adds, and back': {
    isNewer: true,
    prepare: beforeUpdate('additive'),
    phases: [{ task: 'newer', args: ['6'], killed: true }, plan(30, 4)],
  },
  'the same update in ledger mode': {
    isNewer: true,
    ledger: true,
    prepare: beforeUpdate('additive'),
    phases: [{ task: 'newer', args: ['6'], killed: true }, plan(30, 4)],
  },
  'an update to a newer version that alone may write, and back': {
    isNewer: true,
    prepare: beforeUpdate('writers'),
    phases: [{ task: 'newer', args: ['6'], killed: true }],
  },
  'a recovery of a damaged database': {
    recover: true,
    prepare: damaged,
    phases: [{ task: 'open', args: [] }],
    check: isKept('damagedamage'),
  },
  'a recovery of a database that is behind': {
    mayRecover: true,
    prepare: behind,
    phases: [{ task: 'open', args: [] }],
  },
  'a ledger in a folder of its own': { ledger: 'elsewhere/audit.jsonl', phases: [plan(0, 8), plan(8, 4, 'killed')] },
  'a pair of keys': { prepare: prepareStore, phases: [{ task: 'keygen', args: ['ledger.key'] }], check: areKeysThere },
  'sending to a fleet': { prepare: prepareStore, phases: [{ task: 'send', args: ['6'], killed: true }, plan(30, 2)] },
  'a new identity in a fleet': { prepare: prepareOutbox, phases: renewing },
  'a new identity in a fleet in ledger mode': { ledger: true, prepare: prepareOutbox, phases: renewing },
  'a power cut after one while an identity in a fleet was renewed': {
    ledger: true,
    after: 'a new identity in a fleet in ledger mode',
    phases: [{ task: 'renew', args: [] }],
  },
  ...archiveWorkloads,
  ...restarts([1, 2, 3, 5, 8], false),
  ...restarts([1, 2, 4, 7, 9], true),
};

/** What a workload begins with as acknowledged. */
export function prepared(workload: Workload, settings: Settings): View {
  return workload.prepare?.(settings) ?? emptyView();
}
