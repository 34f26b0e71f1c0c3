// The command `shepherd-store`: finds the command, runs it, and turns what went wrong into a line and an exit code.
import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { didYouMean } from '../near-miss.ts';
import { anchorCommand } from './anchor.ts';
import { Args } from './args.ts';
import { audit } from './audit.ts';
import { backupCommand, restoreCommand } from './backup.ts';
import type { Command, Io } from './command.ts';
import { cooldowns } from './cooldowns.ts';
import { demo } from './demo.ts';
import { facts } from './facts.ts';
import { exitCodeOf, Failure, tell, UsageError } from './failures.ts';
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

/** What `main` answers itself. */
const ownNames: readonly string[] = ['help', 'version'];

/**
 * Runs the command that `argv` (without the program's own name) names and gives the exit code: 0, 1 for a finding, 2 for
 * wrong use, 130 when `io.signal` ended it. Writes to `io` alone. Rejects only for an error in this package.
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  const told = { stderr: io.stderr, asJson: argv.includes('--json') };
  let usage = generalUsage;
  try {
    const [name, ...rest] = argv;
    if (name === undefined) throw new UsageError('no command given');
    if (name === '--version' || name === 'version') return said(io, `${version()}\n`);
    if (name === '--help' || name === '-h' || name === 'help') return said(io, helpOn(rest));
    const command = commandOf(name);
    usage = usageOf(command);
    const args = new Args(command, rest);
    if (args.flag('help')) return said(io, helpOf(command));
    return await command.run(args, io);
  } catch (error) {
    if (io.signal?.aborted) return 130;
    const code = exitCodeOf(error);
    if (code === undefined) throw error;
    tell(told, error as Error, error instanceof UsageError ? usage : undefined);
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

/** The help on one command, or on all. */
function helpOn([name, extra]: readonly string[]): string {
  if (extra !== undefined && extra !== '--json') throw new UsageError(`unexpected argument "${extra}"`);
  // The general one has all that is to be said of help and version, which are commands to whoever asks.
  const isGeneral = name === undefined || name.startsWith('-') || ownNames.includes(name);
  return isGeneral ? generalHelp(commands) : helpOf(commandOf(name));
}

function version(): string {
  return (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
}

function said(io: Io, text: string): number {
  io.stdout.write(text);
  return 0;
}

/** Runs as a process: ends quietly where nobody reads any more, and cleans up before a signal ends it. */
export async function run(): Promise<void> {
  try {
    await runArguments();
  } catch (error) {
    // An error in this package, as Node would show it, but without power over the terminal.
    process.stderr.write(`${inspect(error).split('\n').map(plain).join('\n')}\n`);
    process.exitCode = 1;
  }
}

async function runArguments(): Promise<void> {
  const argv = process.argv.slice(2);
  const told = { stderr: process.stderr, asJson: argv.includes('--json') };
  const controller = new AbortController();
  let [isClosed, isUnwritten] = [false, false];
  process.stderr.on('error', () => {}); // there is nowhere left to say so
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    controller.abort(); // what is still to come has nowhere to go
    if (isClosed || isUnwritten) return;
    isClosed = error.code === 'EPIPE'; // `| head` has seen enough
    isUnwritten = !isClosed;
    if (!isUnwritten) return;
    process.exitCode = 1; // the error may come when all has been written and run
    tell(told, new Failure(`the output cannot be written: ${error.message}`));
  });
  let signal: NodeJS.Signals | undefined;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      signal ??= name;
      controller.abort();
    });
  }
  const code = await main(argv, { stdout: process.stdout, stderr: process.stderr, signal: controller.signal });
  process.exitCode = isUnwritten ? 1 : isClosed && code === 130 ? 0 : code;
  // A shell stops its script only when the command has died of the signal.
  if (signal) process.kill(process.pid, signal);
}
