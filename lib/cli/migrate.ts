// The command migrate: moves a store to another version of the schema, up or down.
import { checkOpenOptions } from '../core/options.ts';
import { schemaVersion } from '../core/schema.ts';
import { LossError } from '../migrate/steps.ts';
import type { MigrationReport } from '../opening/migrate.ts';
import { SqliteStore } from '../store.ts';
import { StoreError } from '../values/errors.ts';
import { type Args, storeFile } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, print, printJson } from './command.ts';
import { type MigrationPlan, planMigration } from './migration-plan.ts';
import { opening, tellStorePath } from './store-path.ts';
import { count, painter, plain } from './text.ts';

/** `migrate`: moves a store to another version of the schema. */
export const migrate: Command = {
  name: 'migrate',
  summary: 'Moves a store to another version of the schema, up or down',
  takes: [storeFile],
  options: {
    ...dbOption,
    to: { value: 'N', help: `the version to move to; ${schemaVersion}, the newest, by default` },
    'dry-run': { help: 'says what it would do and what would be lost, and ends' },
    force: { help: 'also where rows or values are lost, or a service runs' },
    ...jsonOption,
  },
  notes: [
    'Stop the service first: while a process has the store open it is not migrated.',
    'With --force it is, and that process is refused every further write. What steps',
    'down would lose is printed first, and refused; --force loses it. All steps are',
    'taken or none. A service needs no step up: it takes it itself when it opens the',
    'store. Version 0 is the first four tables alone, without identity.',
  ],
  examples: ['migrate --db shepherdd.db', 'migrate --db shepherdd.db --to 3 --dry-run'],
  run: runMigrate,
};

async function runMigrate(args: Args, io: Io): Promise<number> {
  const path = tellStorePath(args, io);
  const to = args.integer('to', 0, schemaVersion) ?? schemaVersion;
  const [isDry, isJson] = [args.flag('dry-run'), args.flag('json')];
  const { lost, ...plan } = await opening(path, () => planMigration(path, to, checkOpenOptions()));
  if (isDry && isJson) printJson(io, { path, ...plan, lost });
  if (isDry && !isJson) print(io, reportLines(io, path, plan, 'would be migrated'));
  if (!isJson) print(io, lossLines(io, lost));
  if (isDry) return 0;
  const report = await opening(path, () => migrateStore(path, to, args.flag('force')));
  if (isJson) printJson(io, { path, ...report, ...(lost.length > 0 ? { lost } : undefined) });
  else print(io, reportLines(io, path, report, 'migrated'));
  return 0;
}

/** What is lost, each with its count. */
function lossLines(io: Io, lost: MigrationPlan['lost']): string[] {
  if (lost.length === 0) return [];
  return [
    `${painter(io.stdout)('yellow', 'what the steps down lose')}:`,
    ...lost.map(({ what, count: number }) => `  ${what}: ${count(number)}`),
  ];
}

/** Runs the migration; the error for a step that would lose something names `--force`, the option of this command. */
function migrateStore(path: string, to: number, force: boolean): MigrationReport {
  try {
    return SqliteStore.migrate(path, to, { force });
  } catch (error) {
    if (!(error instanceof LossError)) throw error;
    throw new StoreError(error.code, `${error.loss}: --force loses them`, { cause: error });
  }
}

function reportLines(
  io: Io, path: string, { from, to, steps, moved }: MigrationReport, what: string,
): string[] {
  if (from === to) return [plain(`${path} has schema version ${to} already`)];
  return [
    `${painter(io.stdout)('green', what)}: ${plain(path)} from schema version ${from} to ${to}`,
    ...steps.map(({ version, description }) => `  ${from < to ? 'up to' : 'down from'} ${version}  ${description}`),
    ...(moved === undefined ? [] : [plain(`its snapshot file is ${moved} now`)]),
  ];
}
