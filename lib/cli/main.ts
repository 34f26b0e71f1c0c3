#!/usr/bin/env node
// The command `shepherd-store`: finds the command, runs it, and turns what went wrong into a line and an exit code.
import { readFileSync } from 'node:fs';
import { StoreError } from '../errors.ts';
import type { StoreErrorCode } from '../errors.ts';
import { Args, Failure, helpOf, usageOf, UsageError } from './command.ts';
import type { Command, Io } from './command.ts';
import { backupCommand, restoreCommand } from './backup.ts';
import { snapshot, status } from './condition.ts';
import { demo } from './demo.ts';
import { facts } from './facts.ts';
import { importCommand } from './import.ts';
import { keygen } from './keys.ts';
import { detachLedger, rebuildDatabaseCommand, rebuildLedgerCommand, replayCommand } from './ledger.ts';
import { migrate } from './migrate.ts';
import { due, projects } from './projects.ts';
import { audit, cooldowns, usage } from './records.ts';
import { run as showRun, runs } from './runs.ts';
import { painter, plain } from './text.ts';
import { anchorCommand, verify } from './verify.ts';

const commands: readonly Command[] = [
  status, audit, usage, cooldowns, snapshot, runs, showRun, facts, projects, due, verify, anchorCommand,
  replayCommand, rebuildLedgerCommand, rebuildDatabaseCommand, detachLedger, keygen,
  backupCommand, restoreCommand, importCommand, migrate, demo,
];

// The store itself was not looked at: the caller has to do something else first.
const wrongUse: readonly StoreErrorCode[] = ['ERR_STORE_INVALID_ARGUMENT', 'ERR_STORE_NOT_FOUND', 'ERR_STORE_PERMISSION'];

/**
 * Runs the command that `argv` (without the program's own name) names and gives the exit code: 0, 1 for a finding, 2 for
 * wrong use, 130 when `io.signal` ended it. Writes to `io` alone. Rejects only for an error in this package.
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) return misused(io, 'no command given', generalUsage);
  if (name === '--help' || name === '-h') return said(io, generalHelp());
  if (name === '--version') return said(io, `${version()}\n`);
  const command = commands.find((known) => known.name === name);
  if (!command) return misused(io, name.startsWith('-') ? `the command comes first, got "${name}"` : `there is no command "${name}"`, `${generalUsage}\nCommands: ${commands.map((known) => known.name).join(', ')}`);
  try {
    const args = new Args(command, rest);
    if (args.flag('help')) return said(io, helpOf(command));
    return await command.run(args, io);
  } catch (error) {
    if (io.signal?.aborted) return 130;
    if (error instanceof UsageError) return misused(io, error.message, usageOf(command));
    if (error instanceof StoreError) complain(io, `${error.message} (${error.code})`);
    else if (error instanceof Failure) complain(io, error.message);
    else throw error;
    return error instanceof StoreError && wrongUse.includes(error.code) ? 2 : 1;
  }
}

const generalUsage = 'Usage: shepherd-store COMMAND [--db FILE] [options] (--help says more)';

function generalHelp(): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    'Looks at a store, checks it against its ledger, makes either from the other,',
    'backs it up, restores it, and takes over the data of another service.', '',
    'Usage: shepherd-store COMMAND [--db FILE] [options]', '', 'Commands',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`), '',
    'Options',
    '  --help     this text; after a command, what that command takes',
    '  --version  the version of this package', '',
    "Without --db it is the user's own store, and stderr says which file that is:",
    '$XDG_DATA_HOME/shepherd-store/shepherd-store.db, or below ~/.local/share.', '',
    'Commands that only look open the store read-only, beside a running service, and',
    'leave nothing behind. Every command takes --json. Colours are for terminals, and',
    'follow NO_COLOR and FORCE_COLOR.', '',
    'Exit codes',
    '  0  all is well',
    '  1  a finding: something is damaged, missing, unreadable or was not taken over;',
    '     the file is no store, or it could not be read for lack of a lock or a disk',
    '  2  wrong use: an unknown command or option, a bad value, no such file, or a',
    '     file that this user may not read', '',
  ].join('\n');
}

function version(): string {
  return (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
}

function said(io: Io, text: string): number {
  io.stdout.write(text);
  return 0;
}

function misused(io: Io, problem: string, usageLine: string): number {
  complain(io, problem);
  io.stderr.write(`${usageLine}\n`);
  return 2;
}

function complain(io: Io, message: string): void {
  io.stderr.write(`${painter(io.stderr)('red', 'shepherd-store:')} ${plain(message)}\n`);
}

/** Runs as a process: ends quietly where nobody reads any more, and cleans up before a signal ends it. */
async function run(): Promise<void> {
  let unwritten = false;
  process.stderr.on('error', () => {}); // there is nowhere left to say so
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || unwritten) return; // `| head` has seen enough
    unwritten = true;
    process.exitCode = 1;
    complain({ stdout: process.stdout, stderr: process.stderr }, `the output cannot be written: ${error.message}`);
  });
  const controller = new AbortController();
  let signal: NodeJS.Signals | undefined;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      signal ??= name;
      controller.abort();
    });
  }
  const code = await main(process.argv.slice(2), { stdout: process.stdout, stderr: process.stderr, signal: controller.signal });
  process.exitCode = unwritten ? 1 : code;
  // A shell stops its script only when the command has died of the signal.
  if (signal) process.kill(process.pid, signal);
}

// Also true where npm's link in a bin folder was started.
if (import.meta.main) void run();
