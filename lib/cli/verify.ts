// The commands that prove something: verify, anchor.
import * as system from 'node:fs';
import type { Anchor, VerifyOptions } from '../audit.ts';
import { StoreError } from '../errors.ts';
import { Ledger, verifyParity } from '../ledger/index.ts';
import type { ParityReport } from '../ledger/index.ts';
import { checkPages } from '../page-check.ts';
import type { PageReport } from '../page-check.ts';
import { connect } from '../store.ts';
import type { SqliteStore } from '../store.ts';
import { anchorText } from './anchor.ts';
import { storeFile } from './args.ts';
import type { Args } from './args.ts';
import { dbOption, jsonOption, long, print, printJson } from './command.ts';
import type { Command, Io } from './command.ts';
import { isWrongUse, UsageError } from './failures.ts';
import { publicKeyOf } from './keys.ts';
import { pageLines, parityLines, settled, walkLines } from './parity.ts';
import type { WalkReport } from './parity.ts';
import { errorLines } from './rows.ts';
import type { RowError } from './rows.ts';
import { openStore, storePath } from './store-path.ts';
import { count, painter } from './text.ts';

/** `verify`: walks the hash chain, that of the ledger too, and compares both. */
export const verify: Command = {
  name: 'verify',
  summary: 'Checks the pages, the audit log, its ledger and their sums',
  takes: [storeFile],
  options: {
    ...dbOption,
    ledger: { value: 'FILE', help: 'the ledger, to be checked and compared as well' },
    'public-key': { value: 'FILE', help: 'the key that every event must be signed with' },
    anchor: { value: 'ID:HASH', help: 'a row noted earlier that must still be there' },
    quick: { help: 'leaves out the pages, which take longest' },
    ...jsonOption,
  },
  notes: [
    'It has SQLite check every page of the database, and walks the hash chain of the',
    'log. With --ledger also that of the ledger; then it compares both, row by row,',
    'and usage and cooldowns with what the events add up to. Nothing is changed, and',
    'the service may be running: its WAL grows until the pages are checked.',
    '',
    'It prints the newest row as an anchor. Keep that elsewhere: a chain alone cannot',
    'show that its end was cut off, the next check with --anchor can.',
    'The exit code is 1 when a page is damaged, a row was changed, is missing or is',
    'not the anchor, and when anything differs.',
  ],
  examples: [
    'verify --db shepherdd.db',
    'verify --db kiosk.db --ledger audit.jsonl --public-key key.pub',
    'verify --db shepherdd.db --anchor 812:5f0c… (all 64 digits)',
  ],
  run: async (args, io) => {
    const anchor = anchorOf(args);
    const publicKey = publicKeyOf(args);
    const checks = { ...(anchor ? { anchor } : undefined), ...(publicKey ? { publicKey } : undefined) };
    const path = args.text('ledger');
    const report = path === undefined ? await verifyLog(args, io, checks) : await verifyBoth(args, io, path, checks);
    if (args.flag('json')) printJson(io, documentOf(report));
    else print(io, linesOf(io, report, checks));
    return exitCode(report);
  },
};

/** A part that could be checked, or why it could not. */
type Part<T> = { report: T; error?: undefined } | { report?: undefined; error: RowError };

interface Report {
  ok: boolean;
  /** Absent where they were left out. */
  pages?: Part<PageReport>;
  log: Part<WalkReport>;
  hasLedger: boolean | undefined;
  ledger?: Part<WalkReport> & { path: string };
  /** Absent where one of the files cannot be read at all. */
  parity?: Part<ParityReport>;
}

async function verifyLog(args: Args, io: Io, checks: VerifyOptions): Promise<Report> {
  using store = openStore(args, io);
  const pages = await checkedPages(args, io);
  const log = await part(() => long(io, 'events checked', (options) => store.verifyAudit({ ...checks, ...options })));
  const has = (await part(() => hasLedger(store))).report;
  const ok = log.report?.ok === true && (!pages || pages.report?.ok === true);
  return { ok, ...(pages ? { pages } : undefined), log, hasLedger: has };
}

async function checkedPages(args: Args, io: Io): Promise<Part<PageReport> | undefined> {
  if (args.flag('quick')) return undefined;
  return part(() => long(io, 'pages checked', (options) => checkPages(storePath(args), options)));
}

/** Part by part: when one file is damaged, what the other one is worth is the question. */
async function verifyBoth(args: Args, io: Io, path: string, checks: VerifyOptions): Promise<Report> {
  const opened = await part(() => openStore(args, io, path));
  using store = opened.report;
  const has = store && (await part(() => hasLedger(store))).report;
  const pages = store && (await checkedPages(args, io));
  const found = await part(() => openLedger(path, store));
  const ledger = found.report;
  try {
    const log: Part<WalkReport> = store ? await part(() => long(io, 'events checked', (options) => store.verifyAudit({ ...checks, ...options }))) : failed(opened);
    const lines: Part<WalkReport> = ledger ? await part(() => long(io, 'bytes of the ledger checked', (options) => ledger.verify({ ...checks, ...options }))) : failed(found);
    const parity = store && ledger && (await part(() => settled(io, () => long(io, 'lines compared', (options) => verifyParity(store, ledger, options)))));
    const isSound = log.report?.ok === true && lines.report?.ok === true && (!pages || pages.report?.ok === true);
    const ok = isSound && parity?.report?.isConsistent === true;
    return { ok, ...(pages ? { pages } : undefined), log, hasLedger: has, ledger: { path, ...lines }, ...(parity ? { parity } : undefined) };
  } finally {
    ledger?.close();
  }
}

/**
 * The ledger at a path, to look at. Where there is none, throws `ERR_STORE_CORRUPT` for a store that has a ledger, which
 * is lost then, and otherwise `ERR_STORE_NOT_FOUND`: it is the path that is wrong.
 */
export function openLedger(path: string, store?: SqliteStore): Ledger {
  if (!system.existsSync(path)) {
    if (!store || !hasLedger(store)) throw new StoreError('ERR_STORE_NOT_FOUND', `there is no ledger at ${path}`);
    throw new StoreError('ERR_STORE_CORRUPT', `there is no ledger at ${path}, and the store has one; where it is lost, rebuild-ledger makes it again`);
  }
  return Ledger.open(path);
}

/** Whether a store is not to be written to without its ledger. */
export function hasLedger(store: SqliteStore): boolean {
  const door = connect(store);
  const [value] = door.read('read whether the store has a ledger', () => door.prepare('SELECT has_ledger FROM store_meta WHERE id = 1').get()) as unknown as [number];
  return value === 1;
}

/** What `fn` gives, or the store's error as a value; wrong use is thrown, but where it is about what the parts say. */
async function part<T>(fn: () => T | Promise<T>): Promise<Part<T>> {
  try {
    return { report: await fn() };
  } catch (error) {
    const isFinding = error instanceof StoreError && (!isWrongUse(error.code) || error.code === 'ERR_STORE_CONFLICT');
    if (!isFinding) throw error;
    return { error: { code: error.code, message: error.message } };
  }
}

function failed({ error }: Part<unknown>): { error: RowError } {
  return { error: error! };
}

function exitCode({ ok, pages, log, ledger, parity }: Report): number {
  if (ok) return 0;
  return [pages, log, ledger, parity].some((each) => each?.error && isWrongUse(each.error.code)) ? 2 : 1;
}

/** The log's own report stands at the top, where it is without a ledger. */
function documentOf({ ok, pages, log, hasLedger: has, ledger, parity }: Report): object {
  const { path, report: lines, error } = ledger ?? {};
  return {
    ...(log.report ?? { error: log.error }), ok, hasLedger: has ?? null,
    ...(pages ? { pages: pages.report ?? { ok: false, error: pages.error } } : undefined),
    ...(ledger ? { ledger: { path, ...(lines ?? { ok: false, error }) } } : undefined),
    ...(parity ? { parity: parity.report ?? { isConsistent: false, error: parity.error } } : undefined),
  };
}

function linesOf(io: Io, { pages, log, hasLedger: has, ledger, parity }: Report, { anchor, publicKey }: VerifyOptions): string[] {
  const paint = painter(io.stdout);
  const fits = `every hash${publicKey ? ' and signature' : ''} fits${anchor ? `, and row ${count(anchor.id)} is the anchor's` : ''}`;
  const failure = (label: string, error: RowError): string[] => [`${label}${paint('red', 'cannot be checked')}`, ...errorLines(io.stdout, [{ error }]).map((line) => `  ${line}`)];
  const walk = (label: string, { report, error }: Part<WalkReport>): string[] => (report ? walkLines(io, label, report, { unit: label === 'ledger    ' ? 'line' : 'event', fits }) : failure(label, error!));
  const lines = walk('log       ', log);
  if (pages) lines.push(...(pages.report ? pageLines(io, pages.report) : failure('pages     ', pages.error)));
  if (ledger) lines.push(...walk('ledger    ', ledger));
  else if (has) lines.push('', 'The store has a ledger, which was not checked: --ledger FILE does it.');
  if (parity) lines.push(...(parity.report ? parityLines(io, parity.report, { hasLedger: has === true, isWhole: ledger?.report?.ok === true }) : failure('parity    ', parity.error)));
  else if (ledger) lines.push('parity    not compared');
  const head = log.report?.head ?? ledger?.report?.head;
  if (head) lines.push('', `anchor ${anchorText(head)}`);
  return lines;
}

function anchorOf(args: Args): Anchor | undefined {
  const text = args.text('anchor');
  if (text === undefined) return undefined;
  const parts = /^([1-9]\d{0,14}):([0-9a-f]{64})$/i.exec(text);
  if (!parts) throw new UsageError(`--anchor must be the ID:HASH that verify printed (64 hexadecimal digits), got "${text}"`);
  return { id: Number(parts[1]), hash: parts[2]!.toLowerCase() };
}
