// The command metrics: figures of a store for a monitor, on the output or in a file that an exporter reads.
import { hasCode, StoreError } from '../values/errors.ts';
import { type Args, storeFile } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, now, printJson } from './command.ts';
import { exposition, type Family, labelOf, withLabel } from './exposition.ts';
import { Failure, UsageError, writeError } from './failures.ts';
import { familiesOf, familiesOfNone } from './metrics-families.ts';
import { readFigures } from './metrics-read.ts';
import { replaceTextfile } from './replaced-file.ts';
import { openStore } from './store-path.ts';

/** `metrics`: gives a monitor its figures. */
export const metrics: Command = {
  name: 'metrics',
  summary: 'Gives figures to a monitor, as Prometheus reads them',
  takes: [storeFile],
  options: {
    ...dbOption,
    textfile: { value: 'FILE', help: 'a file to replace by them; its name ends in .prom' },
    label: { value: 'NAME', help: 'the label "store" of every figure, to tell several stores apart' },
    ...jsonOption,
  },
  notes: [
    "The figures are in Prometheus' text format. With --textfile nothing is printed:",
    'FILE is replaced as a whole, for the textfile collector of node_exporter. Every',
    'user may read it (0644), because the exporter is another one.',
    'A store that cannot be read or found is shepherd_store_up 0 and nothing else, and',
    'the exit code is 1. It is 1 as well where a part cannot be read; then all of its',
    'figures are left out, and shepherd_store_unreadable says which part it is.',
    'A finding is a figure, and no reason for that. An exporter takes the figures of',
    'two stores only where --label tells them apart.',
    'Today is what it is in the local time zone (TZ). The session is the one of the',
    'last snapshot. Backups and verifications are known where --record was given.',
  ],
  examples: [
    'metrics shepherdd.db',
    'metrics shepherdd.db --textfile /var/lib/prometheus/node-exporter/shepherdd.prom',
  ],
  run: async (args, io) => {
    const textfile = args.text('textfile');
    if (textfile !== undefined && !textfile.endsWith('.prom')) {
      throw new UsageError(`--textfile must end in .prom, or node_exporter passes over it: "${textfile}"`);
    }
    const label = args.text('label');
    const { families: all, errors } = await familiesIn(args, io);
    const families = label === undefined ? all : withLabel(all, 'store', labelOf(label));
    for (const error of errors) writeError({ stderr: io.stderr, asJson: args.flag('json') }, error);
    if (textfile !== undefined) replaceTextfile(textfile, exposition(families));
    else if (args.flag('json')) printJson(io, { metrics: families.filter(({ samples }) => samples.length > 0) });
    else io.stdout.write(exposition(families));
    return errors.length > 0 ? 1 : 0;
  },
};

/** The figures, and why some or all of them are missing. Throws for a call that names no store. */
async function familiesIn(args: Args, io: Io): Promise<{ families: Family[]; errors: Error[] }> {
  try {
    using store = await openStore(args, io);
    const read = await readFigures(store, now(io));
    const errors = read.problems.map(({ code, message }) => new StoreError(code as StoreError['code'], message));
    return { families: familiesOf(read), errors };
  } catch (error) {
    const isWrongCall = !(error instanceof StoreError) || hasCode(error, 'ERR_STORE_INVALID_ARGUMENT');
    if (isWrongCall && !(error instanceof Failure)) throw error;
    return { families: familiesOfNone(), errors: [error] };
  }
}
