// The command verify: checks the database, the log and the ledger, and compares them.
import type { Anchor } from '../core/chain.ts';
import type { VerifiedPart } from '../core/events.ts';
import type { Ledger, ParityReport } from '../ledger/index.ts';
import type { PageReport } from '../modules/backup/page-check.ts';
import { connect, type SqliteStore } from '../store.ts';
import { StoreError } from '../values/errors.ts';
import type { LongOperation } from '../values/long.ts';
import type { VerifyOptions } from '../verify/chain-walk.ts';
import { anchorText } from './anchor.ts';
import { type Args, storeFile } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, long, print, printJson } from './command.ts';
import { isWrongUse, UsageError } from './failures.ts';
import { holdersOf } from './holders.ts';
import { keyOption, publicKeyOf, signingKeyOf } from './keys.ts';
import { findLedger } from './ledger-path.ts';
import { ifThere, needed } from './left-out.ts';
import { pageLines, parityLines, settled, walkLines, type WalkReport } from './parity.ts';
import { record, recordOption, type Recording } from './record.ts';
import { errorLines, type RowError } from './rows.ts';
import { checkLedgerIsThere, hasLedger, openStore, storePath } from './store-path.ts';
import { count, painter, plain, shellWord } from './text.ts';

/** `verify`: checks the pages and the hash chains of the log and the ledger, and compares log and ledger. */
export const verify: Command = {
  name: 'verify',
  summary: 'Checks the pages, the audit log, its ledger and their sums',
  takes: [storeFile],
  options: {
    ...dbOption,
    ledger: { value: 'FILE', help: 'the ledger, to be checked and compared as well' },
    archives: { value: 'DIR', help: 'the folder of its archives, to be checked as well' },
    'public-key': { value: 'FILE', help: 'the key that every event must be signed with' },
    anchor: { value: 'ID:HASH', help: 'a row noted earlier that must still be there' },
    quick: { help: 'leaves out the pages, which take longest' },
    ...recordOption,
    ...keyOption,
    ...jsonOption,
  },
  notes: [
    'It has SQLite check every page of the database, and walks the hash chain of the',
    'log. With --ledger also that of the ledger; then it compares both, row by row,',
    'and usage, cooldowns and limits with what the events add up to. Nothing is',
    'changed, and the service may be running: its WAL grows until the pages are',
    'checked.',
    'Where rows were archived, the log begins behind them. With --archives the chain',
    'is walked from the first archive into the log, and each archive must be the file',
    'that the log says was made.',
    '',
    'It prints the newest row as an anchor. Keep that elsewhere: a chain alone cannot',
    'show that its end was cut off, the next check with --anchor can.',
    'With --record the log gets the event store_verified when all of that was found',
    'right, so that status and metrics know when that was last so. Where it cannot be',
    'written, the error says so; --key is for this alone.',
    'The exit code is 1 when a page is damaged, a row was changed, is missing or is',
    'not the anchor, and when anything differs.',
  ],
  examples: [
    'verify --db shepherdd.db',
    'verify --db kiosk.db --ledger audit.jsonl --public-key key.pub',
    'verify --db shepherdd.db --archives archives',
    'verify --db shepherdd.db --anchor 812:5f0c… (all 64 digits)',
  ],
  run: async (args, io) => {
    const anchor = anchorOf(args);
    const publicKey = publicKeyOf(args);
    const checks = { anchor, publicKey };
    const path = args.text('ledger');
    if (args.flag('record')) signingKeyOf(args); // a key that cannot be read is found before all of the work
    const report = path === undefined ? await verifyLog(args, io, checks) : await verifyBoth(args, io, path, checks);
    const recording = args.flag('record') && report.ok ? await recorded(args, io, report, checks) : undefined;
    const { recorded: row } = recording ?? {};
    if (args.flag('json')) printJson(io, { ...documentOf(report), ...(recording ? { recorded: row } : undefined) });
    else print(io, linesOf(io, report, checks, recording));
    if (recording?.error !== undefined) throw recording.error;
    return exitCode(report);
  },
};

/** The report of a part that could be checked, or the error of one that could not. */
type Part<T> = { report: T; error?: undefined } | { report?: undefined; error: RowError };

interface Report {
  ok: boolean;
  /** The store that was verified; absent where it cannot be opened. */
  uuid?: string | undefined;
  /** Absent where `--quick` leaves the pages out, and where the store cannot be opened. */
  pages?: Part<PageReport>;
  log: Part<WalkReport>;
  /** The last archived row: the log begins behind it. Absent where none is, and where it cannot be read. */
  archivedId?: number | undefined;
  hasLedger: boolean | undefined;
  /** Where the ledger was found that was not checked. */
  uncheckedPath?: string | undefined;
  ledger?: Part<WalkReport> & { path: string; archivedId?: number | undefined; isArchive: boolean };
  /** Absent where one of the files cannot be read at all. */
  parity?: Part<ParityReport>;
}

async function verifyLog(args: Args, io: Io, checks: VerifyOptions): Promise<Report> {
  using store = await openStore(args, io);
  const pages = await checkedPages(args, io);
  const log = await checkedLog(store, args, io, checks);
  const archivedId = await archivedIn(store);
  const has = (await part(() => hasLedger(store))).report;
  const path = storePath(args);
  const uncheckedPath = has ? await findLedger(store, path, holdersOf(path)) : undefined;
  const ok = log.report?.ok === true && (!pages || pages.report?.ok === true);
  const { uuid } = connect(store);
  return { ok, uuid, ...(pages ? { pages } : undefined), log, archivedId, hasLedger: has, uncheckedPath };
}

/** Records what was found right. An archive, and a ledger of a store without one, were only there to be compared. */
function recorded(args: Args, io: Io, report: Report, { anchor, publicKey }: VerifyOptions): Promise<Recording> {
  const { uuid, pages, log, ledger } = report;
  const found: Record<VerifiedPart, boolean> = {
    pages: pages !== undefined, log: true, archives: args.text('archives') !== undefined, ledger: ledger !== undefined,
    signatures: publicKey !== undefined, anchor: anchor !== undefined,
  };
  const parts = (Object.keys(found) as VerifiedPart[]).filter((name) => found[name]);
  return record(args, io, {
    done: 'all that was verified is right', event: { type: 'store_verified', parts }, head: log.report?.head,
    uuid: uuid!, ledger: report.hasLedger && !ledger?.isArchive ? ledger?.path : undefined,
  });
}

async function checkedLog(store: SqliteStore, args: Args, io: Io, checks: VerifyOptions): Promise<Part<WalkReport>> {
  const folder = args.text('archives');
  if (folder === undefined) {
    return part(() => long(io, 'events checked', (options) => store.verifyAudit({ ...checks, ...options })));
  }
  const { verifyArchives } = await needed('--archives', () => import('../modules/archive/archive.ts'));
  return part(() => long(io, 'events checked', (options) => verifyArchives(store, folder, { ...checks, ...options })));
}

/** The last archived row. */
async function archivedIn(store: SqliteStore): Promise<number | undefined> {
  const door = connect(store);
  const { report } = await part(() => door.read('read where the log begins', () => door.parts.log.beginning().id));
  return report || undefined;
}

async function checkedPages(args: Args, io: Io): Promise<Part<PageReport> | undefined> {
  if (args.flag('quick')) return undefined;
  const load = () => import('../modules/backup/page-check.ts');
  const { checkPages } = await needed('checking the pages', load, '; --quick does without');
  return part(() => long(io, 'pages checked', (options) => checkPages(storePath(args), options)));
}

/** Checks part by part, because a user with one damaged file needs to know what the undamaged file still holds. */
async function verifyBoth(args: Args, io: Io, path: string, checks: VerifyOptions): Promise<Report> {
  const opened = await part(() => openStore(args, io, path));
  using store = opened.report;
  const has = store && (await part(() => hasLedger(store))).report;
  const pages = store && (await checkedPages(args, io));
  const { Ledger, verifyParity } = await needed('--ledger', () => import('../ledger/index.ts'));
  const openedLedger = await part(() => {
    checkLedgerIsThere(path, store);
    return Ledger.open(path);
  });
  const ledger = openedLedger.report;
  try {
    const log = store ? await checkedLog(store, args, io, checks) : failed(opened);
    const archivedId = store && (await archivedIn(store));
    const begun = ledger?.refresh().after?.id;
    const lines = ledger
      ? await checkedLedger(ledger, io, ofLedger(checks, args, begun ?? 0)) : failed(openedLedger);
    const isArchive = ledger !== undefined && (await isArchived(path, ledger, archivedId));
    const compare = store && ledger && ((options: LongOperation) => verifyParity(store, ledger, options));
    const parity = compare && !isArchive ? await comparedFiles(io, compare) : undefined;
    const isSound = log.report?.ok === true && lines.report?.ok === true && (!pages || pages.report?.ok === true);
    const ok = isSound && (isArchive || parity?.report?.isConsistent === true);
    return {
      ok, uuid: store && connect(store).uuid, ...(pages ? { pages } : undefined), log, archivedId, hasLedger: has,
      ledger: { path, archivedId: begun, isArchive, ...lines },
      ...(parity ? { parity } : undefined),
    };
  } finally {
    ledger?.close();
  }
}

/** Whether a ledger is an archive by its name, and all of its rows are archived: there is nothing to compare then. */
async function isArchived(path: string, { head }: Ledger, archivedId: number | undefined): Promise<boolean> {
  if (!head || head.id > (archivedId ?? 0)) return false;
  const files = await ifThere(() => import('../modules/archive/files.ts'));
  return files?.hasArchiveName(path) === true;
}

/** What the ledger is checked for: an anchor behind which it begins is one that the archives prove. */
function ofLedger({ anchor, publicKey }: VerifyOptions, args: Args, begun: number): VerifyOptions {
  const isArchived = args.text('archives') !== undefined && anchor !== undefined && anchor.id < begun;
  return { publicKey, anchor: isArchived ? undefined : anchor };
}

function checkedLedger(ledger: Ledger, io: Io, checks: VerifyOptions): Promise<Part<WalkReport>> {
  return part(() => long(io, 'bytes of the ledger checked', (options) => ledger.verify({ ...checks, ...options })));
}

function comparedFiles(
  io: Io, compare: (options: LongOperation) => Promise<ParityReport>,
): Promise<Part<ParityReport>> {
  return part(() => settled(io, () => long(io, 'lines compared', compare)));
}

/**
 * What `fn` gives, or the store's error as a value. Wrong use is thrown, except for a conflict, which is a finding: the
 * parts contradict each other.
 */
async function part<T>(fn: () => T | Promise<T>): Promise<Part<T>> {
  try {
    return { report: await fn() };
  } catch (error) {
    const isFinding = error instanceof StoreError && (!isWrongUse(error.code) || error.code === 'ERR_STORE_CONFLICT');
    if (!isFinding) throw error;
    return { error: { code: error.code, message: error.message } };
  }
}

function failed({ error }: Part<unknown>): { report?: undefined; error: RowError } {
  return { error: error! };
}

function exitCode({ ok, pages, log, ledger, parity }: Report): number {
  if (ok) return 0;
  return [pages, log, ledger, parity].some((each) => each?.error && isWrongUse(each.error.code)) ? 2 : 1;
}

/** The report of the log is spread at the top of the document, with a ledger and without one. */
function documentOf({ ok, pages, log, archivedId, hasLedger: has, ledger, parity }: Report): object {
  const { path, report: lines, error, archivedId: ledgerArchivedId } = ledger ?? {};
  return {
    ...(log.report ?? { error: log.error }), ok, ...(archivedId === undefined ? undefined : { archivedId }),
    hasLedger: has ?? null,
    ...(pages ? { pages: pages.report ?? { ok: false, error: pages.error } } : undefined),
    ...(ledger ? { ledger: { path, archivedId: ledgerArchivedId, ...(lines ?? { ok: false, error }) } } : undefined),
    ...(parity ? { parity: parity.report ?? { isConsistent: false, error: parity.error } } : undefined),
  };
}

function linesOf(
  io: Io, report: Report, { anchor, publicKey }: VerifyOptions, recording: Recording | undefined,
): string[] {
  const { pages, log, hasLedger: has, uncheckedPath, ledger, parity } = report;
  const anchorFits = anchor ? `, and row ${count(anchor.id)} is the anchor's` : '';
  const fits = `every hash${publicKey ? ' and signature' : ''} fits${anchorFits}`;
  const failure = (label: string, error: RowError): string[] => {
    const heading = `${label}${painter(io.stdout)('red', 'cannot be checked')}`;
    return [heading, ...errorLines(io.stdout, [{ error }]).map((line) => `  ${line}`)];
  };
  const walk = (
    label: string, unit: string, { report: walked, error }: Part<WalkReport>, begun: number | undefined,
  ): string[] => {
    return walked ? walkLines(io, label, walked, { unit, begun, fits }) : failure(label, error!);
  };
  const begun = log.report?.archives === undefined ? report.archivedId : undefined;
  const lines = walk('log       ', 'event', log, begun);
  if (pages) lines.push(...(pages.report ? pageLines(io, pages.report) : failure('pages     ', pages.error)));
  if (ledger) lines.push(...walk('ledger    ', 'line', ledger, ledger.archivedId));
  else if (has) {
    const file = uncheckedPath === undefined ? 'FILE' : plain(shellWord(uncheckedPath));
    lines.push('', `The store has a ledger, which was not checked: --ledger ${file} does it.`);
  }
  const files = { hasLedger: has === true, isWhole: ledger?.report?.ok === true };
  if (parity?.report) lines.push(...parityLines(io, parity.report, files));
  else if (parity) lines.push(...failure('parity    ', parity.error));
  else if (ledger?.isArchive) lines.push('parity    not compared: the log has the rows of this archive no more');
  else if (ledger) lines.push('parity    not compared');
  lines.push(...(recording?.lines ?? []));
  if (begun !== undefined && !log.report?.findings.some(({ kind }) => kind === 'archived')) {
    const archived = `The rows up to ${count(begun)} are archived, and were not checked`;
    lines.push('', `${archived}: --archives DIR does it.`);
  }
  const head = log.report?.head ?? ledger?.report?.head;
  if (head) lines.push('', `anchor ${anchorText(head)}`);
  return lines;
}

function anchorOf(args: Args): Anchor | undefined {
  const text = args.text('anchor');
  if (text === undefined) return undefined;
  const parts = /^([1-9]\d{0,14}):([0-9a-f]{64})$/i.exec(text);
  if (parts) return { id: Number(parts[1]), hash: parts[2]!.toLowerCase() };
  throw new UsageError(`--anchor must be the ID:HASH that verify printed (64 hexadecimal digits), got "${text}"`);
}
