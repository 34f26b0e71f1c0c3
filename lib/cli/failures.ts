// Errors of a command: how they are written for people and for machines, and which exit code each of them gets.
import { StoreError, type StoreErrorCode } from '../values/errors.ts';
import { json, type Output, painter, plain } from './text.ts';

/** The command was called wrongly. The usage line follows the message on stderr. */
export class UsageError extends Error {}

/** Something outside of the store failed. */
export class Failure extends Error {}

// These codes say nothing about the store: the caller has to change the call or its surroundings first.
const wrongUse: readonly StoreErrorCode[] = [
  'ERR_STORE_INVALID_ARGUMENT', 'ERR_STORE_NOT_FOUND', 'ERR_STORE_PERMISSION', 'ERR_STORE_CONFLICT',
];

/** The exit code of an error, the same in every command; `undefined` for an error that is a fault of this package. */
export function exitCodeOf(error: unknown): 1 | 2 | undefined {
  if (error instanceof UsageError) return 2;
  if (error instanceof Failure) return 1;
  if (error instanceof StoreError) return isWrongUse(error.code) ? 2 : 1;
  return undefined;
}

/** Whether an error with this code says only that the command was called wrongly, and nothing about the store. */
export function isWrongUse(code: string): boolean {
  return wrongUse.includes(code as StoreErrorCode);
}

/** Every exit code with its meaning, as the help shows them. */
export const exitCodes: readonly [code: number, meaning: string][] = [
  [0, 'all is well'],
  [1, 'a finding: something is damaged, missing, unreadable or was not taken over; the file is no store, or of ' +
    'another version; it could not be read or written for lack of a lock, room or a disk that works'],
  [2, 'wrong use: an unknown command or option, a bad value, no such file, one that this user may not use, one ' +
    'that is there already, or a ledger or key that is not the store\'s'],
  [130, 'interrupted (Ctrl-C); a shell sees 143 after a SIGTERM'],
];

/** Where and in which form errors are written. */
interface ErrorOutput {
  stderr: Output;
  /** Whether each error is one line of JSON instead of text for people. */
  asJson: boolean;
}

/** What is told with an error: to people the usage line, to machines when what failed is tried again. */
interface Beside {
  usage?: string;
  nextTry?: Date | undefined;
}

/** Writes an error to stderr. */
export function writeError({ stderr, asJson }: ErrorOutput, error: Error, { usage, nextTry }: Beside = {}): void {
  const code = error instanceof StoreError ? error.code : undefined;
  if (asJson) {
    const commandCode = error instanceof UsageError ? 'ERR_COMMAND_USAGE' : 'ERR_COMMAND_FAILED';
    stderr.write(`${json({ error: { code: code ?? commandCode, message: error.message }, nextTry })}\n`);
    return;
  }
  stderr.write(`${painter(stderr)('red', 'shepherd-store:')} ${plain(error.message)}${code ? ` (${code})` : ''}\n`);
  if (usage !== undefined) stderr.write(`${usage}\n`);
}
