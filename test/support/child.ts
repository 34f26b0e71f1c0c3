// Processes beside the test's own. Each runs a file of test/support/ whose name ends in -worker.ts; such a file does
// nothing without an argument, because a bare `node --test` runs it as well.
import { type ChildProcess, spawn } from 'node:child_process';
import { readSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

/** Writes a line to the parent. Synchronous: what the parent has read had happened when it was written. */
export function tell(line: string): void {
  writeSync(1, `${line}\n`);
}

/** Waits, without an event loop, for the parent's next word (or its end). */
export function waitForParent(): void {
  readSync(0, Buffer.alloc(1), 0, 1, null);
}

/**
 * The environment for a process whose system calls count, or of which there are many: no coverage that it writes, no
 * options of the test runner's, and modules that are compiled already (compile-cache.ts).
 */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const { NODE_V8_COVERAGE: _coverage, NODE_OPTIONS: _options, NODE_TEST_CONTEXT: _context, ...rest } = process.env;
  const { SHEPHERD_COMPILE_CACHE: cache } = rest;
  return cache === undefined ? rest : { ...rest, NODE_COMPILE_CACHE: cache };
}

/** The path of a worker's file. */
export function workerFile(name: string): string {
  return fileURLToPath(new URL(`${name}-worker.ts`, import.meta.url));
}

/** A worker in a process of its own, killed at the latest when the test ends. */
export class Worker {
  /** Every line that the worker has told so far. */
  readonly lines: string[] = [];
  readonly #process: ChildProcess;
  readonly #ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #waiting: { count: number; resolve: () => void }[] = [];
  #errors = '';

  /** `command` stands before the worker's own: a program that runs or watches it. */
  constructor(
    t: TestContext,
    name: string,
    args: readonly string[],
    { command = [] as readonly string[], env = process.env } = {},
  ) {
    const [program, ...rest] = [...command, process.execPath, workerFile(name), ...args];
    this.#process = spawn(program!, rest, { stdio: ['pipe', 'pipe', 'pipe'], env });
    this.#process.stderr!.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
    this.#process.stdin!.on('error', () => {}); // it may have been killed before it read
    createInterface({ input: this.#process.stdout! }).on('line', (line) => {
      this.lines.push(line);
      this.#wake();
    });
    this.#ended = new Promise((resolve, reject) => {
      this.#process.on('error', reject).on('close', (code, signal) => {
        resolve({ code, signal });
        this.#wake(Infinity);
      });
    });
    this.#ended.catch(() => {}); // whoever asks for the end gets the error
    // Not by after: one that fails, such as the check of the folder, keeps those behind it from running.
    t.signal.addEventListener('abort', () => this.kill());
  }

  #wake(reached = this.lines.length): void {
    for (const waiting of this.#waiting) if (waiting.count <= reached) waiting.resolve();
  }

  /** Until the worker has told so many lines, or has ended. */
  async told(count: number): Promise<void> {
    if (this.lines.length >= count) return;
    await Promise.race([this.#ended, new Promise<void>((resolve) => this.#waiting.push({ count, resolve }))]);
  }

  /** Lets the worker go on from `waitForParent`. */
  go(): void {
    this.#process.stdin!.write('.');
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  /** How it ended, when everything that it told has been read. */
  async end(): Promise<{ code: number | null; signal: NodeJS.Signals | null; errors: string }> {
    return { ...(await this.#ended), errors: this.#errors };
  }

  /** Everything it told. Rejects, with what it wrote to stderr, unless it ended well. */
  async result(): Promise<string[]> {
    const { code, signal, errors } = await this.end();
    if (code !== 0) throw new Error(`the worker ended with ${signal ?? code}: ${errors}`);
    return this.lines;
  }
}
