// A store with a ledger beside it: opening both, and holding one against the other.
import assert from 'node:assert/strict';
import * as system from 'node:fs';
import { appendFileSync, readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { rowHash } from '../../lib/core/chain.ts';
import type { OpenOptions, SqliteStore } from '../../lib/index.ts';
import type { LedgerFiles } from '../../lib/ledger/file.ts';
import { Ledger, type LedgerOptions } from '../../lib/ledger/ledger.ts';
import { beginningOf, isSound, type LedgerLine, lineText, parseHeader, parseLine } from '../../lib/ledger/line.ts';
import type { TestFolder } from './folder.ts';

/** The ledger in a test's folder. */
export function ledgerIn(folder: TestFolder, options?: LedgerOptions): Ledger {
  return Ledger.open(folder.file('audit.jsonl'), options);
}

/** Opens the folder's store with its ledger. */
export function openBoth(folder: TestFolder, options: Omit<OpenOptions, 'ledger'> & LedgerOptions = {}): SqliteStore {
  const { signingKey, files, ...rest } = options;
  const ledgerOptions = {
    ...(signingKey === undefined ? undefined : { signingKey }),
    ...(files === undefined ? undefined : { files }),
  };
  return folder.open({ ...rest, ledger: ledgerIn(folder, ledgerOptions) });
}

/** The system's file operations, some of them replaced. */
export function filesWith(replaced: Partial<LedgerFiles>): LedgerFiles {
  return { ...system, ...replaced };
}

/** The system's error with this code. */
export function systemError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${code}: ${syscall}`), { code, syscall });
}

type Row = [number, string, string, string, string | null, string, string | null];

/** The rows of the audit log as SQLite has them. */
function rowsOf(path: string): Row[] {
  using db = new DatabaseSync(path, { readOnly: true });
  return db
    .prepare(
      'SELECT id, timestamp, event_type, event_data, event_meta, event_hash, signature FROM audit_log ORDER BY id',
    )
    .all()
    .map((row) => Object.values(row) as Row);
}

/** Both files are whole and hold the same rows in one chain. Not while this process has the store open. */
export function checkBoth(path: string, ledgerPath: string): void {
  const rows = rowsOf(path);
  assert.deepEqual(linesOf(ledgerPath), rows);
}

/** Every line of a ledger as a row; each must be whole, sound and chained to the one before. */
export function linesOf(ledgerPath: string): Row[] {
  const [first, ...lines] = readFileSync(ledgerPath, 'utf8').split('\n');
  assert.equal(lines.pop(), '', 'the last line has its newline');
  const header = parseHeader(Buffer.from(first!));
  assert.ok(header, 'the first line is a header');
  let previous = beginningOf(header).hash;
  let more = false;
  const rows = lines.map((text) => {
    const line = parseLine(Buffer.from(text));
    assert.ok(line && isSound(line), text);
    assert.equal(line.prev, previous, text);
    previous = line.hash;
    more = line.more === true;
    return [line.id, line.at, line.type, line.data, line.meta ?? null, line.hash, line.sig ?? null] satisfies Row;
  });
  assert.equal(more, false, 'the last group is whole');
  return rows;
}

/** Appends a line to a ledger that is sound and follows its last, whatever is in it, and gives its id. */
export function plant(ledgerPath: string, fields: Pick<LedgerLine, 'type' | 'data'> & Partial<LedgerLine>): number {
  const last = parseLine(Buffer.from(readFileSync(ledgerPath, 'utf8').split('\n').at(-2)!))!;
  const line = { id: last.id + 1, at: last.at, prev: last.hash, ...fields };
  const hash = rowHash(line.prev, {
    id: line.id,
    timestamp: line.at,
    type: line.type,
    data: line.data,
    meta: line.meta ?? null,
  });
  appendFileSync(ledgerPath, lineText({ ...line, hash }));
  return line.id;
}

/** The same in the database, which gets the last line of the ledger without what follows from it. */
export function plantInBoth(path: string, ledgerPath: string, fields: Parameters<typeof plant>[1]): number {
  const id = plant(ledgerPath, fields);
  const { at, type, data, meta, hash } = parseLine(Buffer.from(readFileSync(ledgerPath, 'utf8').split('\n').at(-2)!))!;
  using db = new DatabaseSync(path);
  db.prepare(
    'INSERT INTO audit_log (id, timestamp, event_type, event_data, event_meta, event_hash) VALUES (?, ?, ?, ?, ?, ?)',
  ).run(id, at, type, data, meta ?? null, hash);
  return id;
}

/** What a store holds, as its readers see it; of the log without the events that recoveries leave. */
export function dump(store: SqliteStore): object {
  const days = ['2026-11-20', '2026-11-21', '2026-11-22'];
  return {
    audits: [...store.iterateAudits()].filter(
      ({ event: { type } }) => !['store_recovered', 'ledger_set_aside'].includes(type),
    ),
    usage: days.map((day) => store.getUsageForDay(day)),
    cooldowns: store.listCooldowns(),
    overrides: store.listOverrides(),
    balances: store.listBalances(),
    snapshot: store.loadSnapshot(),
  };
}
