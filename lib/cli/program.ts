// The program `shepherd-store`: finds the command, runs it, and turns an error into a line on stderr and an exit code.
import { inspect } from 'node:util';
import { didYouMean } from '../values/near-miss.ts';
import { packageVersion } from '../values/package-version.ts';
import { Args, wantsJson } from './args.ts';
import type { Command, Io } from './command.ts';
import { exitCodeOf, Failure, UsageError, writeError } from './failures.ts';
import { generalHelp, generalUsage, helpOf, ownSummaries, usageOf } from './help.ts';
import { ifThere, needed } from './left-out.ts';
import { plain } from './text.ts';

/** What imports each command: a copy of this package without a folder has the commands that do without it. */
const commands: Record<string, () => Promise<Command>> = {
  status: async () => (await import('./status.ts')).status,
  audit: async () => (await import('./audit.ts')).audit,
  watch: async () => (await import('./watch.ts')).watch,
  usage: async () => (await import('./usage.ts')).usage,
  report: async () => (await import('./report.ts')).report,
  cooldowns: async () => (await import('./cooldowns.ts')).cooldowns,
  snapshot: async () => (await import('./snapshot.ts')).snapshot,
  runs: async () => (await import('./runs.ts')).runs,
  run: async () => (await import('./runs.ts')).run,
  facts: async () => (await import('./facts.ts')).facts,
  projects: async () => (await import('./projects.ts')).projects,
  due: async () => (await import('./projects.ts')).due,
  grant: async () => (await import('./overrides.ts')).grant,
  deny: async () => (await import('./overrides.ts')).deny,
  allow: async () => (await import('./overrides.ts')).allow,
  balance: async () => (await import('./balances.ts')).balance,
  correct: async () => (await import('./balances.ts')).correct,
  cooldown: async () => (await import('./cooldowns.ts')).cooldown,
  limits: async () => (await import('./limits.ts')).limits,
  metrics: async () => (await import('./metrics.ts')).metrics,
  export: async () => (await import('./export.ts')).exportCommand,
  verify: async () => (await import('./verify.ts')).verify,
  anchor: async () => (await import('./anchor.ts')).anchorCommand,
  replay: async () => (await import('./ledger.ts')).replayCommand,
  'rebuild-ledger': async () => (await import('./ledger.ts')).rebuildLedgerCommand,
  'rebuild-database': async () => (await import('./ledger.ts')).rebuildDatabaseCommand,
  'detach-ledger': async () => (await import('./ledger.ts')).detachLedger,
  keygen: async () => (await import('./keys.ts')).keygen,
  backup: async () => (await import('./backup.ts')).backupCommand,
  restore: async () => (await import('./backup.ts')).restoreCommand,
  archive: async () => (await import('./archive.ts')).archive,
  'forget-usage': async () => (await import('./archive.ts')).forgetUsageCommand,
  'forget-archives': async () => (await import('./archive.ts')).forgetArchivesCommand,
  'renew-identity': async () => (await import('./renew-identity.ts')).renewIdentityCommand,
  vacuum: async () => (await import('./vacuum.ts')).vacuumCommand,
  ship: async () => (await import('./ship.ts')).ship,
  'fleet-schema': async () => (await import('./fleet-schema.ts')).fleetSchema,
  import: async () => (await import('./import.ts')).importCommand,
  migrate: async () => (await import('./migrate.ts')).migrate,
  demo: async () => (await import('./demo.ts')).demo,
  completion: async () => (await import('./completion.ts')).completion(loadedCommands),
  man: async () => (await import('./manual.ts')).manual(loadedCommands, packageVersion),
};

/** The names that `main` answers itself, without a command. */
const ownNames: readonly string[] = Object.keys(ownSummaries);

/**
 * Runs the command that `argv` (without the program's own name) names and gives the exit code: 0, 1 for a finding, 2
 * for wrong use, 130 when `io.signal` ended it. Writes to nothing but `io`. Rejects only for an error that is a fault
 * of this package.
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  const errorOutput = { stderr: io.stderr, asJson: wantsJson(argv) };
  let usage = generalUsage;
  try {
    const [name, ...rest] = argv;
    if (name === undefined) throw new UsageError('no command given');
    if (name === '--version' || name === 'version') return printText(io, `${packageVersion}\n`);
    if (name === '--help' || name === '-h' || name === 'help') return printText(io, await helpOn(rest));
    const command = await commandOf(name);
    usage = usageOf(command);
    const args = new Args(command, rest);
    if (args.flag('help')) return printText(io, helpOf(command));
    return await command.run(args, io);
  } catch (error) {
    if (io.signal?.aborted) return 130;
    const code = exitCodeOf(error);
    if (code === undefined) throw error;
    writeError(errorOutput, error as Error, error instanceof UsageError ? { usage } : {});
    return code;
  }
}

async function commandOf(name: string): Promise<Command> {
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load) return needed(`the command ${name}`, load);
  if (name.startsWith('-')) throw new UsageError(`the command comes first, got "${name}"`);
  const names = [...Object.keys(commands), ...ownNames];
  throw new UsageError(`there is no command "${name}"; ${didYouMean(name, names) ?? `there are ${names.join(', ')}`}`);
}

/** The help on one command or, without a command's name, on all of them. */
async function helpOn([name, extra]: readonly string[]): Promise<string> {
  if (extra !== undefined && extra !== '--json') throw new UsageError(`unexpected argument "${extra}"`);
  // Users may ask for help on `help` and `version` as if these were commands; the general help describes both.
  const isGeneral = name === undefined || name.startsWith('-') || ownNames.includes(name);
  if (!isGeneral) return helpOf(await commandOf(name));
  return generalHelp(await loadedCommands());
}

/** Every command, but for those of which this copy has not all of the files. */
async function loadedCommands(): Promise<Command[]> {
  const loaded = await Promise.all(Object.values(commands).map((load) => ifThere(load)));
  return loaded.filter((command) => command !== undefined);
}

/** Writes a text as it is and gives the exit code 0. */
function printText(io: Io, text: string): number {
  io.stdout.write(text);
  return 0;
}

/**
 * Runs the arguments of this process. The process ends quietly when nobody reads its output any more, and a command
 * cleans up before a signal ends the process.
 */
export async function run(): Promise<void> {
  try {
    await runArguments();
  } catch (error) {
    // The error is a fault of this package. It is shown as Node would, but without characters that a terminal obeys.
    process.stderr.write(`${inspect(error).split('\n').map(plain).join('\n')}\n`);
    process.exitCode = 1;
  }
}

async function runArguments(): Promise<void> {
  const argv = process.argv.slice(2);
  const errorOutput = { stderr: process.stderr, asJson: wantsJson(argv) };
  const controller = new AbortController();
  let [isClosed, isUnwritten] = [false, false];
  process.stderr.on('error', () => {}); // an error of stderr itself cannot be reported anywhere
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    controller.abort(); // the rest of the output could not be written either
    if (isClosed || isUnwritten) return;
    isClosed = error.code === 'EPIPE'; // the reader, such as `| head`, has read as much as it wanted
    isUnwritten = !isClosed;
    if (!isUnwritten) return;
    process.exitCode = 1; // set here because the error may arrive after the command has finished
    writeError(errorOutput, new Failure(`the output cannot be written: ${error.message}`));
  });
  let signal: NodeJS.Signals | undefined;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      signal ??= name;
      controller.abort();
    });
  }
  let isEndedWell = false;
  const code = await main(argv, {
    stdout: process.stdout,
    stderr: process.stderr,
    // Asked for by a screen alone: to make this stream would begin to read what a child of this process is to get.
    get stdin() {
      return process.stdin;
    },
    signal: controller.signal,
    endsWell: () => {
      isEndedWell = true;
    },
  });
  const endedByReader = isClosed && code === 130;
  process.exitCode = isUnwritten ? 1 : endedByReader ? 0 : code;
  // The process sends itself the signal again, because a shell stops its script only when a signal ended the command.
  if (signal && !isEndedWell) process.kill(process.pid, signal);
}
