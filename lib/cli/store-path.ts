// Which store a command is about, and opening it to look at; with what to do next where that fails.
import { existsSync, statSync } from 'node:fs';
import { defaultPath } from '../default-path.ts';
import { hasCode, StoreError } from '../errors.ts';
import { snapshotPathOf } from '../files.ts';
import { kindOfSource } from '../import/kinds.ts';
import { SqliteStore } from '../store.ts';
import type { Args } from './args.ts';
import type { Io } from './command.ts';
import { json, painter, plain, shellWord } from './text.ts';

const variable = 'SHEPHERD_STORE_DB';

/** The store that the call names, or where it names none that of the environment, or else the user's own. */
export function storePath(args: Args): string {
  return args.store ?? environmentPath() ?? defaultPath('shepherd-store');
}

/** The store that the environment names. */
export function environmentPath(): string | undefined {
  return process.env[variable] || undefined; // an empty one is as good as none, as for every variable of the system
}

/** The same, and says on stderr which one it is where the call did not. */
export function tellStorePath(args: Args, io: Io): string {
  const path = storePath(args);
  if (args.store !== undefined) return path;
  const origin = environmentPath() === undefined ? '' : ` (${variable})`;
  const line = args.flag('json') ? json({ store: path }) : painter(io.stderr)('dim', `store: ${plain(path)}${origin}`);
  io.stderr.write(`${line}\n`);
  return path;
}

/**
 * Opens a command's store to look at, whatever else uses it, and says on stderr which one it is where nobody named it.
 * `witness`: see `opening`.
 */
export function openStore(args: Args, io: Io, witness?: string): SqliteStore {
  const path = tellStorePath(args, io);
  return opening(path, () => SqliteStore.openReadOnly(path, io.clock ? { clock: io.clock } : {}), witness);
}

/**
 * Runs what opens the store at a path. A missing, empty or unreadable database is a loss and not a wrong path where another
 * file says that there was a store: `ERR_STORE_CORRUPT`. That is its snapshot file, or the `witness`, such as its ledger.
 * Otherwise throws what `advised` gives.
 */
export function opening<T>(path: string, open: () => T, witness?: string): T {
  try {
    return open();
  } catch (error) {
    const what = lossOf(error, path);
    const proof = [snapshotPathOf(path), witness].find((file) => file !== undefined && existsSync(file));
    if (what === undefined || proof === undefined) throw advised(error, path);
    throw new StoreError('ERR_STORE_CORRUPT', `${path} is ${what}, and ${proof} says that there was a store`, { cause: error });
  }
}

/** What became of a database, where an error says that there is none to read. */
function lossOf(error: unknown, path: string): string | undefined {
  if (hasCode(error, 'ERR_STORE_NOT_FOUND')) return 'missing';
  if (!hasCode(error, 'ERR_STORE_NOT_A_STORE')) return undefined;
  if (statSync(path, { throwIfNoEntry: false })?.size === 0) return 'empty';
  return (error as Error).cause === undefined ? undefined : 'no database any more';
}

/** The error of what opens the file at a path, with the command that is the answer to it, where there is one. */
export function advised(error: unknown, path: string): unknown {
  const advice = adviceOn(error, path);
  if (advice === undefined) return error;
  const { code, message } = error as StoreError;
  return new StoreError(code, `${message}; ${advice}`, { cause: (error as Error).cause });
}

function adviceOn(error: unknown, path: string): string | undefined {
  if (hasCode(error, 'ERR_STORE_SCHEMA_TOO_OLD')) {
    return `"shepherd-store migrate --db ${shellWord(path)}" moves it up, as a service does when it opens it`;
  }
  const kind = hasCode(error, 'ERR_STORE_NOT_A_STORE') ? kindOfSource(path) : undefined;
  return kind && `it is what ${kind} keeps, and "shepherd-store import ${shellWord(path)} NEWSTORE" takes that over`;
}
