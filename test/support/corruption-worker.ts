// The process of test/faults/corruption.test.ts that damages copies of stores and looks what becomes of them. It tells
// the number of each trial before it begins, so that a crash or a hang has a name; it fails with what is wrong.
import assert from 'node:assert/strict';
import {
  closeSync, copyFileSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type Anchor, type AuditEvent, SqliteStore, StoreError } from '../../lib/index.ts';
import { Ledger, verifyParity } from '../../lib/ledger/index.ts';
import { tell } from './child.ts';
import { flipBit, picture } from './files.ts';
import { seededRandom } from './random.ts';

const today = '2026-11-21';
const clock = (): Date => new Date('2026-11-21T12:00:00Z');
const days = ['2026-11-18', '2026-11-19', '2026-11-20', today];
const pageBytes = 4096;

/** The folders that are damaged: made by `makeBases`. Each has an `old` one beside it, from before its last half. */
export const bases = ['closed', 'killed', 'closed-ledger', 'killed-ledger'];

const state = (number: number) => ({
  timestamp: new Date(Date.UTC(2026, 10, 21, 10, 0, number)),
  activeSession: { sessionId: `s${number}`, entryId: 'minecraft', startedAt: new Date(0), warningsIssued: [300, 60] },
});

function fillHalf(store: SqliteStore, half: number): void {
  for (let number = half * 20; number < half * 20 + 20; number++) {
    const entryId = ['minecraft', 'tuxpaint', 'film'][number % 3]!;
    store.appendAudit(
      { type: 'launch_denied', entryId, reasons: ['quota '.repeat((number * 7) % 40), `${number}`] },
      number % 4 === 0 ? { eventId: `e${number}` } : {},
    );
    store.addUsage(entryId, days[number % days.length]!, 1_000 * number + 7);
    for (let other = 0; other < 3; other++) store.addUsage(`entry-${number}-${other}`, days[other]!, 500);
    store.setCooldownUntil(entryId, new Date(Date.UTC(2026, 10, 21, 13, number)));
    if (number % 10 === 9) store.saveSnapshot(state(number));
  }
}

function openIn(folder: string, options: { recover?: boolean } = {}): SqliteStore {
  const ledgerPath = join(folder, 'audit.jsonl');
  return SqliteStore.open(join(folder, 'store.db'), {
    clock,
    ...options,
    ...(folder.includes('-ledger') ? { ledger: Ledger.open(ledgerPath, options) } : undefined),
  });
}

/**
 * Makes one base: the store after half of it as `old`, and after all of it, closed or as a kill leaves it. Ends with a
 * kill.
 */
function makeBase(root: string, name: string): void {
  const folder = join(root, name);
  mkdirSync(folder);
  const first = openIn(folder);
  fillHalf(first, 0);
  first.close();
  copyAll(folder, join(root, `${name}-old`));
  const store = openIn(folder);
  fillHalf(store, 1);
  if (name.startsWith('killed')) process.kill(process.pid, 'SIGKILL');
  store.close();
}

function copyAll(from: string, to: string): void {
  mkdirSync(to);
  for (const name of readdirSync(from)) copyFileSync(join(from, name), join(to, name));
}

/** What a reader finds; `code` where the store cannot be opened to read. */
interface View {
  code?: string;
  /** Whether the log is whole up to the anchor. */
  whole: boolean;
  events?: AuditEvent[];
  balances?: object;
  parity: boolean;
  snapshot?: object | undefined;
}

/** Runs something that may refuse, but only by a StoreError. */
async function guarded<T>(fn: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await fn();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return undefined;
  }
}

async function look(folder: string, anchor: Anchor | undefined): Promise<View> {
  let store: SqliteStore;
  try {
    store = SqliteStore.openReadOnly(join(folder, 'store.db'), { clock });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { code: error.code, whole: false, parity: false };
  }
  try {
    const report = await guarded(() => store.verifyAudit(anchor ? { anchor } : {}));
    const events = await guarded(() => [...store.iterateAudits()]);
    const balances = await guarded(() => ({
      usage: days.map((day) => store.getUsageForDay(day)),
      cooldowns: store.listCooldowns(),
    }));
    const snapshot = await guarded(() => store.loadSnapshot());
    store.health();
    store.isHealthy();
    let parity = false;
    if (folder.includes('-ledger')) {
      parity = (await guarded(async () => {
        const ledger = Ledger.open(join(folder, 'audit.jsonl'));
        try {
          return (await ledger.verify(anchor ? { anchor } : {})).ok && (await verifyParity(store, ledger)).isConsistent;
        } finally {
          ledger.close();
        }
      })) === true;
    }
    return {
      whole: report?.ok === true,
      parity,
      ...(events ? { events } : undefined),
      ...(balances ? { balances } : undefined),
      snapshot,
    };
  } finally {
    store.close();
  }
}

interface Base extends View {
  folder: string;
  old: string;
  anchor: Anchor;
}

type Random = () => number;

const damages: Record<string, (path: string, old: string, random: Random) => void> = {
  'a flipped bit': (path, _old, random) =>
    flipBit(path, Math.floor(random() * statSync(path).size), Math.floor(random() * 8)),
  'a random byte': (path, _old, random) =>
    overwrite(path, Math.floor(random() * statSync(path).size), noise(1, random)),
  'a page of noise': (path, _old, random) => overwrite(path, pageIn(path, random), noise(pageBytes, random)),
  'a page of zeros': (path, _old, random) => overwrite(path, pageIn(path, random), Buffer.alloc(pageBytes)),
  'a page of another place': (path, _old, random) =>
    overwrite(path, pageIn(path, random), readPage(path, pageIn(path, random))),
  'its end cut off': (path, _old, random) => truncateSync(path, Math.floor(statSync(path).size * random())),
  'nothing but zeros': (path) => overwrite(path, 0, Buffer.alloc(statSync(path).size)),
  'no file': (path) => rmSync(path),
  'an older copy': (path, old) => (existsSync(old) ? copyFileSync(old, path) : rmSync(path)),
};

function pageIn(path: string, random: Random): number {
  return Math.floor((random() * statSync(path).size) / pageBytes) * pageBytes;
}

function noise(bytes: number, random: Random): Buffer {
  return Buffer.from(Array.from({ length: bytes }, () => Math.floor(random() * 256)));
}

function readPage(path: string, offset: number): Buffer {
  return readFileSync(path).subarray(offset, offset + pageBytes);
}

/** Writes within the file, as far as it goes. */
function overwrite(path: string, offset: number, bytes: Buffer): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, Math.min(bytes.length, statSync(path).size - offset), offset);
  closeSync(fd);
}

function pick<T>(list: readonly T[], random: Random): T {
  return list[Math.floor(random() * list.length)]!;
}

/** One damage, and everything that may be done with it. Tells its name first. */
async function attempt(root: string, loaded: Base[], number: number, seed: number): Promise<void> {
  const random = seededRandom(seed * 1_000_003 + number);
  const base = pick(loaded, random);
  const names = readdirSync(base.folder).filter(
    (name) => !name.endsWith('-shm') && statSync(join(base.folder, name)).size > 0,
  );
  const name = pick(names, random);
  // Single places as often as all the rest together.
  const what = random() < 0.5 ? pick(Object.keys(damages).slice(0, 2), random) : pick(Object.keys(damages), random);
  tell(`${number}: ${what} in ${name} of ${base.folder}`);
  const [first, second] = ['a', 'b'].map((suffix) =>
    join(root, `trial${suffix}-${base.folder.includes('-ledger') ? '-ledger' : ''}`),
  ) as [string, string];
  for (const folder of [first, second]) rmSync(folder, { recursive: true, force: true });
  copyAll(base.folder, first);
  damages[what]!(join(first, name), join(base.old, name), random);
  copyAll(first, second);
  const before = await look(first, base.anchor);
  checkView(before, base);
  await openPlainly(first, before, base);
  await openToRecover(second, base);
}

/** What verify calls whole is as it was. */
function checkView(view: View, base: Base): void {
  if (view.whole && view.events) assert.deepEqual(view.events, base.events);
  if (view.whole && view.parity && view.balances) assert.deepEqual(view.balances, base.balances);
}

/** A service that opens it without recover: it is refused and left as it was, or nothing is worse afterwards. */
async function openPlainly(folder: string, before: View, base: Base): Promise<void> {
  const files = (...but: string[]): object =>
    Object.fromEntries(Object.entries(picture(folder)).filter(([name]) => ![...but, 'store.db-shm'].includes(name)));
  const [found, foundOthers] = [files(), files('store.db', 'store.db-wal')];
  let store: SqliteStore;
  try {
    store = openIn(folder);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    // The ledger is held against the database, which is opened for that: its -wal is in it then.
    if (error.code !== 'ERR_STORE_PARITY')
      return assert.deepEqual(files(), found, `refused with ${error.message}, and changed`);
    assert.deepEqual(files('store.db', 'store.db-wal'), foundOthers, `refused with ${error.message}, and changed`);
    return assert.deepEqual(await look(folder, base.anchor), before, `refused with ${error.message}, and changed`);
  }
  await guarded(() => store.appendAudit({ type: 'service_started' }));
  store.close();
  const after = await look(folder, before.whole ? base.anchor : undefined);
  if (before.whole) assert.ok(after.whole, 'the log was whole');
  const kept = new Map(after.events?.map((event) => [event.id, event]));
  for (const event of before.events ?? []) assert.deepEqual(kept.get(event.id), event, 'it was there');
}

/** A service that opens it with recover gets going, and what is not as it was has been named. */
async function openToRecover(folder: string, base: Base): Promise<void> {
  const store = openIn(folder, { recover: true });
  const { recovery } = store;
  try {
    store.appendAudit({ type: 'service_started' });
    store.addUsage('minecraft', today, 1_000);
    store.addUsage('new', today, 1_000);
    store.setCooldownUntil('tuxpaint', new Date(5));
    store.clearCooldown('film');
    store.saveSnapshot(state(99));
    assert.deepEqual(store.loadSnapshot(), state(99));
    assert.ok(store.isHealthy());
    await checkNamed(store, base);
  } finally {
    store.close();
  }
  const again = openIn(folder);
  assert.equal(again.recovery, undefined);
  if (recovery?.found === 'damaged' || recovery?.found === 'missing')
    assert.deepEqual((await again.verifyAudit()).findings, []);
  again.close();
}

async function checkNamed(store: SqliteStore, { events = [] }: Base): Promise<void> {
  const { lost } = store.recovery ?? {};
  const report = await guarded(() => store.verifyAudit());
  if (!report) return; // pages of the log cannot be read, and whoever asks is told
  const { findings } = report;
  const kept = new Map((await guarded(() => [...store.iterateAudits()]))?.map((event) => [event.id, event]));
  // One by one where one that cannot be read hides the others.
  for (const { id } of kept.size > 0 ? [] : events) {
    const event = await guarded(() => [...store.iterateAudits({ fromId: id, toId: id })][0]);
    if (event) kept.set(id, event);
  }
  for (const event of events) {
    if (isDeepStrictEqual(kept.get(event.id), event)) continue;
    const isLost = lost !== undefined && event.id <= lost.to && event.id >= (lost.from ?? 1);
    assert.ok(
      isLost || findings.some(({ id }) => id === event.id) || findings.some(({ kind }) => kind === 'gap'),
      `event ${event.id} is not as it was, and nothing says so: ${JSON.stringify({ lost, findings })}`,
    );
  }
}

async function work(root: string, from: number, to: number, seed: number): Promise<void> {
  const loaded: Base[] = [];
  for (const name of bases) {
    const folder = join(root, name);
    const view = await look(folder, undefined);
    using store = SqliteStore.openReadOnly(join(folder, 'store.db'));
    loaded.push({ ...view, folder, old: `${folder}-old`, anchor: store.auditHead()! });
  }
  const own = join(root, `from-${from}`);
  mkdirSync(own);
  for (let number = from; number < to; number++) await attempt(own, loaded, number, seed);
}

const [task, root, ...rest] = process.argv.slice(2);
if (import.meta.main && root !== undefined) {
  if (task === 'make') makeBase(root, rest[0]!);
  else await work(root, Number(rest[0]), Number(rest[1]), Number(rest[2]));
}
