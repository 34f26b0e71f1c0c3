// Opens a store together with its ledger, and tells what that changed.
import type { KeyObject } from 'node:crypto';
import { ledgerOrigin } from '../core/options.ts';
import { Ledger } from '../ledger/index.ts';
import { decodeSigning, ledgerAfter } from '../ledger/replay.ts';
import { connect, SqliteStore } from '../store.ts';
import type { Args } from './args.ts';
import type { Io } from './command.ts';
import { UsageError } from './failures.ts';
import { checkKeyFits, signingKeyOf } from './keys.ts';
import { checkLedgerIsThere, hasLedger, openStore, storePath } from './store-path.ts';
import { counted, painter, plain } from './text.ts';

/** The changes that opening a store with its ledger made. */
interface Healed {
  /** How many events were replayed from the ledger into the database. */
  replayed: number;
  /** How many events were written from the database into the ledger. */
  written: number;
  /** The paths of the files that hold a torn end of the ledger now. */
  setAside: string[];
  /** What opening the store found and repaired besides; see `SqliteStore.recovery`. */
  recovery?: SqliteStore['recovery'];
}

/** A store that is open with its ledger; `close` closes both. */
export interface WithLedger {
  store: SqliteStore;
  ledger: Ledger;
  healed: Healed;
  close(): void;
}

/**
 * Opens a store with its ledger, by default the one that `--ledger` names, and reports what that changed. Throws
 * `UsageError` for a store without a ledger, because opening it would make the given file its ledger.
 */
export async function openWithLedger(args: Args, io: Io): Promise<WithLedger> {
  const ledgerPath = args.required('ledger');
  using reader = await openStore(args, io, ledgerPath);
  return openBoth(reader, ledgerPath, args, io);
}

/**
 * Reads in the open store what opening both together is going to change, closes it, and opens both. Throws as
 * `openWithLedger` does.
 */
export function openBoth(
  reader: SqliteStore, ledgerPath: string, args: Args, io: Io,
  open: typeof SqliteStore.openAsGuest = SqliteStore.open,
): WithLedger {
  const path = storePath(args);
  const key = signingKeyOf(args);
  checkLedgerIsThere(ledgerPath, reader); // throws for a missing file; Ledger.open takes one as a ledger to be made
  const ledger = Ledger.open(ledgerPath, key ? { signingKey: key } : {});
  try {
    const expected = compareEnds(reader, path, ledger, key);
    reader.close();
    const store = open(path, { ledger, clock: io.clock });
    const { recovery } = store;
    const setAside = recovery?.setAside?.map(({ path: file }) => file) ?? [];
    const healed = { ...expected, setAside, ...(recovery ? { recovery } : undefined) };
    const close = (): void => {
      store.close();
      ledger.close();
    };
    return { store, ledger, healed, close };
  } catch (error) {
    ledger.close();
    throw error;
  }
}

/**
 * How many events each of the two files lacks, as the last ids of both tell. Throws `UsageError` where the store has no
 * ledger or the key does not fit.
 */
function compareEnds(
  store: SqliteStore, path: string, ledger: Ledger, key: KeyObject | undefined,
): Pick<Healed, 'replayed' | 'written'> {
  const end = ledger.refresh();
  const head = store.auditHead()?.id ?? 0;
  let ledgerFlag: 0 | 1 = hasLedger(store) ? 1 : 0;
  let publicKey = recordedKeyOf(store);
  if (connect(store).parts.log.owns(ledgerOrigin(end)) && end.groupEnd > head) {
    for (const row of ledger.rows(head + 1)) {
      ledgerFlag = ledgerAfter(row) ?? ledgerFlag;
      if (row.type === 'signing_started') publicKey = decodeSigning(row.id, row.data).publicKey;
    }
  }
  if (ledgerFlag === 0) {
    throw new UsageError(`the store ${path} has no ledger: a service begins one by opening the store with it`);
  }
  checkKeyFits(key, publicKey);
  return { replayed: Math.max(0, end.groupEnd - head), written: Math.max(0, head - (end.head?.id ?? 0)) };
}

/** The public key with which the store last began to sign, as its log has it. */
function recordedKeyOf(store: SqliteStore): string | undefined {
  const door = connect(store);
  const sql = "SELECT id, event_data FROM audit_log WHERE event_type = 'signing_started' ORDER BY id DESC LIMIT 1";
  const row = door.read('look for the key', () => door.prepare(sql).get()) as unknown as [number, unknown] | undefined;
  return row && decodeSigning(...row).publicKey;
}

/** A line for each of these changes. */
export function healedLines(io: Io, { replayed, written, setAside, recovery }: Healed): string[] {
  const label = (word: string): string => painter(io.stdout)('yellow', word);
  const lines: string[] = [];
  if (replayed > 0) lines.push(`${label('replayed')}  ${counted(replayed, 'event')} that the database lacked`);
  if (written > 0) lines.push(`${label('written')}   ${counted(written, 'line')} that the ledger lacked`);
  for (const path of setAside) lines.push(`${label('set aside')} the torn end of the ledger: ${plain(path)}`);
  if (recovery && !recovery.found.startsWith('ledger-')) {
    const finding = `the database was found ${recovery.found}`;
    lines.push(`${label('recovered')} ${finding}; the event store_recovered says more`);
  }
  return lines;
}
