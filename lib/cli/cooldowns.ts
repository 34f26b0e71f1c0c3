// The commands cooldowns and cooldown: which entries are blocked, and ending that.
import { storeFile } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, now, print, printJson } from './command.ts';
import { UsageError } from './failures.ts';
import { attemptRow, cooldownLines, errorLines, readCooldowns } from './rows.ts';
import { openStore } from './store-path.ts';
import { entryOf } from './subject.ts';
import { fit, instantText, nameRoom } from './text.ts';
import { change, writeNotes, writeOptions } from './write.ts';

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

/** `cooldown clear`: ends the cooldown of an entry. */
export const cooldown: Command = {
  name: 'cooldown',
  summary: 'Ends the cooldown of an entry',
  takes: ['clear', 'ENTRY'],
  options: writeOptions,
  notes: writeNotes,
  examples: ['cooldown clear minecraft'],
  run: async (args, io) => {
    const [verb = ''] = args.positionals;
    if (verb !== 'clear') throw new UsageError(`what to do with the cooldown is "clear", got "${verb}"`);
    const entryId = entryOf(args, 1, 'cooldown');
    return change(args, io, (store) => {
      const until = store.transaction(() => {
        // One that cannot be read blocks its entry, and clearing it is what helps then.
        const { value, error } = attemptRow(() => store.getCooldownUntil(entryId) ?? null);
        store.clearCooldown(entryId);
        return error ? undefined : value;
      });
      const name = fit(entryId, nameRoom(io.stdout, 60));
      const line = until === null ? `${name} was in no cooldown: nothing was changed` : clearedLine(io, name, until);
      return { line, document: { entryId, cleared: until !== null, ...(until ? { until } : undefined) } };
    });
  },
};

function clearedLine(io: Io, name: string, until: Date | undefined): string {
  if (!until) return `cleared: the cooldown of ${name}, which could not be read`;
  const when = until > now(io) ? 'was to last until' : 'was over since';
  return `cleared: the cooldown of ${name}, which ${when} ${instantText(until)}`;
}
