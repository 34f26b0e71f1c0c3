// The command `shepherd-store` in a process of its own, which goes on until something ends it.
import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { plainEnvironment } from './child.ts';

/** The file that starts the command. */
export const program: string = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));

/** A call of the command, killed at the latest when the test ends. */
export class RunningCommand {
  out = '';
  err = '';
  /** The exit code or the signal. */
  readonly ended: Promise<number | string | null>;
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;

  /** `before` stands before the command: a program that watches it. */
  constructor(
    t: TestContext, argv: readonly string[], { before = [] as readonly string[], env = {} as NodeJS.ProcessEnv } = {},
  ) {
    const [file, ...args] = [...before, process.execPath, program, ...argv];
    const stdio = ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe'];
    this.#child = spawn(file!, args, { stdio, env: { ...plainEnvironment(), ...env } });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => (this.out += text));
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => (this.err += text));
    this.ended = new Promise((resolve) => this.#child.once('close', (code, signal) => resolve(code ?? signal)));
    t.signal.addEventListener('abort', () => this.kill('SIGKILL')); // not by after, as in child.ts
  }

  /** What it wrote to stdout, a JSON document a line; a line without its end is just being written. */
  get documents(): Record<string, unknown>[] {
    return this.out.split('\n').slice(0, -1).map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Waits until something holds of it, for a minute at most. */
  async until(holds: (command: this) => boolean): Promise<void> {
    for (const begun = performance.now(); !holds(this); await sleep(10)) {
      assert.ok(performance.now() - begun < 60_000, `it said: ${this.out.slice(-2_000)}\n${this.err.slice(-2_000)}`);
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it as an operator does, and gives how it ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string | null> {
    this.kill(signal);
    return this.ended;
  }
}
