// The command vacuum: gives the free pages of a database back to the disk.
import { checkOpenOptions } from '../core/options.ts';
import { planVacuum, vacuum, type VacuumPlan, vacuumRate } from '../modules/archive/vacuum.ts';
import { connect } from '../store.ts';
import { storeFile } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, print, printJson } from './command.ts';
import { openStore, storePath } from './store-path.ts';
import { bytes, painter, plain, span } from './text.ts';

/** `vacuum`: writes a database anew without its free pages. */
export const vacuumCommand: Command = {
  name: 'vacuum',
  summary: 'Makes a database smaller: gives its free pages back',
  takes: [storeFile],
  options: { ...dbOption, 'dry-run': { help: 'says what it would take, and ends' }, ...jsonOption },
  notes: [
    'Stop the service first: while a process has the store open nothing is done, and',
    'nobody else can open the store meanwhile. It needs room beside the database for',
    'what is kept, twice, and is refused where there is less; --dry-run has the exit',
    'code 1 then. Where the log grows as before it gains nothing, because free pages',
    'are used again. A crash meanwhile loses nothing.',
    `The time is estimated by ${bytes(vacuumRate)} of kept pages a second, as measured on an`,
    'SSD. They are written three times, so that a card that writes 10 MiB a second',
    'takes 21 times as long.',
  ],
  examples: ['vacuum --db shepherdd.db --dry-run', 'vacuum shepherdd.db'],
  run: async (args, io) => {
    const plan = await planOf(() => openStore(args, io), storePath(args));
    const [isDry, isJson] = [args.flag('dry-run'), args.flag('json')];
    if (isDry) {
      if (isJson) printJson(io, { path: storePath(args), ...plan });
      else print(io, [...planLines(plan), roomLine(io, plan)]);
      return plan.freeBytes < plan.neededBytes ? 1 : 0;
    }
    const { before, after } = vacuum(storePath(args), checkOpenOptions(), (begun) => {
      if (!isJson) print(io, planLines(begun));
    });
    if (isJson) printJson(io, { path: storePath(args), before, after, plan });
    else print(io, [doneLine(io, storePath(args), before, after)]);
    return 0;
  },
};

/** What a vacuum of the store would take; the store is closed again, because it must not be open in the next step. */
async function planOf(open: () => ReturnType<typeof openStore>, path: string): Promise<VacuumPlan> {
  using store = await open();
  const door = connect(store);
  return door.readTogether('read the size of the database', () => planVacuum((sql) => door.get(sql)?.[0], path));
}

function planLines({ databaseBytes, freePageBytes, estimatedMs }: VacuumPlan): string[] {
  return [
    `database  ${bytes(databaseBytes)}, ${bytes(freePageBytes)} of that in free pages`,
    `time      about ${span(Math.max(1_000, estimatedMs))} on an SSD, for which the store is held`,
  ];
}

function roomLine(io: Io, { neededBytes, freeBytes }: VacuumPlan): string {
  const room = `${bytes(neededBytes)} needed, ${bytes(freeBytes)} free`;
  return `room      ${freeBytes < neededBytes ? painter(io.stdout)('red', `too little: ${room}`) : room}`;
}

function doneLine(io: Io, path: string, before: number, after: number): string {
  return `${painter(io.stdout)('green', 'vacuumed')}: ${plain(path)}, ${bytes(before)} before, ${bytes(after)} now`;
}
