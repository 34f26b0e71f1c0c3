// The program `shepherd-store`: finds the command, runs it, and turns an error into a line on stderr and an exit code.
import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { didYouMean } from '../values/near-miss.ts';
import { anchorCommand } from './anchor.ts';
import { Args } from './args.ts';
import { audit } from './audit.ts';
import { backupCommand, restoreCommand } from './backup.ts';
import type { Command, Io } from './command.ts';
import { cooldowns } from './cooldowns.ts';
import { demo } from './demo.ts';
import { facts } from './facts.ts';
import { exitCodeOf, Failure, UsageError, writeError } from './failures.ts';
import { generalHelp, generalUsage, helpOf, usageOf } from './help.ts';
import { importCommand } from './import.ts';
import { keygen } from './keys.ts';
import { detachLedger, rebuildDatabaseCommand, rebuildLedgerCommand, replayCommand } from './ledger.ts';
import { migrate } from './migrate.ts';
import { due, projects } from './projects.ts';
import { run as showRun, runs } from './runs.ts';
import { snapshot } from './snapshot.ts';
import { status } from './status.ts';
import { plain } from './text.ts';
import { usage } from './usage.ts';
import { verify } from './verify.ts';

const commands: readonly Command[] = [
  status, audit, usage, cooldowns, snapshot, runs, showRun, facts, projects, due, verify, anchorCommand,
  replayCommand, rebuildLedgerCommand, rebuildDatabaseCommand, detachLedger, keygen,
  backupCommand, restoreCommand, importCommand, migrate, demo,
];

/** The names that `main` answers itself, without a command. */
const ownNames: readonly string[] = ['help', 'version'];

/**
 * Runs the command that `argv` (without the program's own name) names and gives the exit code: 0, 1 for a finding, 2
 * for wrong use, 130 when `io.signal` ended it. Writes to nothing but `io`. Rejects only for an error that is a fault
 * of this package.
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  const errorOutput = { stderr: io.stderr, asJson: argv.includes('--json') };
  let usage = generalUsage;
  try {
    const [name, ...rest] = argv;
    if (name === undefined) throw new UsageError('no command given');
    if (name === '--version' || name === 'version') return printText(io, `${version()}\n`);
    if (name === '--help' || name === '-h' || name === 'help') return printText(io, helpOn(rest));
    const command = commandOf(name);
    usage = usageOf(command);
    const args = new Args(command, rest);
    if (args.flag('help')) return printText(io, helpOf(command));
    return await command.run(args, io);
  } catch (error) {
    if (io.signal?.aborted) return 130;
    const code = exitCodeOf(error);
    if (code === undefined) throw error;
    writeError(errorOutput, error as Error, error instanceof UsageError ? usage : undefined);
    return code;
  }
}

function commandOf(name: string): Command {
  const command = commands.find((known) => known.name === name);
  if (command) return command;
  if (name.startsWith('-')) throw new UsageError(`the command comes first, got "${name}"`);
  const names = [...commands.map((known) => known.name), ...ownNames];
  throw new UsageError(`there is no command "${name}"; ${didYouMean(name, names) ?? `there are ${names.join(', ')}`}`);
}

/** The help on one command or, without a command's name, on all of them. */
function helpOn([name, extra]: readonly string[]): string {
  if (extra !== undefined && extra !== '--json') throw new UsageError(`unexpected argument "${extra}"`);
  // Users may ask for help on `help` and `version` as if these were commands; the general help describes both.
  const isGeneral = name === undefined || name.startsWith('-') || ownNames.includes(name);
  return isGeneral ? generalHelp(commands) : helpOf(commandOf(name));
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
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
  const errorOutput = { stderr: process.stderr, asJson: argv.includes('--json') };
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
  const code = await main(argv, { stdout: process.stdout, stderr: process.stderr, signal: controller.signal });
  const endedByReader = isClosed && code === 130;
  process.exitCode = isUnwritten ? 1 : endedByReader ? 0 : code;
  // The process sends itself the signal again, because a shell stops its script only when a signal ended the command.
  if (signal) process.kill(process.pid, signal);
}
