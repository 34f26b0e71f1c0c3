// The command import: taking over another service's data.
import { importStore } from '../import/index.ts';
import type { ImportReport } from '../import/index.ts';
import { jsonOption, long, print, printJson } from './command.ts';
import type { Args, Command, Io } from './command.ts';
import { counted, lineWidth, painter, plain, wrap } from './text.ts';

/** `import`: takes over what another service's store holds. */
export const importCommand: Command = {
  name: 'import',
  summary: 'Takes over the data of another service\'s store',
  takes: ['FROM', 'TO'],
  options: { ...jsonOption },
  notes: [
    'FROM is only read, and its service may be running. TO is a store; it is made if',
    'it is not there, and keeps what it has. All or nothing; each row is taken once,',
    'however often this is repeated.',
    'The exit code is 1 when a row was not taken; each of those is listed.',
  ],
  examples: ['import /var/lib/shepherdd/shepherdd.db ./store.db'],
  run: runImport,
};

async function runImport(args: Args, io: Io): Promise<number> {
  const [from = '', to = ''] = args.positionals;
  const report = await long(io, 'rows read', (options) => importStore(from, to, options));
  if (args.flag('json')) printJson(io, { from, to, ...report });
  else print(io, reportLines(io, from, to, report));
  return report.skipped.length > 0 ? 1 : 0;
}

function reportLines(io: Io, from: string, to: string, { kind, taken, alreadyThere, skipped }: ImportReport): string[] {
  const paint = painter(io.stdout);
  const [takenText, thereText] = [countsText(taken), countsText(alreadyThere)];
  const lines = [
    plain(`${from} (${kind}) into ${to}`),
    `${takenText === '' ? 'nothing was taken' : `${paint('green', 'taken')}: ${takenText}`}`,
    ...(thereText === '' ? [] : [`there already: ${thereText}`]),
  ];
  if (skipped.length === 0) return [...lines, 'nothing was left out'];
  return [...lines, '', paint('red', `${counted(skipped.length, 'row')} could not be taken`), ...skipped.flatMap(({ table, row, reason }) => {
    const [first = '', ...rest] = wrap(plain(`${table} ${row}: ${reason}`).split(' '), lineWidth(io.stdout) - 4);
    return [`  ${first}`, ...rest.map((line) => `    ${line}`)];
  })];
}

function countsText({ events, usage, cooldowns, snapshots }: ImportReport['taken']): string {
  const parts = [events > 0 && counted(events, 'event'), usage > 0 && counted(usage, 'total'), cooldowns > 0 && counted(cooldowns, 'cooldown'), snapshots > 0 && counted(snapshots, 'snapshot')];
  return parts.filter((part) => part !== false).join(', ');
}
