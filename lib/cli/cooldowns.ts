// The command cooldowns: which entries are blocked.
import { storeFile } from './args.ts';
import { type Command, dbOption, jsonOption, now, print, printJson } from './command.ts';
import { cooldownLines, errorLines, readCooldowns } from './rows.ts';
import { openStore } from './store-path.ts';

/** `cooldowns`: shows which entries are blocked, and until when. */
export const cooldowns: Command = {
  name: 'cooldowns',
  summary: 'Shows which entries are in cooldown and until when',
  takes: [storeFile],
  options: { ...dbOption, ...jsonOption },
  notes: [
    'Those that run come first, then those that are over.',
    'A cooldown that cannot be read is shown as such, and the exit code is 1.',
  ],
  examples: ['cooldowns --db shepherdd.db'],
  run: async (args, io) => {
    using store = await openStore(args, io);
    const rows = readCooldowns(store, now(io));
    const errors = errorLines(io.stdout, rows);
    if (args.flag('json')) printJson(io, { now: now(io), cooldowns: rows });
    else if (rows.length === 0) print(io, ['No cooldowns.']);
    else print(io, [...cooldownLines(io.stdout, rows, now(io)), ...(errors.length > 0 ? ['', ...errors] : [])]);
    return errors.length > 0 ? 1 : 0;
  },
};
