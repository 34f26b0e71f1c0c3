// The command import: takes over another service's data.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type ImportReport, importStore } from '../import/index.ts';
import type { Args } from './args.ts';
import { type Command, type Io, jsonOption, long, print, printJson } from './command.ts';
import { Failure, writeError } from './failures.ts';
import { counted, lineWidth, painter, plain, wrap } from './text.ts';

/** `import`: takes over the data of another service's store. */
export const importCommand: Command = {
  name: 'import',
  summary: 'Takes over the data of another service\'s store',
  takes: ['FROM', 'TO'],
  options: { ...jsonOption },
  notes: [
    'FROM is a shepherdd.db or lunchboxd.db, an OpenFroyo database, or Nightshift\'s',
    'database, state.json or audit-DATE.jsonl of a day; the file itself says which.',
    'It is only read, and its service may be running.',
    'TO is a store; it is made if it is not there, and keeps what it has. All or',
    'nothing; each row is taken once, however often this is repeated.',
    'The exit code is 1 when a row was not taken; each of those is listed, and so is',
    'a field of a running session that has no place here: an event keeps its value.',
  ],
  examples: ['import /var/lib/shepherdd/shepherdd.db ./store.db', 'import audit-2026-07-20.jsonl ./store.db'],
  run: runImport,
};

async function runImport(args: Args, io: Io): Promise<number> {
  const [from = '', to = ''] = args.positionals;
  const report = await long(io, 'rows read', (options) => importStore(from, to, options));
  // Node delivers a signal that came while the import kept the thread busy only in the next turn of the event loop.
  await nextTurn();
  if (io.signal?.aborted) {
    const errorOutput = { stderr: io.stderr, asJson: args.flag('json') };
    writeError(errorOutput, new Failure('the import was finished all the same; a second one says what was taken'));
    return 130;
  }
  if (args.flag('json')) printJson(io, { from, to, ...report });
  else print(io, reportLines(io, from, to, report));
  return report.skipped.length > 0 ? 1 : 0;
}

function reportLines(io: Io, from: string, to: string, { kind, taken, alreadyThere, skipped }: ImportReport): string[] {
  const paint = painter(io.stdout);
  const [takenCounts, thereCounts] = [countTexts(taken), countTexts(alreadyThere)];
  const width = lineWidth(io.stdout);
  const [firstTaken = '', ...moreTaken] = hangingIndent(wrap(['taken:', ...takenCounts], width - 2));
  const lines = [plain(`${from} (${kind}) into ${to}`)];
  if (takenCounts.length === 0) lines.push('nothing was taken');
  else lines.push(firstTaken.replace('taken', (word) => paint('green', word)), ...moreTaken);
  if (thereCounts.length > 0) lines.push(...hangingIndent(wrap(['there already:', ...thereCounts], width - 2)));
  if (skipped.length === 0) return [...lines, 'nothing was left out'];
  const skippedLines = skipped.flatMap(({ table, row, reason }) => {
    return hangingIndent(wrap(plain(`${table} ${row}: ${reason}`).split(' '), width - 4)).map((line) => `  ${line}`);
  });
  return [...lines, '', paint('red', `${counted(skipped.length, 'row')} could not be taken`), ...skippedLines];
}

/** Indents every line but the first. */
function hangingIndent(lines: readonly string[]): string[] {
  return lines.map((line, index) => (index === 0 ? line : `  ${line}`));
}

/** What people read for each kind of row, for one and for many. */
const names: Record<keyof ImportReport['taken'], [one: string, many?: string]> = {
  events: ['event'], usage: ['total'], cooldowns: ['cooldown'], snapshots: ['snapshot'],
  runs: ['run'], planUnits: ['plan unit'], runEvents: ['run event'], resourceStates: ['resource state'],
  facts: ['fact'], projects: ['project'], taskHistory: ['task last done', 'tasks last done'],
  assignedTasks: ['task in progress', 'tasks in progress'], runRecords: ['run record'],
  overrides: ['override'], balances: ['balance'],
};

/** How many of each kind there are, each a text with its comma. Kinds without any are left out. */
function countTexts(counts: ImportReport['taken']): string[] {
  const parts = Object.entries(names).flatMap(([name, [one, many]]) => {
    const count = counts[name as keyof typeof names] ?? 0;
    return count > 0 ? [counted(count, one, many)] : [];
  });
  return parts.map((part, index) => (index < parts.length - 1 ? `${part},` : part));
}
