// The commands that prove something: verify, anchor.
import * as system from 'node:fs';
import type { Anchor, VerifyOptions } from '../audit.ts';
import { StoreError } from '../errors.ts';
import { Ledger, verifyParity } from '../ledger/index.ts';
import type { LedgerFiles, ParityReport } from '../ledger/index.ts';
import { connect } from '../store.ts';
import type { SqliteStore } from '../store.ts';
import { dbOption, Failure, jsonOption, long, openStore, print, printJson, UsageError } from './command.ts';
import type { Args, Command, Io } from './command.ts';
import { publicKeyOf } from './keys.ts';
import { parityLines, settled, walkLines } from './parity.ts';
import type { WalkReport } from './parity.ts';
import { errorLines } from './rows.ts';
import type { RowError } from './rows.ts';
import { count, painter } from './text.ts';

/** `verify`: walks the hash chain, that of the ledger too, and compares both. */
export const verify: Command = {
  name: 'verify',
  summary: 'Checks the audit log, its ledger and what they add up to',
  takes: [],
  options: {
    ...dbOption,
    ledger: { value: 'FILE', help: 'the ledger, to be checked and compared as well' },
    'public-key': { value: 'FILE', help: 'the key that every event must be signed with' },
    anchor: { value: 'ID:HASH', help: 'a row noted earlier that must still be there' },
    ...jsonOption,
  },
  notes: [
    'It walks the hash chain of the log. With --ledger also that of the ledger; then',
    'it compares both, row by row, and usage and cooldowns with what the events add',
    'up to. Nothing is changed, and the service may be running.',
    '',
    'It prints the newest row as an anchor. Keep that elsewhere: a chain alone cannot',
    'show that its end was cut off, the next check with --anchor can.',
    'The exit code is 1 when a row was changed, is missing or is not the anchor, and',
    'when anything differs.',
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
    return report.ok ? 0 : 1;
  },
};

/** A part that could be checked, or why it could not. */
type Part<T> = { report: T; error?: undefined } | { report?: undefined; error: RowError };

interface Report {
  ok: boolean;
  log: Part<WalkReport>;
  hasLedger: boolean | undefined;
  ledger?: Part<WalkReport> & { path: string };
  /** Absent where one of the files cannot be read at all. */
  parity?: Part<ParityReport>;
}

async function verifyLog(args: Args, io: Io, checks: VerifyOptions): Promise<Report> {
  using store = openStore(args, io);
  const log = await long(io, 'events checked', (options) => store.verifyAudit({ ...checks, ...options }));
  return { ok: log.ok, log: { report: log }, hasLedger: hasLedger(store) };
}

/** Part by part: when one file is damaged, what the other one is worth is the question. */
async function verifyBoth(args: Args, io: Io, path: string, checks: VerifyOptions): Promise<Report> {
  const opened = await part(() => openStore(args, io), system.existsSync(path) ? ['ERR_STORE_NOT_FOUND'] : []);
  using store = opened.report;
  const has = store && (await part(() => hasLedger(store))).report;
  // A ledger that was there once is lost; otherwise it is the path that is wrong.
  const found = await part(() => openLedger(path), has ? ['ERR_STORE_NOT_FOUND'] : []);
  const ledger = found.report;
  try {
    const log: Part<WalkReport> = store ? await part(() => long(io, 'events checked', (options) => store.verifyAudit({ ...checks, ...options }))) : failed(opened);
    const lines: Part<WalkReport> = ledger ? await part(() => long(io, 'bytes of the ledger checked', (options) => ledger.verify({ ...checks, ...options }))) : failed(found);
    const parity = store && ledger && (await part(() => settled(io, () => long(io, 'lines compared', (options) => verifyParity(store, ledger, options)))));
    const ok = log.report?.ok === true && lines.report?.ok === true && parity?.report?.isConsistent === true;
    return { ok, log, hasLedger: has, ledger: { path, ...lines }, ...(parity ? { parity } : undefined) };
  } finally {
    ledger?.close();
  }
}

// To look at a ledger takes no right to write it, and whatever goes wrong here cannot.
const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = system.constants;
const readingFiles: LedgerFiles = { ...system, openSync: (path) => system.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK) };

/** The ledger at a path, to be read only. Throws `ERR_STORE_NOT_FOUND` where there is none. */
export function openLedger(path: string): Ledger {
  if (!system.existsSync(path)) throw new StoreError('ERR_STORE_NOT_FOUND', `there is no ledger at ${path}; where it is lost, rebuild-ledger makes it again`);
  return Ledger.open(path, { files: readingFiles });
}

/** Whether a store is not to be written to without its ledger. */
export function hasLedger(store: SqliteStore): boolean {
  const door = connect(store);
  const [value] = door.read('read whether the store has a ledger', () => door.prepare('SELECT has_ledger FROM store_meta WHERE id = 1').get()) as unknown as [number];
  return value === 1;
}

/** What `fn` gives, or the store's error as a value; wrong use is thrown, apart from the codes that are findings here. */
async function part<T>(fn: () => T | Promise<T>, findings: readonly string[] = []): Promise<Part<T>> {
  try {
    return { report: await fn() };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (['ERR_STORE_INVALID_ARGUMENT', 'ERR_STORE_NOT_FOUND', 'ERR_STORE_PERMISSION'].includes(error.code) && !findings.includes(error.code)) throw error;
    return { error: { code: error.code, message: error.message } };
  }
}

function failed({ error }: Part<unknown>): { error: RowError } {
  return { error: error! };
}

/** The log's own report stands at the top, where it is without a ledger. */
function documentOf({ ok, log, hasLedger: has, ledger, parity }: Report): object {
  const { path, report: lines, error } = ledger ?? {};
  return {
    ...(log.report ?? { error: log.error }), ok, hasLedger: has,
    ...(ledger ? { ledger: { path, ...(lines ?? { ok: false, error }) } } : undefined),
    ...(parity ? { parity: parity.report ?? { isConsistent: false, error: parity.error } } : undefined),
  };
}

function linesOf(io: Io, { log, hasLedger: has, ledger, parity }: Report, { anchor, publicKey }: VerifyOptions): string[] {
  const paint = painter(io.stdout);
  const fits = `every hash${publicKey ? ' and signature' : ''} fits${anchor ? `, and row ${count(anchor.id)} is the anchor's` : ''}`;
  const failure = (label: string, error: RowError): string[] => [`${label}${paint('red', 'cannot be checked')}`, ...errorLines(io.stdout, [{ error }]).map((line) => `  ${line}`)];
  const walk = (label: string, { report, error }: Part<WalkReport>): string[] => (report ? walkLines(io, label, report, { unit: label === 'ledger    ' ? 'line' : 'event', fits }) : failure(label, error!));
  const lines = walk(ledger ? 'log       ' : '', log);
  if (ledger) lines.push(...walk('ledger    ', ledger));
  else if (has) lines.push('', 'The store has a ledger, which was not checked: --ledger FILE does it.');
  if (parity) lines.push(...(parity.report ? parityLines(io, parity.report, { hasLedger: has === true, isWhole: ledger?.report?.ok === true }) : failure('parity    ', parity.error)));
  else if (ledger) lines.push('parity    not compared');
  const head = log.report?.head ?? ledger?.report?.head;
  if (head) lines.push('', `anchor ${textOf(head)}`);
  return lines;
}

function textOf({ id, hash }: Anchor): string {
  return `${id}:${hash}`;
}

function anchorOf(args: Args): Anchor | undefined {
  const text = args.text('anchor');
  if (text === undefined) return undefined;
  const parts = /^([1-9]\d{0,14}):([0-9a-f]{64})$/i.exec(text);
  if (!parts) throw new UsageError(`--anchor must be the ID:HASH that verify printed (64 hexadecimal digits), got "${text}"`);
  return { id: Number(parts[1]), hash: parts[2]!.toLowerCase() };
}

/** `anchor`: the newest row, to be kept elsewhere. */
export const anchorCommand: Command = {
  name: 'anchor',
  summary: 'Prints the newest row of the log, to be kept elsewhere',
  takes: [],
  options: { ...dbOption, ...jsonOption },
  notes: [
    'The line is ID:HASH, as verify --anchor takes it. Whoever can write to the store',
    'can write all of it anew, but not so that it still has this row. Send it where',
    'they cannot reach it: a mail, a journal, a sheet of paper.',
    'The exit code is 1 when the log is empty.',
  ],
  examples: ['anchor --db shepherdd.db', 'anchor --db shepherdd.db | ssh elsewhere \'cat >> anchors\''],
  run: (args, io) => {
    using store = openStore(args, io);
    const head = store.auditHead();
    if (!head) throw new Failure('the log is empty: there is no row to keep yet');
    if (args.flag('json')) printJson(io, { ...head, anchor: textOf(head) });
    else print(io, [textOf(head)]);
    return 0;
  },
};
