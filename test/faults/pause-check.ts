// What must hold after two processes have worked on one folder, whatever the moment at which one of them stood still.
import { copyFileSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, verifyParity } from '../../lib/ledger/index.ts';
import type { StartingState } from './pause-states.ts';
import { day, type Told } from './pause-tasks.ts';

/** What one run did, as both processes told it. */
export interface Account {
  pair: Pair;
  state: StartingState;
  first: Told[];
  second: Told[];
}

export interface Pair {
  first: string;
  second: string;
}

type Is<K extends Told['is']> = Extract<Told, { is: K }>;

function ofKind<K extends Told['is']>(told: readonly Told[], kind: K): Is<K>[] {
  return told.filter((message): message is Is<K> => message.is === kind);
}

/** Codes, beside ERR_STORE_BUSY, that say what really stands there while the other one is at work. */
const truthful: { side: 'first' | 'second'; first?: RegExp; second?: RegExp; codes: string }[] = [
  // There is no database yet, or one that has no table yet.
  { side: 'second', first: /^(new|rebuild)$/, second: /^(health|migrate|force)$/, codes: 'NOT_FOUND NOT_A_STORE' },
  // It is damaged or gone until it is healed, and a service that was not told to recover is refused.
  { side: 'second', first: /^damaged$/, second: /^(open|health|migrate|force)$/, codes: 'CORRUPT NOT_A_STORE' },
  { side: 'second', first: /^damaged$/, second: /^(health|migrate|force)$/, codes: 'NOT_FOUND' },
  { side: 'second', first: /^rebuild$/, second: /^open$/, codes: 'CORRUPT' },
  // The other process was first with a database of that name.
  { side: 'first', first: /^rebuild$/, second: /^(open|recover|restore)$/, codes: 'CONFLICT' },
  // It has a ledger by now, or has none any more.
  { side: 'second', first: /^attach$/, second: /^(open|recover)$/, codes: 'CONFLICT' },
  { side: 'first', first: /^detach$/, second: /^(open|recover)$/, codes: 'CONFLICT' },
  // It has the older schema, by force; or a cooldown that the older one has no room for.
  { side: 'second', first: /^migrate$/, second: /^health$/, codes: 'SCHEMA_TOO_OLD' },
  { side: 'first', second: /^force$/, codes: 'MIGRATION SCHEMA_TOO_OLD' },
  { side: 'second', second: /^migrate$/, codes: 'MIGRATION' },
  { side: 'first', first: /^migrate$/, second: /^(open|recover)$/, codes: 'MIGRATION' },
];

function refusals({ pair, first, second }: Account): string[] {
  const problems: string[] = [];
  for (const [side, told] of [['first', first], ['second', second]] as const) {
    for (const { code, message } of ofKind(told, 'refused')) {
      const isTrue = truthful.some((each) => each.side === side && (each.first?.test(pair.first) ?? true)
        && (each.second?.test(pair.second) ?? true) && each.codes.split(' ').includes(code.replace('ERR_STORE_', '')));
      if (code !== 'ERR_STORE_BUSY' && !isTrue) problems.push(`the ${side} was refused with ${code}: ${message}`);
    }
  }
  return problems;
}

/** What each said that it had found, moved or seen. */
function statements({ state, pair, first, second }: Account): string[] {
  const problems: string[] = [];
  const told = [...first, ...second];
  const recoveries = ofKind(told, 'opened').flatMap(({ recovery }) => recovery ?? []);
  if (recoveries.length > (state.isLossy ? 1 : 0)) problems.push(`told of a loss: ${JSON.stringify(recoveries)}`);
  const moved = [...recoveries, ...ofKind(told, 'restored'), ...ofKind(told, 'migrated')].flatMap((each) => each.moved);
  for (const path of moved) if (!existsSync(path)) problems.push(`told that it is now ${path}, where nothing is`);
  const known = ofKind(state.acknowledged, 'event').length;
  // Where the log goes back, or the schema does, a reader may be told of either.
  const isMoving = state.isLossy || /^(new|restore)$/.test(pair.first) || ofKind(told, 'migrated').length > 0;
  for (const { healthy, head, findings } of isMoving ? [] : ofKind(told, 'looked')) {
    if (!healthy || head < known) problems.push(`a reader was told: healthy ${healthy}, head ${head}, ${findings}`);
  }
  return problems;
}

/** Everything wrong with a run: what is lost, what was told that is not so, what is broken. */
export async function problemsOf(account: Account, folder: string): Promise<string[]> {
  return [...refusals(account), ...statements(account), ...(await remains(account, folder))];
}

/** A copy of a folder as the kernel shows it, without the -shm: what is left of a process that is killed there. */
export function copyAsKilled(folder: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to);
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (!name.endsWith('-shm') && lstatSync(path).isFile()) copyFileSync(path, join(to, name));
  }
}

/** What is in the folder at the end, as the next service finds it. */
export async function remains(account: Account, folder: string): Promise<string[]> {
  const told = [...account.state.acknowledged, ...account.first, ...account.second];
  const hasWritten = told.some(({ is }) => is === 'event' || is === 'restored' || is === 'opened');
  const path = join(folder, 'store.db');
  if (!hasWritten && !existsSync(path)) return [];
  const problems: string[] = [];
  try {
    const { store, ledger } = openLast(path, folder);
    try {
      problems.push(...lossesIn(store, account, folder), ...untrueRecoveries(store, account));
      const { findings } = await store.verifyAudit();
      for (const { message } of findings) problems.push(`the chain: ${message}`);
      if (ledger) {
        const parity = await verifyParity(store, ledger);
        if (!parity.isConsistent) problems.push(`the ledger: ${JSON.stringify(parity)}`);
      }
    } finally {
      store.close();
      ledger?.close();
    }
    using db = new DatabaseSync(path);
    const answer = db.prepare('PRAGMA integrity_check').get()?.['integrity_check'];
    if (answer !== 'ok') problems.push(`integrity_check: ${answer}`);
  } catch (error) {
    problems.push(`the next service is refused: ${(error as { code?: string }).code} ${(error as Error).message}`);
  }
  return problems;
}

function openLast(path: string, folder: string): { store: SqliteStore; ledger?: Ledger } {
  const ledgerPath = join(folder, 'audit.jsonl');
  const withLedger = (): { store: SqliteStore; ledger: Ledger } => {
    const ledger = Ledger.open(ledgerPath);
    return { store: SqliteStore.open(path, { recover: true, ledger }), ledger };
  };
  if (!existsSync(path) && existsSync(ledgerPath)) return withLedger();
  try {
    return { store: SqliteStore.open(path, { recover: true }) };
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_STORE_CONFLICT') throw error;
    return withLedger();
  }
}

/** One loss is found once, by one process, with one event; no loss by none. */
function untrueRecoveries(store: SqliteStore, { state, first, second }: Account): string[] {
  const said = ofKind([...first, ...second], 'opened').filter(({ recovery }) => recovery).length;
  const events = store.getRecentAudits(1_000, { type: 'store_recovered' });
  const [all, most] = [said + (store.recovery ? 1 : 0), state.isLossy ? 1 : 0];
  const problems = [];
  if (all > most) problems.push(`the next service finds a loss: ${JSON.stringify(store.recovery)}`);
  if (events.length > most) problems.push(`store_recovered is there ${events.length} times: ${JSON.stringify(events)}`);
  return problems;
}

interface Aside {
  tokens: Set<string>;
  usage: Map<string, number>;
}

/** The databases that a restore has set aside: what was acknowledged before it is there. */
export function replacedIn(folder: string): Aside[] {
  const names = readdirSync(folder).filter((name) => /^store\.db\.replaced-[^/]*Z(-\d+)?$/.test(name));
  return names.map((name) => readAside(join(folder, name)));
}

function readAside(path: string): Aside {
  using db = new DatabaseSync(path);
  try {
    const tokens = db.prepare("SELECT json_extract(event_meta, '$.source') AS token FROM audit_log").all();
    const usage = db.prepare('SELECT entry_id, duration_secs * 1000 + carry_ms AS total FROM usage').all();
    return {
      tokens: new Set(tokens.map(({ token }) => String(token))),
      usage: new Map(usage.map((row) => [String(row['entry_id']), Number(row['total'])])),
    };
  } catch {
    return { tokens: new Set(), usage: new Map() }; // a damaged one, which the restore came to replace
  }
}

function lossesIn(store: SqliteStore, { state, first, second }: Account, folder: string): string[] {
  const told = [...state.acknowledged, ...first, ...second];
  const isRestored = ofKind(told, 'restored').length > 0;
  const aside = isRestored ? replacedIn(folder) : [];
  const tokens = new Set([...store.iterateAudits()].map(({ source }) => source));
  const problems: string[] = [];
  for (const { token } of ofKind(told, 'event')) {
    const isKept = tokens.has(token) || aside.some((each) => each.tokens.has(token));
    if (!isKept) problems.push(`the event ${token} is lost`);
  }
  for (const { entryId, totalMs } of ofKind(told, 'usage')) {
    const found = Math.max(store.getUsage(entryId, day), ...aside.map(({ usage }) => usage.get(entryId) ?? 0));
    if (found < totalMs) problems.push(`the usage of ${entryId} is ${found} and not ${totalMs}`);
  }
  if (isRestored) return problems;
  for (const { entryId, until } of ofKind(told, 'cooldown')) {
    const found = store.getCooldownUntil(entryId);
    if (!found || found < new Date(until)) problems.push(`the cooldown of ${entryId} is lost`);
  }
  const found = store.loadSnapshot()?.activeSession?.sessionId;
  const saves = ofKind(told, 'saved');
  // Which of two that overlap was the last nobody knows.
  const last = saves.filter((save) => !saves.some((other) => other.beganMs > save.atMs));
  const isOneOfThem = last.some(({ token }) => token === found);
  if (last.length > 0 && !isOneOfThem) problems.push(`the state is ${found} and not ${last.map(({ token }) => token)}`);
  return problems;
}
