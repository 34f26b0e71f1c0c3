// Finds the store that a command is about and opens it to read; where that fails, the error says what to do next.
import { existsSync, statSync } from 'node:fs';
import { defaultPath } from '../default-path.ts';
import { connect, SqliteStore } from '../store.ts';
import { hasCode, StoreError } from '../values/errors.ts';
import { snapshotPathOf } from '../values/paths.ts';
import { type Args, environmentPath, storeVariable } from './args.ts';
import type { Io } from './command.ts';
import { ifThere } from './left-out.ts';
import { json, painter, plain, shellWord } from './text.ts';

/** The path of the store that the call names, or else the one that the environment names, or else the user's own. */
export function storePath(args: Args): string {
  return args.store ?? environmentPath() ?? defaultPath('shepherd-store');
}

/** Gives `storePath`, and writes it to stderr where the call does not name a store. */
export function tellStorePath(args: Args, io: Io): string {
  const path = storePath(args);
  if (args.store !== undefined) return path;
  const origin = environmentPath() === undefined ? '' : ` (${storeVariable})`;
  const line = args.flag('json') ? json({ store: path }) : painter(io.stderr)('dim', `store: ${plain(path)}${origin}`);
  io.stderr.write(`${line}\n`);
  return path;
}

/**
 * Opens a command's store read-only, also beside a running service, and writes its path to stderr where the call does
 * not name it. For `witness` see `opening`.
 */
export function openStore(args: Args, io: Io, witness?: string): Promise<SqliteStore> {
  tellStorePath(args, io);
  return openAgain(args, io, witness);
}

/** Opens a store as `openStore` does, for a command that has told its path already. */
export function openAgain(args: Args, io: Io, witness?: string): Promise<SqliteStore> {
  const path = storePath(args);
  return opening(path, () => SqliteStore.openReadOnly(path, io.clock ? { clock: io.clock } : {}), witness);
}

/**
 * Runs `open`, which opens the store at a path. Throws `ERR_STORE_CORRUPT` for a missing, empty or unreadable database
 * where another file proves that there was a store: then the store is lost and the path is not wrong. Its snapshot file
 * proves that, and so does the `witness`, such as its ledger. Throws any other error as `advised` gives it.
 */
export async function opening<T>(path: string, open: () => T, witness?: string): Promise<T> {
  try {
    return open();
  } catch (error) {
    const loss = lossOf(error, path);
    const proof = [snapshotPathOf(path), witness].find((file) => file !== undefined && existsSync(file));
    if (loss === undefined || proof === undefined) throw await advised(error, path);
    const message = `${path} is ${loss}, and ${proof} says that there was a store`;
    throw new StoreError('ERR_STORE_CORRUPT', message, { cause: error });
  }
}

/** What happened to the database, where the error says that there is none to read. */
function lossOf(error: unknown, path: string): string | undefined {
  if (hasCode(error, 'ERR_STORE_NOT_FOUND')) return 'missing';
  if (!hasCode(error, 'ERR_STORE_NOT_A_STORE')) return undefined;
  if (statSync(path, { throwIfNoEntry: false })?.size === 0) return 'empty';
  return (error as Error).cause === undefined ? undefined : 'no database any more';
}

/** An error of opening the file at a path, with the command that resolves it in the message, where there is one. */
export async function advised(error: unknown, path: string): Promise<unknown> {
  const advice = await adviceOn(error, path);
  if (advice === undefined) return error;
  const { code, message } = error as StoreError;
  return new StoreError(code, `${message}; ${advice}`, { cause: (error as Error).cause });
}

async function adviceOn(error: unknown, path: string): Promise<string | undefined> {
  if (hasCode(error, 'ERR_STORE_SCHEMA_TOO_OLD')) {
    return `"shepherd-store migrate --db ${shellWord(path)}" moves it up, as a service does when it opens it`;
  }
  if (!hasCode(error, 'ERR_STORE_NOT_A_STORE')) return undefined;
  const kind = (await ifThere(() => import('../import/kinds.ts')))?.kindOfSource(path);
  return kind && `it is what ${kind} keeps, and "shepherd-store import ${shellWord(path)} NEWSTORE" takes that over`;
}

/** Whether a store has a ledger, without which it is not to be written to. */
export function hasLedger(store: SqliteStore): boolean {
  const door = connect(store);
  const sql = 'SELECT has_ledger FROM store_meta WHERE id = 1';
  const row: unknown = door.read('read whether the store has a ledger', () => door.prepare(sql).get());
  const [value] = row as [number];
  return value === 1;
}

/**
 * Refuses a path at which there is no ledger, because to open one there would make it. Throws `ERR_STORE_CORRUPT` for a
 * store that has a ledger, because the ledger is lost then, and otherwise `ERR_STORE_NOT_FOUND`, because the path is
 * wrong.
 */
export function checkLedgerIsThere(path: string, store?: SqliteStore): void {
  if (existsSync(path)) return;
  if (!store || !hasLedger(store)) throw new StoreError('ERR_STORE_NOT_FOUND', `there is no ledger at ${path}`);
  const advice = 'where it is lost, rebuild-ledger makes it again';
  throw new StoreError('ERR_STORE_CORRUPT', `there is no ledger at ${path}, and the store has one; ${advice}`);
}
