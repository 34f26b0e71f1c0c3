// The command migrate: moves a store to another version of the schema, up or down.
import { schemaVersion } from '../core/schema.ts';
import { LossError } from '../migrate/steps.ts';
import type { MigrationReport } from '../opening/migrate.ts';
import { SqliteStore } from '../store.ts';
import { StoreError } from '../values/errors.ts';
import { type Args, storeFile } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, print, printJson } from './command.ts';
import { opening, tellStorePath } from './store-path.ts';
import { painter, plain } from './text.ts';

/** `migrate`: moves a store to another version of the schema. */
export const migrate: Command = {
  name: 'migrate',
  summary: 'Moves a store to another version of the schema, up or down',
  takes: [storeFile],
  options: {
    ...dbOption,
    to: { value: 'N', help: `the version to move to; ${schemaVersion}, the newest, by default` },
    force: { help: 'also where rows or values are lost, or a service runs' },
    ...jsonOption,
  },
  notes: [
    'Stop the service first: while a process has the store open it is not migrated.',
    'With --force it is, and that process is refused every further write. A step',
    'down that would lose something is refused and says what; --force loses it. All',
    'steps are taken or none. A service needs no step up: it takes it itself when it',
    'opens the store. Version 0 is the first four tables alone, without identity.',
  ],
  examples: ['migrate --db shepherdd.db', 'migrate --db shepherdd.db --to 3'],
  run: runMigrate,
};

async function runMigrate(args: Args, io: Io): Promise<number> {
  const path = tellStorePath(args, io);
  const to = args.integer('to', 0, schemaVersion) ?? schemaVersion;
  const report = await opening(path, () => migrateStore(path, to, args.flag('force')));
  if (args.flag('json')) printJson(io, { path, ...report });
  else print(io, reportLines(io, path, report));
  return 0;
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

function reportLines(io: Io, path: string, { from, to, steps, moved }: MigrationReport): string[] {
  if (from === to) return [plain(`${path} has schema version ${to} already`)];
  return [
    `${painter(io.stdout)('green', 'migrated')}: ${plain(path)} from schema version ${from} to ${to}`,
    ...steps.map(({ version, description }) => `  ${from < to ? 'up to' : 'down from'} ${version}  ${description}`),
    ...(moved === undefined ? [] : [plain(`its snapshot file is ${moved} now`)]),
  ];
}
