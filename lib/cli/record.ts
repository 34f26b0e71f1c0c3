// Records in the store's log that a command has done something for it, where `--record` asks for that.
import type { Anchor } from '../core/chain.ts';
import type { UpkeepEvent } from '../core/events.ts';
import { anchorOf, recordUpkeep, unrecorded } from '../core/upkeep.ts';
import { connect } from '../store.ts';
import { StoreError } from '../values/errors.ts';
import { Args, type Option, storeFile } from './args.ts';
import type { Io } from './command.ts';
import { UsageError } from './failures.ts';
import { storePath } from './store-path.ts';
import { count } from './text.ts';
import { changeAgain, userName, writeOptions } from './write.ts';

/** The switch of a command that records what it has done. */
export const recordOption: Record<string, Option> = {
  record: { help: 'writes to the log, as an event, that this was done' },
};

/** What came of it. */
export interface Recording {
  /** The row of the event; null where it could not be written. */
  recorded: number | null;
  /** What is told of it: its row, and what was found amiss at the open. */
  lines: string[];
  /** Why it could not be written: to be thrown once the command has told what it did. */
  error?: unknown;
}

/** The event without its anchor. */
type Told<E> = E extends UpkeepEvent ? Omit<E, 'anchor'> : never;

/** What is to be recorded. */
interface Doing {
  /** Completes "…, but that is not recorded". */
  done: string;
  event: Told<UpkeepEvent>;
  /** The last row that it was done with. */
  head: Anchor | undefined;
  /** The UUID of the store that it was done for: another one may be at its path by now. */
  uuid: string;
  /** The ledger to write to, where the store does not remember it. */
  ledger: string | undefined;
}

/** Opens the store of a call for writing, beside a running service, and appends the event. */
export async function record(args: Args, io: Io, { done, event, head, uuid, ledger }: Doing): Promise<Recording> {
  const lines: string[] = [];
  const values = { db: storePath(args), ledger, key: args.text('key') };
  const argv = Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`]));
  const writing = new Args({ takes: [storeFile], options: writeOptions }, argv);
  try {
    const recorded = await changeAgain(writing, io, (store) => {
      const door = connect(store);
      const isSame = door.uuid === uuid && (!head || door.read('look for the row', () => door.parts.log.had(head)));
      if (isSame) return recordUpkeep(door, { ...event, ...anchorOf(head) }, userName());
      throw new StoreError('ERR_STORE_CONFLICT', 'another store, or another state of it, stands at its path by now');
    }, (_recovery, line) => lines.push(line));
    return { recorded, lines: [...lines, `recorded  row ${count(recorded)}, ${event.type}`] };
  } catch (error) {
    const told = error instanceof UsageError
      ? new UsageError(`${done}, but that is not recorded: ${error.message}`) : unrecorded(done, error);
    return { recorded: null, lines, error: told };
  }
}
