// The command fleet-schema: prints what a database has to be given that takes the logs of many stores.
import { readFileSync } from 'node:fs';
import { type Command, jsonOption, printJson } from './command.ts';
import { UsageError } from './failures.ts';

const databases: readonly string[] = ['postgresql'];

/** `fleet-schema`: prints the schema of a centre. */
export const fleetSchema: Command = {
  name: 'fleet-schema',
  summary: 'Prints the SQL that makes the centre of a fleet',
  takes: ['DATABASE'],
  options: { ...jsonOption },
  words: { DATABASE: databases },
  notes: [
    'DATABASE is postgresql, of version 15 or later. Run the SQL there as the owner of',
    'the database; it can be run again, and brings an older one of these up to date.',
    'ship sends the log of a store there.',
  ],
  examples: ['fleet-schema postgresql | psql -v ON_ERROR_STOP=1 fleet'],
  run: (args, io) => {
    const [database = ''] = args.positionals;
    if (!databases.includes(database)) {
      throw new UsageError(`there is no schema for "${database}"; there is one for ${databases.join(', ')}`);
    }
    const sql = textOf(`fleet/${database}.sql`);
    if (args.flag('json')) printJson(io, { database, sql });
    else io.stdout.write(sql);
    return 0;
  },
};

/** The text of a file of lib/, which has the same place in what is built. */
function textOf(file: string): string {
  try {
    return readFileSync(new URL(`../${file}`, import.meta.url), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new UsageError(`the command needs ${file}, which was left out of this copy of shepherd-store`);
  }
}
