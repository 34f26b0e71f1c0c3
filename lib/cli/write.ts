// Opens a store to write to it for a moment, beside a running service.
import { userInfo } from 'node:os';
import type { Recovery } from '../recovery/heal.ts';
import { SqliteStore } from '../store.ts';
import type { Args, Option } from './args.ts';
import { dbOption, type Io, jsonOption, print, printJson } from './command.ts';
import { UsageError } from './failures.ts';
import { checkKeyFits, keyOption, signingKeyOf } from './keys.ts';
import { firstLedger, rememberedPath, writerOfAnother } from './ledger-path.ts';
import { needed } from './left-out.ts';
import { hasLedger, openAgain, openStore, storePath } from './store-path.ts';
import { painter } from './text.ts';

/** The options of a command that writes beside a running service. */
export const writeOptions: Record<string, Option> = {
  ...dbOption,
  ledger: { value: 'FILE', help: 'its ledger, where that is not where the store remembers it' },
  ...keyOption,
  ...jsonOption,
};

/** The notes on these options. */
export const writeNotes: string[] = [
  'The service may be running, and finds the change at its next read. A store that',
  'has a ledger is written to together with it, and remembers where it is.',
];

/** The option of a command whose event says why. */
export const reasonOption: Record<string, Option> = { reason: { value: 'TEXT', help: 'why; the event keeps it' } };

/** What the event of a change says of itself: the user whose process this is, and the reason that was given. */
export function toldBy(args: Args): { source: string; reason: string | undefined } {
  return { source: userName(), reason: args.text('reason') };
}

/** The name of the user whose process this is. */
export function userName(): string {
  try {
    return userInfo().username || 'cli';
  } catch {
    return 'cli'; // the system need not know a name for every user, least of all in a container
  }
}

/** What a command has done: as a line for people, or several, and as a document for machines. */
export interface Done {
  line: string | string[];
  document: object;
}

/**
 * Opens the store of a call for writing, with its ledger where it has one, runs `write`, and says what that did and
 * what was found amiss at open. The store is read first, because to open one that is not there would make it, and one
 * of an older version would be moved up under its service.
 */
export async function change(
  args: Args, io: Io, write: (store: SqliteStore, ledgerPath: string | undefined) => Done | Promise<Done>,
): Promise<number> {
  const { store, ledgerPath, close } = await openToWrite(args, io, { look: openStore, open: SqliteStore.open });
  try {
    const { line, document } = await write(store, ledgerPath);
    const { recovery } = store;
    if (args.flag('json')) printJson(io, { ...document, ...(recovery ? { recovery } : undefined) });
    else print(io, [...(recovery ? [recoveryLine(io, recovery.found)] : []), ...[line].flat()]);
    return 0;
  } finally {
    close();
  }
}

/**
 * Opens a store as `change` does, for a command that has told its path already, runs `write`, and gives what that gave.
 * What was found amiss at open is told to `onRecovery`. It is for writing again and again beside a service.
 */
export async function changeAgain<T>(
  args: Args, io: Io, write: (store: SqliteStore) => T, onRecovery: (recovery: Recovery, line: string) => void,
): Promise<T> {
  const { store, close } = await openToWrite(args, io, { look: openAgain, open: SqliteStore.openAsGuest });
  try {
    if (store.recovery) onRecovery(store.recovery, recoveryLine(io, store.recovery.found));
    return write(store);
  } finally {
    close();
  }
}

async function openToWrite(
  args: Args, io: Io, { look, open }: { look: typeof openStore; open: typeof SqliteStore.openAsGuest },
): Promise<{ store: SqliteStore; ledgerPath: string | undefined; close(): void }> {
  const path = storePath(args);
  const given = args.text('ledger');
  using reader = await look(args, io, given);
  if (given !== undefined || hasLedger(reader)) {
    const { openBoth } = await needed('a store with a ledger', () => import('./with-ledger.ts'));
    const ledgerPath = given ?? (await knownLedger(reader, path));
    return { ...openBoth(reader, ledgerPath, args, io, open), ledgerPath };
  }
  checkKeyFits(signingKeyOf(args), undefined);
  reader.close();
  const store = open(path, { clock: io.clock });
  return { store, ledgerPath: undefined, close: () => store.close() };
}

/**
 * Where the store remembers its ledger. Throws `UsageError` where there is none of it, and for a copy of a store whose
 * service writes to that ledger.
 */
async function knownLedger(reader: SqliteStore, path: string): Promise<string> {
  const remembered = rememberedPath(reader);
  const found = await firstLedger(remembered === undefined ? [] : [remembered], path, reader);
  if (found !== undefined) {
    const pid = await writerOfAnother(found, path);
    if (pid === undefined) return found;
    const what = `process ${pid} writes to ${found} for another database, of which ${path} is a copy`;
    throw new UsageError(`${what}: name that database by --db`);
  }
  const why = remembered === undefined ? 'where it is is not known' : `it is not at ${remembered}`;
  throw new UsageError(`the store has a ledger, and ${why}: give its path by --ledger FILE`);
}

function recoveryLine(io: Io, found: Recovery['found']): string {
  const [file, how] = found.startsWith('ledger-') ? ['ledger', found.slice('ledger-'.length)] : ['database', found];
  const what = `the ${file} was found ${how}; the event store_recovered says more`;
  return `${painter(io.stdout)('yellow', 'recovered')}: ${what}`;
}
