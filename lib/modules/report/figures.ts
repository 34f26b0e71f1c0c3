// The figures of a report: read from one state of the database, but for the verification of the log, which follows.
import type { ModuleConnection } from '../../core/door.ts';
import { schemaVersion } from '../../core/schema.ts';
import type { SessionSnapshot } from '../../core/state.ts';
import { connect, type SqliteStore } from '../../store.ts';
import { hasCode } from '../../values/errors.ts';
import { packageVersion } from '../../values/package-version.ts';
import { timeZoneInUse } from '../../values/time-zone.ts';
import type { Rules } from '../limit-policy.ts';
import type { Contents, Part, Proof, Quota } from './contents.ts';
import { readHistory } from './read-history.ts';
import { checkReportOptions, type CheckedReport, type ReportOptions } from './options.ts';
import { readQuotas } from './read-quotas.ts';
import { isUnreadable, partOf } from './reading.ts';
import { ReportDays } from './report-days.ts';
import { readTotals, type Totals, usageOf } from './read-usage.ts';

/** The contents of a report, and the title that was given. Throws and rejects as `renderReport` does. */
export async function readReport(
  store: SqliteStore, options?: ReportOptions,
): Promise<{ contents: Contents; title: string | undefined }> {
  const door = connect(store);
  const madeAt = door.read('make a report', () => door.now());
  const checked = checkReportOptions(options, madeAt);
  const figures = readFigures(store, door, checked, madeAt);
  return { contents: { ...figures, proof: await proofOf(store, door, checked.signal) }, title: checked.title };
}

type Figures = Omit<Contents, 'proof'>;

function readFigures(store: SqliteStore, door: ModuleConnection, asked: CheckedReport, madeAt: Date): Figures {
  let figures: Figures | undefined;
  try {
    door.readTogether('make a report', () => figures = figuresOf(store, door, asked, madeAt));
  } catch (error) {
    // SQLite reports a damaged page once more at the end of the read, when the figures already tell what it hid.
    if (!figures || !hasCode(error, 'ERR_STORE_CORRUPT')) throw error;
  }
  return figures!;
}

function figuresOf(store: SqliteStore, door: ModuleConnection, asked: CheckedReport, madeAt: Date): Figures {
  const { entryIds, rules, timeZone } = asked;
  const days = new ReportDays(asked.from, asked.to, timeZone);
  const wanted = wantedBy(entryIds, rules);
  const labels = new Map<string, string>();
  const totals = partOf('read the usage', () => readTotals(store, door, days));
  const usage = then(totals, (value) => usageOf(value, days, wanted.isWanted));
  const history = partOf('read the log', () => {
    return readHistory(door, { days, now: madeAt.getTime(), running: readRunning(store), ...wanted }, labels);
  });
  return {
    days: [...days.texts], ...(entryIds && { entryIds }), timeZone: timeZone ?? systemZone(), madeAt, labels, usage,
    ...(rules && { quotas: quotasOf(door, days, totals, rules, wanted.isWanted) }),
    history, versions: versionsOf(door), uuid: door.uuid,
  };
}

/** What `read` makes of a part; where the part is unreadable, what is read of it is as well. */
function then<T, U>(part: Part<T>, read: (value: T) => U): Part<U> {
  return part.unreadable === undefined ? { value: read(part.value as T) } : { unreadable: part.unreadable };
}

function quotasOf(
  door: ModuleConnection, days: ReportDays, totals: Part<Totals>, rules: Rules, isWanted: (entryId: string) => boolean,
): Part<Quota[]> {
  if (totals.unreadable !== undefined) return totals;
  return partOf('read what was granted', () => readQuotas(door, days, { rules, totals: totals.value, isWanted }));
}

interface Wanted {
  isWanted(entryId: string): boolean;
  isWantedSubject(subject: string): boolean;
}

/** Which entries a report is about, and which subjects: a group is one where such an entry belongs to it. */
function wantedBy(entryIds: readonly string[] | undefined, rules: Rules | undefined): Wanted {
  if (!entryIds) return { isWanted: () => true, isWantedSubject: () => true };
  const entries = new Set(entryIds);
  const subjects = new Set(entryIds);
  for (const id of entryIds) for (const { subject } of rules?.entries.get(id)?.subjects ?? []) subjects.add(subject);
  return { isWanted: (entryId) => entries.has(entryId), isWantedSubject: (subject) => subjects.has(subject) };
}

function readRunning(store: SqliteStore): SessionSnapshot | 'unreadable' | undefined {
  try {
    return store.loadSnapshot()?.activeSession;
  } catch (error) {
    if (isUnreadable(error)) return 'unreadable';
    throw error;
  }
}

/** The system's zone, by a name that Intl takes as well: it has `+01:00` for what is shown as `UTC+01:00`. */
function systemZone(): string {
  return timeZoneInUse().replace(/^UTC(?=[+-])/, '');
}

function versionsOf(door: ModuleConnection): Contents['versions'] {
  return {
    package: packageVersion,
    schema: door.parts.connection.newerVersion ?? schemaVersion,
    node: process.versions.node,
    sqlite: String(door.get<[string]>('SELECT sqlite_version()')![0]),
  };
}

/** So many of a log's faults are named; a log that somebody has written again has one for each row. */
const namedProblems = 20;

async function proofOf(
  store: SqliteStore, door: ModuleConnection, signal: AbortSignal | undefined,
): Promise<Part<Proof>> {
  try {
    const { ok, checked, head, findings, more } = await store.verifyAudit({ signal });
    const { id } = door.read('read where the log begins', () => door.parts.log.beginning());
    const unnamed = Math.max(0, findings.length - namedProblems) + more;
    const problems = findings.slice(0, namedProblems).map(({ message }) => message);
    return {
      value: {
        ok, checkedRows: checked, ...(head && { anchor: head }), ...(id > 0 && { archivedId: id }),
        problems: unnamed > 0 ? [...problems, `and ${unnamed} more`] : problems,
      },
    };
  } catch (error) {
    // ERR_STORE_BUSY: the log was shortened, or another database took its place, while it was verified.
    if (!isUnreadable(error) && !hasCode(error, 'ERR_STORE_BUSY')) throw error;
    return { unreadable: (error as Error).message };
  }
}
