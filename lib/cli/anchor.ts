// The command anchor: prints the newest row, which proves every row up to it when it is kept elsewhere.
import type { Anchor } from '../core/chain.ts';
import { storeFile } from './args.ts';
import { type Command, dbOption, jsonOption, print, printJson } from './command.ts';
import { Failure } from './failures.ts';
import { openStore } from './store-path.ts';
import { plain } from './text.ts';

/** An anchor in the form that `verify --anchor` takes. The hash is escaped: a damaged row may hold any text there. */
export function anchorText({ id, hash }: Anchor): string {
  return `${id}:${plain(hash)}`;
}

/** `anchor`: prints the newest row of the log, to be kept elsewhere. */
export const anchorCommand: Command = {
  name: 'anchor',
  summary: 'Prints the newest row of the log, to be kept elsewhere',
  takes: [storeFile],
  options: { ...dbOption, ...jsonOption },
  notes: [
    'The line is ID:HASH, as verify --anchor takes it. Whoever can write to the store',
    'can write all of it anew, but not so that it still has this row. Send it where',
    'they cannot reach it: a mail, a journal, a sheet of paper.',
    'The exit code is 1 when the log is empty.',
  ],
  examples: ['anchor --db shepherdd.db', 'anchor --db shepherdd.db | ssh elsewhere \'cat >> anchors\''],
  run: async (args, io) => {
    using store = await openStore(args, io);
    const head = store.auditHead();
    if (!head) throw new Failure('the log is empty: there is no row to keep yet');
    if (args.flag('json')) printJson(io, { ...head, anchor: anchorText(head) });
    else print(io, [anchorText(head)]);
    return 0;
  },
};
