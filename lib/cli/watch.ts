// The command watch: a screen that shows what is going on, and is drawn anew each second.
import type { StoreHealth } from '../health.ts';
import { connect, type SqliteStore } from '../store.ts';
import { StoreError } from '../values/errors.ts';
import { type Args, storeFile } from './args.ts';
import { type AuditRow, AuditTable } from './audit-lines.ts';
import { type Command, dbOption, type Io, now } from './command.ts';
import { UsageError } from './failures.ts';
import { everySecond, type Next, quietMs, Reopened } from './follow.ts';
import { holdersOf } from './holders.ts';
import { needed } from './left-out.ts';
import { cooldownLines, errorLines, type RowError, unreadable, usageLines } from './rows.ts';
import { fitSections, Screen, type Section } from './screen.ts';
import { search } from './search.ts';
import { sessionRows } from './snapshot.ts';
import { openStore, storePath } from './store-path.ts';
import { counted, dayLabel, instantText, type Output, painter, plain, wrap } from './text.ts';
import { partReader, readToday, type Today } from './today.ts';

/** `watch`: shows on a screen what is going on. */
export const watch: Command = {
  name: 'watch',
  summary: 'Shows on a screen what is going on, and the last events',
  takes: [storeFile],
  options: {
    ...dbOption, policy: { value: 'FILE', help: 'shows as well which entries of this policy may start' },
    json: { help: 'errors as JSON lines, for machines' },
  },
  notes: [
    'The screen is drawn anew each second, until q, Ctrl-C or SIGTERM ends it with 0.',
    'It goes on through a restart of the service and a restore. It needs a terminal;',
    'for a pipe there are status and audit --follow.',
    'The session is the one of the last snapshot, as in status. FILE is the policy',
    'that the service gives to evaluate, as JSON.',
  ],
  examples: ['watch shepherdd.db', 'watch --db shepherdd.db --policy policy.json'],
  run: runWatch,
};

async function runWatch(args: Args, io: Io): Promise<number> {
  if (!io.stdout.isTTY || process.env['TERM'] === 'dumb') {
    throw new UsageError('watch needs a terminal: status shows the same once, and audit --follow the events');
  }
  const policy = args.text('policy');
  const judge = policy === undefined
    ? undefined : (await needed('--policy', () => import('./limits.ts'))).judgeBy(policy);
  io.endsWell?.();
  (await openStore(args, io)).close(); // where there is no store, that is told on the screen that was there before
  const ended = new AbortController();
  const signal = io.signal ? AbortSignal.any([io.signal, ended.signal]) : ended.signal;
  const watched = new Watched(args, { ...io, signal }, judge);
  using screen = new Screen(io, (size) => watched.lines(size), () => ended.abort());
  await everySecond({ ...io, signal }, async (): Promise<Next> => {
    await watched.look();
    screen.draw();
    return 'later';
  });
  return 0;
}

type Judge = (store: SqliteStore, at: Date) => (stdout: Output) => string[];

/** What was read last. A part is `undefined` where it could not be read. */
interface Seen {
  at: Date;
  today: Today;
  health: StoreHealth | undefined;
  isLeft: boolean;
  limits: ((stdout: Output) => string[]) | undefined;
  events: AuditRow[] | undefined;
  errors: RowError[];
}

// What only time changes is read at this pace, such as what a policy permits; all else when the files change.
const refreshMs = 10_000;
// More than any screen has lines.
const mostEvents = 100;

class Watched {
  readonly #io: Io;
  readonly #path: string;
  readonly #store: Reopened;
  readonly #judge: Judge | undefined;
  #seen: Seen | undefined;
  #failure: { error: Error; since: Date } | undefined;
  #isLeft = false;

  constructor(args: Args, io: Io, judge: Judge | undefined) {
    this.#io = io;
    this.#path = storePath(args);
    this.#store = new Reopened(args, io);
    this.#judge = judge;
  }

  /** Reads the store where something may have changed. */
  async look(): Promise<void> {
    const at = now(this.#io);
    const age = this.#seen ? at.getTime() - this.#seen.at.getTime() : Infinity;
    const isDue = age >= refreshMs || age < 0;
    // To ask for the processes that have the store open takes longer than all else, and rarely gives another answer.
    if (isDue) this.#isLeft = holdersOf(this.#path).isOpenForWriting === false;
    const looked = await this.#store.look((store) => this.#read(store, at), isDue);
    if (looked?.error) this.#failure = { error: looked.error, since: this.#failure?.since ?? at };
    if (!looked?.value) return;
    this.#seen = looked.value;
    this.#failure = undefined;
  }

  async #read(store: SqliteStore, at: Date): Promise<Seen> {
    const { errors, part } = partReader();
    const health = part(() => store.health());
    const today = await readToday(store, at, part);
    const limits = part(() => this.#judge?.(store, at));
    const events = await lastEvents(store, errors, this.#io.signal);
    return { at, today, health, isLeft: this.#isLeft, limits, events, errors };
  }

  /** The lines of a screen of a size. */
  lines({ columns, rows }: { columns: number; rows: number }): string[] {
    const { stdout } = this.#io;
    const at = now(this.#io);
    const paint = painter(stdout);
    const head = [`${paint('dim', instantText(at))}  ${paint('bold', plain(this.#path))}`];
    const { error, since } = this.#failure ?? {};
    const isGone = since !== undefined && (!this.#seen || at.getTime() - since.getTime() >= quietMs);
    if (isGone) {
      const words = `${unreadable}: ${plain(error!.message)}; it is tried again every second`.split(' ');
      return [...head, '', ...wrap(words, columns).map((line) => paint('red', line))];
    }
    if (!this.#seen) return head;
    const { today, health, isLeft, errors } = this.#seen;
    head.push(stateLine(stdout, health, errors));
    const session = today.session === undefined
      ? [['session', paint('red', unreadable)] as const]
      : sessionRows(this.#io, today.session, at, { savedAt: today.savedAt ?? undefined, isLeft });
    // On a low screen the other parts have to have room as well.
    const sessionLines = session.slice(0, Math.max(2, Math.floor(rows / 4)));
    head.push(...sessionLines.map(([name, text]) => `${name.padEnd(10)}${text}`));
    return [...head, ...fitSections(stdout, this.#sections(this.#seen, at), rows - head.length)];
  }

  #sections({ today, limits, events, errors, isLeft }: Seen, at: Date): Section[] {
    const { stdout } = this.#io;
    const unknown = [`  ${painter(stdout)('red', unreadable)}`];
    const { usage, cooldowns } = today;
    const running = cooldowns?.filter((row) => row.error || (row.until && row.until > at));
    const session = isLeft ? 'the session that a crash left' : undefined;
    const used = usage && (usage.length > 0 ? usageLines(stdout, usage, undefined, session) : ['  nothing was used']);
    const eventLines = events && new AuditTable(this.#io).add(events).split('\n').slice(0, -1);
    const shownEvents = eventLines?.length === 0 ? ['  none'] : eventLines ?? unknown;
    return [
      { title: `Today, ${dayLabel(today.day)}`, lines: used ?? unknown },
      { title: 'Cooldowns', lines: running ? cooldownLines(stdout, running, at) : unknown, isSpared: true },
      { title: 'What may start', lines: limits?.(stdout) ?? (this.#judge ? unknown : []), isSpared: true },
      { title: 'Errors', lines: errorLines(stdout, errors.map((error) => ({ error }))).map((line) => `  ${line}`) },
      { title: 'Last events', lines: shownEvents, isOpen: true, least: 2 }, // the day and an event
    ];
  }
}

/** The last events, newest first; `undefined`, and the error among `errors`, where the log cannot be read. */
async function lastEvents(
  store: SqliteStore, errors: RowError[], signal: AbortSignal | undefined,
): Promise<AuditRow[] | undefined> {
  const events: AuditRow[] = [];
  try {
    for await (const rows of search(connect(store), mostEvents, {}, signal)) events.push(...rows);
    return events;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    errors.push({ code: error.code, message: error.message });
    return undefined;
  }
}

/** Whether the store is well, in one line. */
function stateLine(stdout: Output, health: StoreHealth | undefined, errors: readonly RowError[]): string {
  const paint = painter(stdout);
  if (!health || errors.length > 0) return `${'state'.padEnd(10)}${paint('red', 'something cannot be read')}`;
  if (health.ok) return `${'state'.padEnd(10)}${paint('green', 'healthy')}`;
  const kinds = health.findings.map(({ kind }) => kind).join(', ');
  return `${'state'.padEnd(10)}${paint('yellow', `${counted(health.findings.length, 'finding')}: ${kinds}`)}`;
}
