// The process whose power is cut: it does one task in a folder and tells, on its standard output, what is acknowledged.
import { readFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { main } from '../../lib/cli/program.ts';
import { importStore } from '../../lib/import/index.ts';
import { type OpenOptions, SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { archiveAudits, forgetArchives, forgetUsage } from '../../lib/modules/archive/archive.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { renewIdentity } from '../../lib/modules/identity/identity.ts';
import { Outbox } from '../../lib/modules/outbox/outbox.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { connect } from '../../lib/store.ts';
import { day, limitCall, operation, perform } from '../support/crash-worker.ts';
import { callLimit } from '../support/limits-model.ts';
import { rowsInArchives } from './archives.ts';
import { viewOf } from './view.ts';

/** How the store of a folder is opened: by the child, and after the power cut. */
export interface Settings {
  path: string;
  ledger?: string | undefined;
  recover?: boolean | undefined;
  /** The folder of the archives. */
  archives?: string | undefined;
  /** The key with which the ledger is signed, and the beginning of the name of its public half. */
  key?: string | undefined;
}

/** Where the package of a newer version lies: beside the folder of the recording. */
export function newerBeside({ path }: Settings): URL {
  return pathToFileURL(join(dirname(dirname(dirname(path))), 'newer/'));
}

let clockMs = Date.parse('2026-01-01T00:00:00Z');
/** After everything that the children write. */
export const laterClock = (): Date => new Date('2026-12-31T00:00:00Z');

export function openStore({ path, ledger, recover, key }: Settings, clock: () => Date): SqliteStore {
  const signing = key === undefined ? undefined : { signingKey: readFileSync(key, 'utf8') };
  const options: OpenOptions = {
    clock,
    ...(recover === undefined ? undefined : { recover }),
    ...(ledger === undefined ? undefined : { ledger: Ledger.open(ledger, signing) }),
  };
  return SqliteStore.open(path, options);
}

function open(settings: Settings): SqliteStore {
  const store = openStore(settings, () => new Date(clockMs));
  acknowledge(store, settings);
  return store;
}

/** What has returned is acknowledged: with all that the store holds now. */
function acknowledge(store: SqliteStore, settings: Settings): void {
  writeSync(1, `${JSON.stringify(viewOf(store, settings.path, connect, rowsInArchives(settings)))}\n`);
}

/** One that fails leaves all in the -wal. */
function checkpoint(store: SqliteStore): void {
  try {
    connect(store).prepare('PRAGMA wal_checkpoint(PASSIVE)').all();
  } catch (error) {
    if ((error as { errcode?: number }).errcode !== 1034) throw error; // SQLITE_IOERR_FSYNC
  }
}

type Task = (settings: Settings, ...args: string[]) => void | Promise<void>;

export const tasks: Record<string, Task> = {
  /**
   * Operations of a plan, with a checkpoint after some of them. `end`: closed or killed; `stopped …`: at the first
   * error.
   */
  plan(settings, seed, from, count, end) {
    const store = open(settings);
    for (let number = Number(from); number < Number(from) + Number(count); number++) {
      clockMs = Date.parse('2026-01-01T00:00:00Z') + number * 1_000;
      try {
        perform(store, operation(Number(seed), number));
      } catch (error) {
        if (end!.startsWith('stopped')) break;
        throw error;
      }
      acknowledge(store, settings);
      // The next commit begins the -wal anew, over frames that are in the database.
      if (number % 5 === 3) checkpoint(store);
    }
    if (end!.endsWith('killed')) process.kill(process.pid, 'SIGKILL');
    store.close();
  },

  open(settings) {
    open(settings).close();
  },

  /** Changes of limits alone, and of usage for what is corrected; every fourth with another one in a transaction. */
  limits(settings, from, count, end) {
    const store = open(settings);
    store.addUsage('unaudited', day, 5_000);
    acknowledge(store, settings);
    for (let number = Number(from); number < Number(from) + Number(count); number++) {
      clockMs = Date.parse('2026-01-01T00:00:00Z') + number * 1_000;
      const change = (): unknown => callLimit(store, limitCall(27, number));
      if (number % 4 === 3) store.transaction(() => [callLimit(store, limitCall(28, number)), change()]);
      else change();
      acknowledge(store, settings);
      if (number % 7 !== 6) continue;
      store.saveSnapshot({ timestamp: new Date(clockMs) });
      acknowledge(store, settings);
      checkpoint(store);
    }
    if (end === 'killed') process.kill(process.pid, 'SIGKILL');
    store.close();
  },

  /** Sessions of a tracker, the last one left running. */
  sessions(settings, count) {
    let monotonicMs = 0;
    const store = SqliteStore.open(settings.path, { clock: () => new Date(clockMs) });
    acknowledge(store, settings);
    const step = (fn: () => unknown): void => {
      clockMs += 3_600_000;
      monotonicMs += 3_600_000;
      fn();
      acknowledge(store, settings);
    };
    const tracker = new SessionTracker(store, { timeZone: 'UTC', monotonicMs: () => monotonicMs });
    step(() => tracker.recover());
    for (let number = 1; number <= Number(count); number++) {
      step(() => tracker.start({ entryId: 'game', sessionId: `${monotonicMs} ${number} of ${count}` }));
      step(() => tracker.touch({ warningsIssued: [number] }));
      step(() => tracker.touch());
      if (number < Number(count)) step(() => tracker.end({ type: 'user_stop' }, { cooldownMs: number }));
    }
    process.kill(process.pid, 'SIGKILL');
  },

  async import(settings, from) {
    await importStore(join(dirname(settings.path), from!), settings.path);
    open(settings).close();
  },

  /** The store whose power is cut is the copy. */
  async backup(settings, from) {
    const source = SqliteStore.open(join(dirname(settings.path), from!), { clock: () => new Date(clockMs) });
    await backup(source, settings.path);
    writeSync(1, `${JSON.stringify(viewOf(source, settings.path))}\n`);
    source.close();
  },

  /** What is there is replaced by a copy from before. */
  async restore(settings, from) {
    await restore(join(dirname(settings.path), from!), settings.path, { clock: () => new Date(clockMs) });
    open(settings).close();
  },

  /** Operations of a newer version of the package, which migrates the store when it opens it, and is killed. */
  async newer(settings, count) {
    const root = newerBeside(settings);
    const load = (file: string): Promise<unknown> => import(new URL(file, root).href);
    const package_ = (await load('lib/index.ts')) as typeof import('../../lib/index.ts');
    const { Ledger: NewerLedger } = (await load('lib/ledger/index.ts')) as typeof import('../../lib/ledger/index.ts');
    const { connect: door } = (await load('lib/store.ts')) as typeof import('../../lib/store.ts');
    const { path, ledger } = settings;
    const options: OpenOptions = { clock: () => new Date(clockMs) };
    const store = package_.SqliteStore.open(path, ledger ? { ...options, ledger: NewerLedger.open(ledger) } : options);
    const tell = (): void => void writeSync(1, `${JSON.stringify(viewOf(store, path, door))}\n`);
    tell();
    for (let number = 20; number < 20 + Number(count); number++) {
      clockMs = Date.parse('2026-01-01T00:00:00Z') + number * 1_000;
      perform(store, operation(27, number));
      tell();
    }
    process.kill(process.pid, 'SIGKILL');
  },

  migrate(settings, version) {
    SqliteStore.migrate(settings.path, Number(version), { force: true });
  },

  /** A pair of keys beside the store; an event says that they were made. */
  async keygen(settings, name) {
    // What stands on standard output is an acknowledgement here.
    const code = await main(['keygen', '--key', join(dirname(settings.path), name!)], {
      stdout: process.stderr,
      stderr: process.stderr,
    });
    if (code !== 0) throw new Error(`keygen ended with ${code}`);
    const store = openStore(settings, () => new Date(clockMs));
    store.appendAudit({ type: 'config_reloaded', success: true });
    acknowledge(store, settings);
    store.close();
  },

  /** Archives what is older than five days on a day, and does some operations of a plan. */
  async archive(settings, date, gzip, from, end) {
    clockMs = Date.parse(`${date}T12:00:00Z`);
    const store = open(settings);
    const options = { folder: settings.archives!, upTo: { keepDays: 5 }, gzip: gzip === 'gzip' };
    await archiveAudits(store, options);
    acknowledge(store, settings);
    for (let number = Number(from); number < Number(from) + 6; number++) {
      clockMs += 1_000;
      perform(store, operation(27, number));
      acknowledge(store, settings);
    }
    if (end === 'killed') process.kill(process.pid, 'SIGKILL');
    store.close();
  },

  /** Gives the store another identity. */
  renew(settings) {
    const store = open(settings);
    renewIdentity(store);
    acknowledge(store, settings);
    store.close();
  },

  /** Sends what there is, and what comes to be meanwhile. */
  send(settings, count) {
    const store = open(settings);
    const outbox = new Outbox(store, 'centre');
    acknowledge(store, settings);
    for (let number = 60; number < 60 + Number(count); number++) {
      const batch = outbox.read({ limit: 3 });
      if (batch) outbox.acknowledge(batch.anchor);
      acknowledge(store, settings);
      perform(store, operation(27, number));
      acknowledge(store, settings);
    }
    process.kill(process.pid, 'SIGKILL');
  },

  /** Deletes the oldest archives, and the usage of past days. */
  forget(settings, date) {
    clockMs = Date.parse('2026-11-30T12:00:00Z');
    const store = open(settings);
    forgetUsage(store, { before: '2026-11-22' });
    acknowledge(store, settings);
    forgetArchives(store, settings.archives!, { before: new Date(`${date}T00:00:00Z`) });
    acknowledge(store, settings);
    store.close();
  },

  /**
   * Turns the ledger on for a store that has something already, at the time at which it would be turned on afterwards.
   */
  attach(settings) {
    clockMs = laterClock().getTime();
    const store = open(settings);
    store.addUsage('a', '2026-11-21', 5);
    acknowledge(store, settings);
    store.close();
  },
};

/** Writes as a store would that does not wait for the disk. */
function weaken(synchronous: string): void {
  const exec = DatabaseSync.prototype.exec;
  DatabaseSync.prototype.exec = function (this: DatabaseSync, sql: string): void {
    exec.call(this, sql);
    if (sql.startsWith('PRAGMA foreign_keys')) exec.call(this, `PRAGMA synchronous = ${synchronous}`);
  };
}

const [task, settings, ...args] = process.argv.slice(2);
if (import.meta.main && task !== undefined && settings !== undefined) {
  const { SHEPHERD_SYNCHRONOUS: synchronous } = process.env;
  if (synchronous !== undefined) weaken(synchronous);
  await tasks[task]!(JSON.parse(settings) as Settings, ...args);
}
