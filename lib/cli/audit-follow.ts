// `audit --follow`: shows each event once and in order, also where the store is exchanged for an older copy meanwhile.
import type { Anchor } from '../core/chain.ts';
import type { ModuleConnection } from '../core/door.ts';
import { checkAdvance, pageRows } from '../core/log.ts';
import type { Page, Range, SearchFilter } from '../reading/filter.ts';
import { connect, type SqliteStore } from '../store.ts';
import type { Args } from './args.ts';
import { type AuditRow, AuditTable } from './audit-lines.ts';
import { type Io, now, write } from './command.ts';
import { writeError } from './failures.ts';
import { everyMs, everySecond, type Next, quietMs, Reopened } from './follow.ts';
import { PassedRows, remembered } from './passed-rows.ts';
import { attemptRow } from './rows.ts';
import { readPage, rowsOf, search } from './search.ts';
import { count, json, painter, plain, span } from './text.ts';

/** What to follow: the events that match a filter, beginning with the newest `limit` of those that are there. */
export interface Followed {
  filter: SearchFilter;
  limit: number;
}

/**
 * Shows the newest of the matching events, oldest first, and then each new one, until `io.signal` is aborted or the
 * filter's `until` is past. Closes the store, which is open only while it is read.
 */
export async function followAudit(args: Args, io: Io, store: SqliteStore, followed: Followed): Promise<void> {
  const follower = new Follower(args, io, followed);
  await follower.begin(connect(store));
  store.close();
  await everySecond(io, () => follower.turn());
}

/** What a read of the log found. */
interface Found {
  rows: AuditRow[];
  /** The rows that could be read, whether they match or not. */
  passed: Anchor[];
  /** The last id of what was read, where there may be more behind it. */
  moreBehind?: number | undefined;
}

class Follower {
  readonly #io: Io;
  readonly #asJson: boolean;
  readonly #followed: Followed;
  readonly #store: Reopened;
  #table: AuditTable | undefined;
  readonly #passed = new PassedRows();
  /** Behind which row the next read begins, where that is not the last row that was passed. */
  #next: number | undefined;
  /** The rows that were shown as errors, and could not be passed. */
  readonly #unread = new Set<number>();
  /** What there is to tell when the store is closed again: for people, and for machines. */
  #notices: [label: string, text: string, document: object][] = [];
  #outage: { since: Date; sinceMs: number; isTold: boolean } | undefined;

  constructor(args: Args, io: Io, followed: Followed) {
    this.#io = io;
    this.#asJson = args.flag('json');
    this.#followed = followed;
    this.#store = new Reopened(args, io);
  }

  /** Finds the row at which to begin. */
  async begin(door: ModuleConnection): Promise<void> {
    const { filter, limit } = this.#followed;
    const headId = headIdOf(door); // read first, because what is written during the search comes behind it
    let first: number | undefined;
    for await (const rows of search(door, limit, filter, this.#io.signal)) first = rows.at(-1)!.id;
    const next = first === undefined ? headId : first - 1;
    this.#passed.begin(anchorsUpTo(door, next)); // the last read, so that one which fails changes nothing
    this.#next = next;
    this.#unread.clear();
    this.#table ??= new AuditTable(this.#io, { id: Math.max(3, String(headId).length), type: 16 });
  }

  /** Shows what is new, and gives when to look again. */
  async turn(): Promise<Next> {
    const { until } = this.#followed.filter;
    const isLast = until !== undefined && now(this.#io) >= until;
    const looked = await this.#store.look((store) => this.#read(connect(store)), this.#next !== undefined);
    this.#tellNotices();
    if (looked?.error) this.#fails(looked.error);
    if (!looked?.value) return isLast ? 'none' : 'later';
    this.#isBack();
    const { rows, passed, moreBehind } = looked.value;
    this.#passed.add(passed);
    this.#next = moreBehind;
    if (rows.length > 0) await write(this.#io, this.#textOf(rows));
    if (moreBehind !== undefined) return 'at once';
    return isLast ? 'none' : 'later';
  }

  #textOf(rows: readonly AuditRow[]): string {
    return this.#asJson ? rows.map((row) => `${json(row)}\n`).join('') : this.#table!.add(rows);
  }

  async #read(door: ModuleConnection): Promise<Found> {
    const { log } = door.parts;
    const isSame = (): boolean => door.read('look for the row that was read last', () => this.#passed.isIn(log));
    if (!isSame()) await this.#goBack(door);
    const behind = this.#next ?? this.#passed.last?.id ?? 0;
    const page = pageBehind(door, behind);
    const rows = page ? rowsOf(door, this.#followed.filter, page).reverse() : [];
    const passed = page ? anchorsOf(door, page) : [];
    const beginning = door.read('read where the log begins', () => log.beginning());
    // A read opens the file anew that was put in the place of another: then the page may be of one and the last row of
    // the other.
    if (!isSame()) return { rows: [], passed: [], moreBehind: behind };
    if (beginning.id > behind) this.#missed(behind + 1, beginning.id);
    return {
      rows: rows.filter((row) => this.#isNew(row, passed)),
      passed: beginning.id > behind ? [beginning, ...passed] : passed,
      moreBehind: page?.isFull ? page.to : undefined,
    };
  }

  /** Whether a row was not shown before a restore took it away and a ledger brought it back, nor its error before. */
  #isNew(row: AuditRow, passed: readonly Anchor[]): boolean {
    const anchor = passed.find(({ id }) => id === row.id);
    if (anchor) return !this.#passed.hasLost(anchor);
    const isNew = !this.#unread.has(row.id);
    if ('error' in row) this.#unread.add(row.id);
    return isNew;
  }

  /**
   * Finds where to go on in a log that does not have the row that was passed last. Where a read of that fails, the next
   * turn has to find the same, so that nothing is changed before the last read.
   */
  async #goBack(door: ModuleConnection): Promise<void> {
    const last = this.#passed.last!;
    const shared = door.read('look for the rows that were read', () => this.#passed.sharedWith(door.parts.log));
    const { hasForgotten } = this.#passed;
    let how = 'and it goes on behind the last row that is';
    if (shared > 0) {
      this.#passed.goBackTo(shared);
      this.#next = undefined;
    } else if (hasForgotten) {
      // Some of the rows that are there may have been shown, and nobody knows which.
      const there = anchorsUpTo(door, headIdOf(door));
      this.#passed.goBackTo(0);
      this.#passed.add(there);
      this.#next = undefined;
      how = `nor is any of ${count(remembered)} rows before it, and it goes on with what comes now`;
    } else {
      await this.begin(door);
      how = 'nor is any row before it, and it begins anew';
    }
    const behind = shared === 0 && !hasForgotten ? undefined : this.#passed.last;
    const where = behind ? `, row ${count(behind.id)}` : '';
    const text = `row ${count(last.id)}, the last one read, is not in the log any more, ${how}${where}`;
    this.#notices.push(['exchanged', text, { exchanged: { last, behind: behind ?? null } }]);
  }

  /** Tells of rows that went into an archive while this process was held up. */
  #missed(from: number, to: number): void {
    const text = `rows ${count(from)} to ${count(to)} went into archives, where this does not look`;
    this.#notices.push(['missed', text, { missed: { from, to } }]);
  }

  #tellNotices(): void {
    const { stderr } = this.#io;
    for (const [label, text, document] of this.#notices.splice(0)) {
      stderr.write(`${this.#asJson ? json(document) : `${painter(stderr)('yellow', label)}: ${plain(text)}`}\n`);
    }
  }

  /** Tells once why the store cannot be read, where that lasts. */
  #fails(error: Error): void {
    const { stderr } = this.#io;
    const at = now(this.#io);
    this.#outage ??= { since: at, sinceMs: performance.now(), isTold: false };
    if (this.#outage.isTold || performance.now() - this.#outage.sinceMs < quietMs) return;
    this.#outage.isTold = true;
    writeError({ stderr, asJson: this.#asJson }, error, { nextTry: new Date(at.getTime() + everyMs) });
    if (!this.#asJson) stderr.write(`${painter(stderr)('dim', 'it is tried again every second')}\n`);
  }

  #isBack(): void {
    if (this.#outage?.isTold) {
      const awayMs = performance.now() - this.#outage.sinceMs;
      const document = { readable: { since: this.#outage.since, at: now(this.#io) } };
      this.#notices.push(['back', `the store can be read again, after ${span(awayMs)}`, document]);
      this.#tellNotices();
    }
    this.#outage = undefined;
  }
}

function headIdOf(door: ModuleConnection): number {
  return door.read('read the head of the log', () => door.parts.log.head()?.id ?? 0);
}

const behindSql = `SELECT min(id), max(id), count(*)
  FROM (SELECT id FROM audit_log WHERE id > ? ORDER BY id LIMIT ${pageRows})`;

/** The next rows behind an id, matching or not; `undefined` if there are none. */
function pageBehind(door: ModuleConnection, id: number): (Page & { to: number; isFull: boolean }) | undefined {
  type Row = [from: number | null, to: number, rows: number];
  const [from, to, rows] = door.read('find events', () => door.get<Row>(behindSql, id))!;
  if (from === null) return undefined;
  checkAdvance(from, id);
  return { from, to, isFull: rows === pageRows };
}

/** The last rows up to an id, as many as are remembered, with what the log begins behind where it has no more. */
function anchorsUpTo(door: ModuleConnection, id: number): Anchor[] {
  const pages: Anchor[][] = [];
  let page = readPage(door, id);
  for (let rows = 0; page && rows < remembered; page = readPage(door, page.from - 1)) {
    pages.push(anchorsOf(door, page));
    rows += pageRows;
  }
  if (!page) pages.push([door.read('read where the log begins', () => door.parts.log.beginning())]);
  return pages.reverse().flat();
}

/** The rows of a range that can be read, oldest first. */
function anchorsOf(door: ModuleConnection, { from, to }: Range): Anchor[] {
  const sql = 'SELECT id, event_hash FROM audit_log WHERE id BETWEEN ? AND ? ORDER BY id';
  const read = (first: Range['from'], last: Range['to']): Anchor[] | undefined => {
    type Row = [id: number, hash: string];
    const { value } = attemptRow(() => door.read('read events', () => door.all<Row>(sql, first, last)));
    return value?.map(([id, hash]) => ({ id, hash }));
  };
  const whole = read(from, to);
  if (whole) return whole;
  const rows: Anchor[] = [];
  for (let page = readPage(door, to, 1); page && page.from >= from; page = readPage(door, page.from - 1, 1)) {
    rows.unshift(...(read(page.from, page.from) ?? []));
  }
  return rows;
}
