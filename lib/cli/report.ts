// The command report: a page that shows what happened, for people who want to look.
import type { Contents } from '../modules/report/contents.ts';
import { readReport } from '../modules/report/figures.ts';
import { maxReportDays } from '../modules/report/options.ts';
import { pageBeginning, renderPage } from '../modules/report/page.ts';
import { type Args, storeFile } from './args.ts';
import { type Command, dbOption, type Io, now, print, printJson, write } from './command.ts';
import { rangeOf } from './day-range.ts';
import { UsageError } from './failures.ts';
import { readPolicy } from './policy-file.ts';
import { replaceFile } from './replaced-file.ts';
import { openStore } from './store-path.ts';
import { bytes, json, painter, plain } from './text.ts';

/** `report`: makes a page of what happened. */
export const report: Command = {
  name: 'report',
  summary: 'Makes a page of what was used, denied, granted and repaired',
  takes: [storeFile],
  options: {
    ...dbOption,
    from: { value: 'DAY', help: 'from this day on' },
    to: { value: 'DAY', help: 'up to this day; today by default' },
    days: { value: 'N', help: 'the last N days; 28 by default' },
    week: { help: 'from the first day of this week to today' },
    month: { help: 'from the first day of this month to today' },
    entry: { value: 'ID', help: 'only this entry; may be repeated', isRepeated: true },
    policy: { value: 'FILE', help: 'the policy, as limits takes it: its daily quotas are shown' },
    title: { value: 'TEXT', help: 'the title of the page' },
    out: { value: 'FILE', help: 'the file to write, or - for the standard output' },
    json: { help: 'the figures of the page as one JSON document, for machines' },
  },
  notes: [
    'DAY is YYYY-MM-DD, today or yesterday. The page is one HTML file, without scripts',
    'and without anything that it would load from elsewhere. Its totals are those of',
    'usage: a session that runs is charged when it ends. Days and times are those of',
    'the local time zone (TZ). A week begins on Monday, or as the policy says.',
    'FILE is only for its owner to read, and replaces an earlier report as a whole.',
    'What cannot be read is said in its place. The exit code is 1 then, and where the',
    'log does not verify.',
  ],
  examples: [
    'report --db shepherdd.db --out report.html', 'report shepherdd.db --week --policy policy.json --out week.html',
  ],
  run: runReport,
};

async function runReport(args: Args, io: Io): Promise<number> {
  const [path, asJson] = [args.text('out'), args.flag('json')];
  if (path === undefined && io.stdout.isTTY && !asJson) {
    throw new UsageError('a page is nothing for a terminal: give a file, --out report.html');
  }
  const [policyPath, title] = [args.text('policy'), args.text('title')];
  const policy = policyPath === undefined ? undefined : readPolicy(policyPath);
  const weekStartsOn = policy?.weekStartsOn;
  const days = rangeOf(args, now(io), { usual: 28, most: maxReportDays, weekStartsOn });
  const entryIds = args.texts('entry');
  using store = await openStore(args, io);
  const { contents } = await readReport(store, {
    ...days, policy, title, signal: io.signal, ...(entryIds.length > 0 && { entryIds }),
  });
  const text = asJson ? documentOf(contents) : renderPage(contents, { title });
  if (path === undefined || path === '-') await write(io, text);
  else tellFile(io, path, replaceFile(path, text, asJson ? documentBeginning : pageBeginning), asJson);
  if (isSound(contents)) return 0;
  if (!asJson) {
    const told = 'something cannot be read, or the log does not verify: the page says what';
    io.stderr.write(`${painter(io.stderr)('yellow', told)}\n`);
  }
  return 1;
}

// The first of the figures are the days.
const documentBeginning = '{\n  "days": [\n    "';

function documentOf(contents: Contents): string {
  return `${json({ ...contents, labels: Object.fromEntries(contents.labels) }, 2)}\n`;
}

function tellFile(io: Io, path: string, size: number, asJson: boolean): void {
  if (asJson) printJson(io, { path, bytes: size });
  else print(io, [`${painter(io.stdout)('green', 'written')}: ${plain(path)}, ${bytes(size)}`]);
}

/** Whether all that the report shows could be read, and the log verifies. */
function isSound({ usage, quotas, history, proof }: Contents): boolean {
  const parts = [usage, history, proof, ...(quotas ? [quotas] : [])];
  if (parts.some(({ unreadable }) => unreadable !== undefined)) return false;
  const isQuotaSound = (quotas?.value ?? []).every(({ allowedMs, usedMs }) => {
    return !allowedMs.includes(undefined) && !usedMs.includes(undefined);
  });
  return isQuotaSound && usage.value?.unreadable.length === 0 && history.value?.unreadable === 0 &&
    proof.value?.ok === true;
}
