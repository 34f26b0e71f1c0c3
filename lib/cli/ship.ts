// The command ship: gives the lines of an outbox to another program, batch by batch.
import { realpathSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { outboxNames } from '../modules/outbox/list.ts';
import { type Batch, Outbox } from '../modules/outbox/outbox.ts';
import { checkName } from '../modules/outbox/position.ts';
import { FileLock } from '../recovery/lock.ts';
import { connect, type SqliteStore } from '../store.ts';
import { attempt, hasCode } from '../values/errors.ts';
import { pathBeside } from '../values/stem.ts';
import type { Args } from './args.ts';
import { type Command, type Io, now, print } from './command.ts';
import { Failure, UsageError, writeError } from './failures.ts';
import { mayPass } from './follow.ts';
import { openAgain, openStore } from './store-path.ts';
import { bytes, clockTime, count, json, painter, plain, shellWord, span } from './text.ts';
import { handOver } from './transport.ts';
import { change, changeAgain, writeNotes, writeOptions } from './write.ts';

const secondMs = 1_000;
const dayMs = 86_400_000;

/** `ship`: sends the log elsewhere. */
export const ship: Command = {
  name: 'ship',
  summary: 'Sends the log elsewhere, by any program that takes its lines',
  takes: [],
  runs: 'COMMAND [ARG…]',
  options: {
    to: { value: 'NAME', help: 'a name for where it is sent; required', required: true },
    follow: { help: 'goes on with what is written later, until a signal ends it' },
    every: { value: 'TIME', help: 'how often --follow looks for events; 30s by default' },
    once: { help: 'sends one batch alone' },
    batch: { value: 'N', help: 'how many events a batch has at most; 500 by default' },
    remove: { help: 'removes the outbox of this name; takes no command' },
    ...writeOptions,
    json: { help: 'JSON lines, for machines: a batch a line' },
  },
  notes: [
    'COMMAND gets each batch on its standard input, as a ledger has it: a header line',
    'and a line for each event, a MiB at most. It is started without a shell. Where it',
    'reads all of it and ends with the exit code 0, the batch has arrived; otherwise',
    'it is kept, and sent again. So every event comes at least once, and some of them',
    'twice after a crash: the place has to pass over the rows that it knows. What',
    'COMMAND writes to its standard error is passed on, its output is ignored.',
    'What is there is sent, and then it ends; the exit code is 1 where that fails.',
    'With --follow it goes on, and after a failure waits longer each time, from a',
    'second to 15 minutes. SIGTERM and Ctrl-C end it after the batch on its way.',
    'The outbox begins with the oldest event. Until an event is sent it cannot go into',
    'an archive, so remove an outbox that is not served any more.',
    'The store is open only while a batch is read, and while its arrival is noted.',
    ...writeNotes,
  ],
  examples: [
    'ship --db kiosk.db --to centre -- ssh centre take-log',
    'ship --to centre --follow -- curl -fsST - https://centre/log',
    'ship --db kiosk.db --to centre --remove',
  ],
  run: (args, io) => {
    args.required('to');
    const name = nameOf(args);
    return args.flag('remove') ? remove(args, io, name) : send(args, io, name);
  },
};

function nameOf(args: Args): string {
  const name = args.text('to');
  try {
    return checkName(name);
  } catch (error) {
    throw new UsageError(`--to: ${(error as Error).message}`);
  }
}

/** How a call sends. */
interface Settings {
  command: readonly string[];
  limit: number;
  isOnce: boolean;
  /** How long to wait for new events; `undefined` without `--follow`. */
  everyMs: number | undefined;
}

/** Throws `UsageError` for a call without a command, and for options that do not go together. */
function settingsOf(args: Args, name: string): Settings {
  const command = args.behind;
  if (command.length === 0) {
    throw new UsageError(`the command to run is missing: write it behind --, as in --to ${name} -- COMMAND`);
  }
  if (command[0] === '') throw new UsageError('the command to run is empty');
  const [isOnce, follows] = [args.flag('once'), args.flag('follow')];
  const everyMs = args.duration('every');
  if (isOnce && follows) throw new UsageError('--once does not go with --follow: give one of them');
  if (everyMs !== undefined && !follows) throw new UsageError('--every needs --follow');
  if (everyMs !== undefined && everyMs > dayMs) throw new UsageError('--every must be a day at most, such as 30s');
  const limit = args.integer('batch', 1, 100_000) ?? 500;
  return { command, limit, isOnce, everyMs: follows ? everyMs ?? 30 * secondMs : undefined };
}

/** Keeps every other process from sending for this outbox. Throws `ERR_STORE_BUSY` where one does. */
function lockOutbox(store: SqliteStore, name: string): FileLock {
  const path = realpathSync(connect(store).path!);
  return attempt(`lock the outbox ${name}`, () => {
    return FileLock.acquire(pathBeside(path, `-outbox-${name}-lock`), 0, `sends the log of ${path} to ${name}`, [path]);
  });
}

function remove(args: Args, io: Io, name: string): Promise<number> {
  const others = ['follow', 'every', 'once', 'batch'].filter((option) => args.flag(option) || args.text(option));
  if (others.length > 0) throw new UsageError(`--${others[0]} does not go with --remove`);
  if (args.behind.length > 0) throw new UsageError('--remove takes no command');
  return change(args, io, (store) => {
    using _lock = lockOutbox(store, name);
    const removed = outboxNames(store).includes(name) && new Outbox(store, name).remove();
    const line = removed
      ? `${painter(io.stdout)('green', 'removed')}: the outbox ${name}; nothing waits for it any more`
      : `Nothing was removed: there is no outbox ${name}.`;
    return { line, document: { outbox: name, removed } };
  });
}

async function send(args: Args, io: Io, name: string): Promise<number> {
  const settings = settingsOf(args, name);
  if (settings.everyMs !== undefined) io.endsWell?.();
  const shipper = new Shipper(args, io, name, settings);
  using reader = await openStore(args, io, args.text('ledger'));
  const head = reader.auditHead()?.id ?? 0;
  using _lock = lockOutbox(reader, name);
  reader.close();
  // What keeps this user from noting an arrival is told here, and not when the first batch has arrived.
  await shipper.write(() => undefined);
  // Awaited here, because the lock is released when this returns.
  if (settings.everyMs !== undefined) return await follow(shipper, io, settings.everyMs);
  return await sendAll(shipper, io, { last: settings.isOnce ? 0 : head, tellsNothing: !args.flag('json') });
}

/** Sends up to a row: what a service writes meanwhile could keep this from ever ending. */
async function sendAll(
  shipper: Shipper, io: Io, { last, tellsNothing }: { last: number; tellsNothing: boolean },
): Promise<number> {
  let batch = await shipper.next();
  if (!batch && tellsNothing) print(io, ['Nothing to send.']);
  while (batch) {
    await shipper.send(batch);
    if (batch.to >= last) break;
    io.signal?.throwIfAborted();
    batch = await shipper.next();
  }
  return 0;
}

/** Sends until a signal comes. A store that is just being restored or vacuumed is a failure as any other. */
async function follow(shipper: Shipper, io: Io, everyMs: number): Promise<number> {
  let failures = 0;
  while (!io.signal?.aborted) {
    let waitMs = 0;
    try {
      const batch = await shipper.next();
      if (batch) await shipper.send(batch);
      else waitMs = everyMs;
      failures = 0;
    } catch (error) {
      if (!mayPass(error)) throw error;
      waitMs = nextWaitMs(++failures, Math.random());
      shipper.tellFailure(error as Error, io.signal?.aborted ? undefined : waitMs);
    }
    if (waitMs > 0) await sleep(waitMs, undefined, io.signal ? { signal: io.signal } : {}).catch(() => {});
  }
  return 0;
}

const longestWaitMs = 15 * 60 * secondMs;

/**
 * How long to wait after so many failures in a row: twice as long each time, from a second to 15 minutes. `random`,
 * from 0 to 1, takes up to a half off it, because many stores that lost the same place would all come back at once.
 */
export function nextWaitMs(failures: number, random: number): number {
  const wholeMs = Math.min(longestWaitMs, secondMs * 2 ** (failures - 1));
  return Math.round(wholeMs * (1 - random / 2));
}

/** Sends for one outbox, and says what it does. The store is open in `next` and `write` alone. */
class Shipper {
  readonly #args: Args;
  readonly #io: Io;
  readonly #name: string;
  readonly #settings: Settings;
  #toldRewound: number | undefined;

  constructor(args: Args, io: Io, name: string, settings: Settings) {
    this.#args = args;
    this.#io = io;
    this.#name = name;
    this.#settings = settings;
  }

  /** The next batch, if there is one. A store that was restored may lack the outbox, which is made again then. */
  async next(): Promise<Batch | undefined> {
    const { limit } = this.#settings;
    {
      using store = await openAgain(this.#args, this.#io, this.#args.text('ledger'));
      if (outboxNames(store).includes(this.#name)) return new Outbox(store, this.#name).read({ limit });
    }
    return this.write((outbox) => outbox.read({ limit }));
  }

  /** Gives a batch to the command, and notes that it has arrived. Throws `Failure` where it has not. */
  async send(batch: Batch): Promise<void> {
    const { command } = this.#settings;
    this.#tellRewound(batch);
    const refusal = await handOver(command, batch.text, (line) => this.#passOn(line));
    if (refusal) {
      const { how, lastLine } = refusal;
      const what = `${rowsText(batch)} ${batch.from === batch.to ? 'was' : 'were'} not sent`;
      const why = `${shellWord(command[0]!)} ${how}${lastLine === undefined ? '' : `: ${cut(lastLine)}`}`;
      throw new Failure(`${what}: ${why}`);
    }
    try {
      await this.write((outbox) => outbox.acknowledge(batch.anchor));
    } catch (error) {
      if (!hasCode(error, 'ERR_STORE_CONFLICT')) throw error;
      throw new Failure(`${rowsText(batch)} arrived, and the store was restored or renewed meanwhile`);
    }
    this.#tellSent(batch);
  }

  /** Opens the store to write to the outbox, which is made where it is not there. */
  write<T>(change: (outbox: Outbox) => T): Promise<T> {
    const onRecovery = (recovery: object, line: string): void => {
      this.#tell(this.#isJson ? json({ recovery }) : line);
    };
    return changeAgain(this.#args, this.#io, (store) => change(new Outbox(store, this.#name)), onRecovery);
  }

  /** Tells why something failed, and when it is tried again. */
  tellFailure(error: Error, waitMs: number | undefined): void {
    const { stderr } = this.#io;
    const next = waitMs === undefined ? undefined : new Date(now(this.#io).getTime() + waitMs);
    writeError({ stderr, asJson: this.#isJson }, error, { nextTry: next });
    if (this.#isJson || next === undefined || waitMs === undefined) return;
    const wait = span(Math.ceil(waitMs / secondMs) * secondMs);
    stderr.write(`${painter(stderr)('dim', `the next try is in ${wait}, at ${clockTime(next)}`)}\n`);
  }

  get #isJson(): boolean {
    return this.#args.flag('json');
  }

  #tell(line: string): void {
    this.#io.stdout.write(`${line}\n`);
  }

  #tellSent(batch: Batch): void {
    const { from, to, anchor, rewound, text } = batch;
    const size = Buffer.byteLength(text);
    if (!this.#isJson) this.#tell(`${painter(this.#io.stdout)('green', 'sent')}: ${rowsText(batch)}, ${bytes(size)}`);
    else this.#tell(json({ outbox: this.#name, sent: { from, to, anchor, bytes: size, rewound }, at: now(this.#io) }));
  }

  /** Tells once that a backup was restored, however often the batch is sent. */
  #tellRewound({ from, rewound }: Batch): void {
    if (rewound === undefined || rewound === this.#toldRewound) return;
    this.#toldRewound = rewound;
    if (this.#isJson) return; // each batch says it
    const label = painter(this.#io.stdout)('yellow', 'rewound');
    const what = `an older backup was restored, and ${this.#name} has rows up to ${count(rewound)} from before that`;
    this.#tell(`${label}: ${what}; it gets the rows from ${count(from)}`);
  }

  /** A line of the command's standard error. */
  #passOn(line: string): void {
    this.#io.stderr.write(`${this.#isJson ? json({ command: line }) : plain(line)}\n`);
  }
}

function rowsText({ from, to }: Batch): string {
  return from === to ? `row ${count(from)}` : `rows ${count(from)} to ${count(to)}`;
}

const longestReason = 500;

function cut(text: string): string {
  return text.length > longestReason ? `${text.slice(0, longestReason)}…` : text;
}
