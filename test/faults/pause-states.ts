// The folders that the pause matrix begins with: each is made once and copied for every run.
import {
  closeSync, copyFileSync, cpSync, mkdirSync, openSync, renameSync, rmSync, symlinkSync, writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { SqliteStore } from '../../lib/index.ts';
import { day, type Library, stateOf, type Told } from './pause-tasks.ts';

export interface StartingState {
  /** Whether a service opens it with a ledger. */
  ledger: boolean;
  /** Whether something is lost or damaged there, which one process may find once. */
  isLossy: boolean;
  /** What had been acknowledged before, and is still there or can be had back. */
  acknowledged: Told[];
}

type Maker = (library: Library, folder: string) => StartingState;

/** What the base has; `events`: how many of its five are acknowledged and can be had. */
function acknowledgedBase(events: number, hasCooldown: boolean, token = 'base'): Told[] {
  const atMs = 0;
  return [
    ...Array.from({ length: events }, (_, index): Told => ({ atMs, is: 'event', token: `base-${index + 1}` })),
    { atMs, is: 'usage', entryId: 'base', totalMs: 60_500 },
    ...(hasCooldown ? [{ atMs, is: 'cooldown', entryId: 'base', until } as const] : []),
    { atMs, is: 'saved', token, beganMs: atMs },
  ];
}

const until = '2099-01-01T00:00:00.000Z';

function append(store: SqliteStore, from: number, to: number): void {
  for (let number = from; number <= to; number++) {
    store.appendAudit({ type: 'service_started' }, { source: `base-${number}` });
  }
}

function reopen({ SqliteStore, Ledger }: Library, folder: string, ledger: boolean): SqliteStore {
  return SqliteStore.open(join(folder, 'store.db'), ledger ? { ledger: Ledger.open(join(folder, 'audit.jsonl')) } : {});
}

interface Settings {
  ledger?: boolean;
  /** Where something is to be recovered. No step down takes one along without force. */
  hasCooldown?: boolean;
}

/** Three events, usage, maybe a cooldown, and a state: the backup has these. */
function makeBase(library: Library, folder: string, { ledger = false, hasCooldown = false }: Settings): void {
  using store = reopen(library, folder, ledger);
  append(store, 1, 3);
  store.addUsage('base', day, 60_500);
  if (hasCooldown) store.setCooldownUntil('base', new Date(until));
  store.saveSnapshot(stateOf('base'));
  store.close();
  copyFileSync(join(folder, 'store.db'), join(folder, 'backup.db'));
  copyFileSync(join(folder, 'store.snapshot.json'), join(folder, 'backup.snapshot.json'));
}

function makeSound(library: Library, folder: string, settings: Settings): StartingState {
  makeBase(library, folder, settings);
  const { ledger = false, hasCooldown = false } = settings;
  using store = reopen(library, folder, ledger);
  append(store, 4, 5);
  return { ledger, isLossy: false, acknowledged: acknowledgedBase(5, hasCooldown) };
}

function overwrite(path: string, from: number, bytes: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.alloc(bytes, 0xff), 0, bytes, from);
  closeSync(fd);
}

const states: Record<string, Maker> = {
  /** Nothing but a backup of another time. */
  new: (library, folder) => {
    makeBase(library, folder, {});
    rmSync(join(folder, 'store.db'));
    rmSync(join(folder, 'store.snapshot.json'));
    return { ledger: false, isLossy: false, acknowledged: [] };
  },
  sound: (library, folder) => makeSound(library, folder, {}),
  /** The -wal of a process that was killed, without its -shm. */
  crashed: (library, folder) => {
    makeBase(library, folder, {});
    const store = reopen(library, folder, false);
    append(store, 4, 5);
    for (const suffix of ['', '-wal']) copyFileSync(join(folder, `store.db${suffix}`), join(folder, `kept${suffix}`));
    store.close();
    for (const suffix of ['', '-wal']) renameSync(join(folder, `kept${suffix}`), join(folder, `store.db${suffix}`));
    return { ledger: false, isLossy: false, acknowledged: acknowledgedBase(5, false) };
  },
  /** The header still says whose it is, the tables cannot be read; the snapshot file is whole. */
  damaged: (library, folder) => {
    makeSound(library, folder, { hasCooldown: true });
    overwrite(join(folder, 'store.db'), 100, 3_996);
    return { ledger: false, isLossy: true, acknowledged: acknowledgedBase(0, true) };
  },
  /** An older database beside the newest snapshot file. */
  behind: (library, folder) => {
    makeBase(library, folder, { hasCooldown: true });
    copyFileSync(join(folder, 'store.db'), join(folder, 'older'));
    const store = reopen(library, folder, false);
    append(store, 4, 5);
    store.saveSnapshot(stateOf('base later'));
    store.close();
    renameSync(join(folder, 'older'), join(folder, 'store.db'));
    return { ledger: false, isLossy: true, acknowledged: acknowledgedBase(3, true, 'base later') };
  },
  mirrored: (library, folder) => makeSound(library, folder, { ledger: true }),
  /** The ledger is all that is left, beside the snapshot file. */
  'ledger alone': (library, folder) => {
    const state = makeSound(library, folder, { ledger: true, hasCooldown: true });
    rmSync(join(folder, 'store.db'));
    return { ...state, isLossy: true };
  },
};

/** Makes a state in a folder that is not there yet. */
export function makeState(library: Library, name: string, folder: string): StartingState {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return states[name]!(library, folder);
}

/** Copies one to where a run happens. Its folder can be reached by a link as well. */
export function copyState(from: string, to: string): void {
  cpSync(from, to, { recursive: true });
  symlinkSync('.', join(to, 'linked'));
}
