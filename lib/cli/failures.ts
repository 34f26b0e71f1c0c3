// What went wrong, as a line for people or as JSON for machines, and the exit code that says it to a script.
import { StoreError } from '../errors.ts';
import type { StoreErrorCode } from '../errors.ts';
import { json, painter, plain } from './text.ts';
import type { Output } from './text.ts';

/** Wrong use: the message goes to stderr with the usage line. */
export class UsageError extends Error {}

/** Something outside of the store that went wrong. */
export class Failure extends Error {}

// The store itself was not looked at, or is fine: the caller has to do something else first.
const wrongUse: readonly StoreErrorCode[] = [
  'ERR_STORE_INVALID_ARGUMENT', 'ERR_STORE_NOT_FOUND', 'ERR_STORE_PERMISSION', 'ERR_STORE_CONFLICT',
];

/** The exit code of an error, the same in every command; `undefined` for an error in this package. */
export function exitCodeOf(error: unknown): 1 | 2 | undefined {
  if (error instanceof UsageError) return 2;
  if (error instanceof Failure) return 1;
  if (error instanceof StoreError) return isWrongUse(error.code) ? 2 : 1;
  return undefined;
}

/** Whether an error of this code says that the command was called wrongly, and nothing of the store. */
export function isWrongUse(code: string): boolean {
  return wrongUse.includes(code as StoreErrorCode);
}

/** The exit codes, for the help: which there are and what each says. */
export const exitCodes: readonly [code: number, meaning: string][] = [
  [0, 'all is well'],
  [1, 'a finding: something is damaged, missing, unreadable or was not taken over; the file is no store, or of ' +
    'another version; it could not be read or written for lack of a lock, room or a disk that works'],
  [2, 'wrong use: an unknown command or option, a bad value, no such file, one that this user may not use, one ' +
    'that is there already, or a ledger or key that is not the store\'s'],
  [130, 'interrupted (Ctrl-C); a shell sees 143 after a SIGTERM'],
];

/** How a failure is told. */
export interface Told {
  stderr: Output;
  /** Whether one JSON text a line goes to stderr, instead of lines for people. */
  asJson: boolean;
}

/** Tells of an error on stderr; `usage` is what was expected instead, where it was wrong use. */
export function tell({ stderr, asJson }: Told, error: Error, usage?: string): void {
  const code = error instanceof StoreError ? error.code : undefined;
  if (asJson) {
    const own = error instanceof UsageError ? 'ERR_COMMAND_USAGE' : 'ERR_COMMAND_FAILED';
    stderr.write(`${json({ error: { code: code ?? own, message: error.message } })}\n`);
    return;
  }
  stderr.write(`${painter(stderr)('red', 'shepherd-store:')} ${plain(error.message)}${code ? ` (${code})` : ''}\n`);
  if (usage !== undefined) stderr.write(`${usage}\n`);
}
