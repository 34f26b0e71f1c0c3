// The command status: shows whether the store is well, and what is going on today.
import type { Anchor } from '../core/chain.ts';
import { lastRecorded, type Recorded } from '../core/upkeep.ts';
import type { StoreHealth } from '../health.ts';
import type { OutboxState } from '../modules/outbox/list.ts';
import { connect, type SqliteStore } from '../store.ts';
import { storeFile } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, now, print, printJson } from './command.ts';
import { archivesTexts, type FoundArchives, findArchives } from './archive-files.ts';
import { type Holders, holdersOf } from './holders.ts';
import { findLedger } from './ledger-path.ts';
import { ifThere } from './left-out.ts';
import { type BalanceRow, limitLines, type OverrideRow, readBalances, readOverrides } from './limit-rows.ts';
import { cooldownLines, type RowError, unreadable, usageLines } from './rows.ts';
import { copyText, findingLines, section, sessionRows } from './snapshot.ts';
import { hasLedger, openStore, storePath } from './store-path.ts';
import { ago, bytes, count, counted, dayLabel, fit, nameColumn, nameRoom, painter, plain } from './text.ts';
import { partReader, readToday, type Today } from './today.ts';

/** `status`: shows whether the store is well, and what is going on today. */
export const status: Command = {
  name: 'status',
  summary: 'Shows whether the store is well, and what is going on today',
  takes: [storeFile],
  options: {
    ...dbOption, archives: { value: 'DIR', help: 'where its archives are, if not beside it' }, ...jsonOption,
  },
  notes: [
    'The exit code is 1 when there is a finding, or something that cannot be read; in',
    'JSON that is null, and named in "unreadable".',
    'The session is the one of the last snapshot: a service that was killed leaves it',
    'there until it is started again. What it has used so far is counted for today.',
    'Who has the store open is asked of the system, which tells of the processes of',
    'other users only that they hold a lock. A ledger is found where the store',
    'remembers it, or else by its name, which ends in .jsonl, beside the store or',
    'among what a running service has open. Where the log was shortened, archives are',
    'looked for in the folder of the store and in archives/ there.',
  ],
  examples: ['status --db shepherdd.db', 'status shepherdd.db --json | jq .ok'],
  run: async (args, io) => {
    using store = await openStore(args, io);
    const path = storePath(args);
    const report = await inspect(store, path, now(io), args.text('archives'));
    const ok = report.errors.length === 0 && report.health?.ok === true;
    if (args.flag('json')) printJson(io, documentOf(path, report, ok));
    else print(io, statusLines(io, path, report, ok));
    return ok ? 0 : 1;
  },
};

/** A part is `undefined` where it could not be read, and `null` where the store has none. */
interface Report extends Today {
  healthy: boolean;
  health: StoreHealth | undefined;
  head: Anchor | null | undefined;
  newest: Date | null | undefined;
  hasLedger: boolean | undefined;
  ledgerPath: string | undefined;
  /** `null` where the log was not shortened, and none were asked for. */
  archives: FoundArchives | null | undefined;
  /** `null` in a copy of the package without them. */
  outboxes: OutboxState[] | null | undefined;
  /** The last backup and the last verification that were recorded. */
  backup: Recorded | null | undefined;
  verification: Recorded | null | undefined;
  holders: Holders;
  /** What was permitted for today beyond the rules. */
  overrides: OverrideRow[] | undefined;
  balances: BalanceRow[] | undefined;
  /** Why parts could not be read, each error once. */
  errors: RowError[];
}

/** Reads part by part, so that a damaged part hides no other. */
async function inspect(store: SqliteStore, path: string, at: Date, archiveFolder?: string): Promise<Report> {
  const { errors, part } = partReader();
  const health = part(() => store.health());
  const head = part(() => store.auditHead() ?? null);
  const newest = part(() => store.getRecentAudits(1)[0]?.timestamp ?? null);
  const today = await readToday(store, at, part);
  const has = part(() => hasLedger(store));
  const holders = holdersOf(path);
  const isShortened = archiveFolder !== undefined || health?.archivedId !== undefined;
  const list = isShortened ? (await ifThere(() => import('../modules/archive/files.ts')))?.listArchives : undefined;
  const archives = list ? part(() => findArchives(list, store, path, archiveFolder)) : null;
  const lister = await ifThere(() => import('../modules/outbox/list.ts'));
  const outboxes = lister ? part(() => lister.listOutboxes(store)) : null;
  const door = connect(store);
  const backup = part(() => lastRecorded(door, 'store_backed_up') ?? null);
  const verification = part(() => lastRecorded(door, 'store_verified') ?? null);
  const overrides = part(() => readOverrides(store, today.day));
  const balances = part(() => readBalances(store));
  const lists: (readonly { error?: RowError }[] | undefined)[] = [today.usage, today.cooldowns, overrides, balances];
  for (const { error } of lists.flatMap((list) => list ?? [])) if (error) errors.push(error);
  return {
    healthy: store.isHealthy(), health, head, newest, ...today, hasLedger: has,
    ledgerPath: has ? await findLedger(store, path, holders) : undefined,
    archives, outboxes, backup, verification, holders, overrides, balances, errors,
  };
}

/** A part that could not be read is null and named in `unreadable`, because null alone means that there is none. */
function documentOf(path: string, report: Report, ok: boolean): object {
  const { health, head, newest, session, savedAt, holders, usage, isSessionCounted, ...others } = report;
  const { cooldowns, overrides, balances, archives, outboxes, backup, verification, ...rest } = others;
  const { isOpenForWriting, processes } = holders;
  const limits = { overrides, balances };
  const { hasLedger: has } = report;
  const sent = { archives, outboxes, backup, verification };
  const parts = { health, head, newest, session, savedAt, hasLedger: has, ...sent, usage, cooldowns, ...limits };
  const unread = Object.entries(parts).filter(([, part]) => part === undefined).map(([name]) => name);
  return {
    path, ...(health ?? { findings: null, snapshot: null }), ok, unreadable: unread, ...rest,
    hasLedger: has ?? null, ledgerPath: report.ledgerPath ?? null, archives: archives ?? null,
    outboxes: outboxes ?? null, backup: backup ?? null, verification: verification ?? null,
    isOpenForWriting, openBy: processes,
    head: head ?? null, newest: newest ?? null, session: session ?? null, savedAt: savedAt ?? null,
    usage: usage ?? null, ...(isSessionCounted ? undefined : { isSessionCounted }), cooldowns: cooldowns ?? null,
    overrides: overrides ?? null, balances: balances ?? null,
  };
}

function statusLines(io: Io, path: string, report: Report, ok: boolean): string[] {
  const paint = painter(io.stdout);
  const { healthy, health, usage, cooldowns, day, session } = report;
  const at = now(io);
  const isLeft = report.holders.isOpenForWriting === false;
  const working = healthy ? paint('yellow', 'works, with something to look at') : paint('red', 'does not work');
  const unknown = paint('red', unreadable);
  const runningCooldowns = cooldowns?.filter(({ running, error }) => running || error);
  const rows: [string, string][] = [
    ['store', plain(path)], ['state', ok ? paint('green', 'healthy') : working],
    ...(health ? healthRows(health) : []),
    ['open', holdersText(io, report.holders)],
    ['ledger', report.hasLedger === undefined ? unknown : ledgerText(report)],
    ['events', report.head === undefined ? unknown : eventsText(report, at)],
    ...archiveRows(io, report),
    ...outboxRows(io, report, at),
    ...upkeepRows(io, report, at),
    ['snapshot', health ? copyText('row', health.snapshot.row) : unknown],
  ];
  if (health) rows.push(['', copyText('file', health.snapshot.file)]);
  if (session === undefined) rows.push(['session', unknown]);
  else rows.push(...sessionRows(io, session, at, { savedAt: report.savedAt ?? undefined, isLeft }));
  const listLines = <T>(
    list: readonly T[] | undefined, none: string, linesOf: (list: readonly T[]) => string[],
  ): string[] => {
    if (!list) return [`  ${unknown}`];
    return list.length > 0 ? linesOf(list) : [`  ${none}`];
  };
  const used = listLines(usage, 'nothing was used', (list) => {
    return usageLines(io.stdout, list, undefined, isLeft ? 'the session that a crash left' : undefined);
  });
  if (!report.isSessionCounted) used.push('  without the session, because modules/sessions/ was left out of this copy');
  const blocked = listLines(runningCooldowns, 'none is running', (list) => cooldownLines(io.stdout, list, at));
  return [
    ...rows.map(([name, text]) => `${name.padEnd(10)}${text}`),
    ...section(io, 'Findings', findingLines(io, health?.findings ?? [], report.errors)),
    ...section(io, `Today, ${dayLabel(day)}`, used),
    ...section(io, 'Cooldowns', blocked),
    ...limitsSection(io, report),
  ];
}

/** Absent where nothing was permitted and no time was earned, as in a store without limits. */
function limitsSection(io: Io, { overrides, balances }: Report): string[] {
  const earned = balances?.filter(({ balanceMs }) => balanceMs !== 0);
  const lines = limitLines(io.stdout, overrides ?? [], earned ?? []);
  if (!overrides || !earned) lines.push(`  ${painter(io.stdout)('red', unreadable)}`);
  return lines.length > 0 ? section(io, 'Limits', lines) : [];
}

function healthRows(health: StoreHealth): [string, string][] {
  const free = health.freeBytes === undefined ? '' : `, ${bytes(health.freeBytes)} free`;
  // The message of this finding begins as the row does: "schema version 9, written by a newer version".
  const newer = health.findings.find(({ kind }) => kind === 'schema-newer')?.message.replace(/^schema /, '');
  const sqlite = `SQLite ${health.sqliteVersion}`;
  const schema: [string, string][] = newer === undefined
    ? [['schema', `version ${health.schemaVersion}, ${sqlite}`]]
    : [['schema', newer], ['', sqlite]];
  return [
    ...schema,
    ['time zone', health.timeZone],
    ['size', `${bytes(health.databaseBytes)} and ${bytes(health.walBytes)} WAL${free}`],
    ...(health.freePageBytes > 0
      ? [['', `${bytes(health.freePageBytes)} of it in free pages, which are used again`] as [string, string]] : []),
  ];
}

function eventsText({ head, newest, health }: Report, at: Date): string {
  if (!head) return 'none';
  const archived = health?.archivedId;
  const inArchives = archived === undefined ? '' : archived === head.id
    ? ', all of them archived' : `, of which ${count(archived)} are archived`;
  return `${count(head.id)}${inArchives}${newest ? `, the newest ${ago(at.getTime() - newest.getTime())}` : ''}`;
}

function archiveRows(io: Io, { archives }: Report): [string, string][] {
  if (archives === null) return [];
  if (archives === undefined) return [['archives', painter(io.stdout)('red', unreadable)]];
  return archivesTexts(archives).map((text, index) => [index === 0 ? 'archives' : '', text]);
}

/** Absent where the log is sent nowhere. */
function outboxRows(io: Io, { outboxes }: Report, at: Date): [string, string][] {
  if (outboxes === undefined) return [['outboxes', painter(io.stdout)('red', unreadable)]];
  const { cell } = nameColumn(io.stdout, outboxes?.map(({ name }) => name) ?? [], 60);
  return (outboxes ?? []).map((outbox, index) => {
    return [index === 0 ? 'outboxes' : '', `${cell(outbox.name)}  ${outboxText(outbox, at)}`];
  });
}

function outboxText({ position, lag: { events, since } }: OutboxState, at: Date): string {
  const { acknowledgedAt, rewound } = position;
  const agoAt = (instant: Date): string => ago(at.getTime() - instant.getTime());
  return [
    events > 0 ? `${counted(events, 'event')} behind` : acknowledgedAt ? 'all of it has arrived' : 'nothing to send',
    ...(since ? [`the oldest from ${agoAt(since)}`] : []),
    acknowledgedAt ? `last acknowledged ${agoAt(acknowledgedAt)}` : 'nothing acknowledged yet',
    ...(rewound === undefined ? [] : [`it has rows up to ${count(rewound)} from before a backup was restored`]),
  ].join(', ');
}

/** Absent where nothing was recorded. */
function upkeepRows(io: Io, { backup, verification }: Report, at: Date): [string, string][] {
  const rows: [string, Recorded | null | undefined, (fields: Recorded['fields']) => unknown][] = [
    ['backup', backup, ({ file }) => file],
    ['verified', verification, ({ parts }) => Array.isArray(parts) && parts.join(', ')],
  ];
  return rows.flatMap(([name, last, detailOf]): [string, string][] => {
    if (last === null) return [];
    if (last === undefined) return [[name, painter(io.stdout)('red', unreadable)]];
    const detail = detailOf(last.fields);
    const shown = typeof detail === 'string' ? `, ${fit(detail, nameRoom(io.stdout, 32))}` : '';
    return [[name, `${ago(at.getTime() - last.at.getTime())}${shown}`]];
  });
}

function ledgerText({ hasLedger: has, ledgerPath }: Report): string {
  if (!has) return 'none';
  return ledgerPath === undefined ? 'there is one; where it lies is not known' : plain(ledgerPath);
}

function holdersText(io: Io, { isOpenForWriting, processes }: Holders): string {
  const names = (holders: Holders['processes']): string => {
    return holders.map(({ pid, program, script }) => {
      if (program === undefined) return `process ${pid}`;
      const scriptText = script === undefined ? '' : `, ${fit(script, nameRoom(io.stdout, 60))}`;
      return `process ${pid} (${plain(program)}${scriptText})`;
    }).join(', ');
  };
  if (isOpenForWriting) return `for writing by ${names(processes.filter(({ writes }) => writes))}`;
  if (isOpenForWriting === false) return 'by no process for writing';
  if (processes.length === 0) return 'cannot be told';
  return `by ${names(processes)}; whether for writing cannot be told`;
}
