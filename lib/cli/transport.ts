// Gives a text to another program on its standard input, and says whether the program has taken it.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

/** Why a program has not taken what it was given. */
export interface Refusal {
  /** What follows the program's name in a sentence, such as `ended with the exit code 3`. */
  how: string;
  /** The last line of its standard error that says anything. */
  lastLine: string | undefined;
}

// How long the rest of the standard error of a program that has ended may take to be read.
const restMs = 1_000;

/**
 * Starts a program without a shell, gives it the text, and waits for its end. Gives `undefined` where it has taken the
 * text: it has ended with the exit code 0, and not before all of the text was written. `onLine` gets each line of its
 * standard error as it comes. What it writes to its standard output is ignored.
 */
export async function handOver(
  [program = '', ...args]: readonly string[], text: string, onLine: (line: string) => void,
): Promise<Refusal | undefined> {
  let child: ChildProcessByStdio<Writable, null, Readable>;
  try {
    child = spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'] });
  } catch (error) {
    return { how: notStarted(error), lastLine: undefined }; // such as arguments that are too long for the system
  }
  const lines = new Lines(onLine);
  let isWritten = false;
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const ended = new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => resolve(notStarted(error)));
    child.once('exit', (code, signal) => resolve(code === 0 ? undefined : howItEnded(code, signal)));
  });
  // A child has no streams where this process has no descriptors left for them; it was not started then.
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => lines.add(chunk));
  child.stdin?.on('error', () => {}); // the callback of the write gets the same error
  child.stdin?.write(text, (error) => {
    isWritten = !error;
  });
  child.stdin?.end();
  const how = await ended;
  await atMost(restMs, closed);
  child.stderr?.destroy(); // a process that the program has left behind, as ssh does, may keep it open for ever
  lines.end();
  if (how === undefined && isWritten) return undefined;
  return { how: how ?? 'ended before it had read all of them', lastLine: lines.last };
}

function howItEnded(code: number | null, signal: NodeJS.Signals | null): string {
  return code === null ? `was ended by ${signal}` : `ended with the exit code ${code}`;
}

function notStarted(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'cannot be started: there is no such program';
  if (code === 'EACCES') return 'cannot be started: this user may not execute it';
  return `cannot be started: ${message}`;
}

/** Resolves when `promise` does, or else after so long. */
function atMost(durationMs: number, promise: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, durationMs);
    void promise.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

// A program may write without end and without a newline, so that a line is cut here.
const longestLine = 4_096;

/** Makes lines of the parts of a text as they come. */
class Lines {
  /** The last line that is not empty. */
  last: string | undefined;
  #rest = '';
  readonly #onLine: (line: string) => void;

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  add(chunk: string): void {
    const lines = (this.#rest + chunk).split(/\r?\n/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#give(line);
    if (this.#rest.length > longestLine) this.end();
  }

  /** Gives what stands behind the last newline. */
  end(): void {
    if (this.#rest !== '') this.#give(this.#rest);
    this.#rest = '';
  }

  #give(line: string): void {
    const shown = line.length > longestLine ? `${line.slice(0, longestLine)}…` : line;
    if (shown.trim() !== '') this.last = shown.trim();
    this.#onLine(shown);
  }
}
