// The command `shepherd-store` on a terminal of its own, which script(1) makes: what is on its screen, and what a
// person types.
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { plainEnvironment } from './child.ts';
import { program } from './cli-child.ts';

export interface Size {
  columns: number;
  rows: number;
}

/** A terminal on which the command runs, killed at the latest when the test ends. */
export class Terminal {
  /** All that was written to the terminal. */
  output = '';
  /** The exit code of the command, once it has ended. */
  readonly ended: Promise<number>;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #notes: string;

  /** `notes` is the beginning of the names of files in which the terminal's own settings are noted. */
  constructor(t: TestContext, notes: string, argv: readonly string[], { columns, rows }: Size) {
    this.#notes = notes;
    const code = `
      stty cols ${columns} rows ${rows}; tty > "$NOTES.tty"; stty -g > "$NOTES.before"
      sh -c 'echo $$ > "$NOTES.pid"; exec "$@"' sh "$NODE" "$MAIN" ${argv.map((each) => `'${each}'`).join(' ')}
      echo $? > "$NOTES.code"; stty -g > "$NOTES.after"`;
    const env: NodeJS.ProcessEnv = {
      ...plainEnvironment(), NOTES: notes, NODE: process.execPath, MAIN: program, TERM: 'xterm-256color', TZ: 'UTC',
      SHELL: '/bin/sh',
    };
    for (const name of ['CI', 'NO_COLOR', 'FORCE_COLOR', 'NODE_DISABLE_COLORS']) delete env[name];
    this.#child = spawn('script', ['-qfec', code, '/dev/null'], { env });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.#child.stdin.on('error', () => {}); // it may have ended before it read
    this.ended = new Promise((resolve) => {
      this.#child.once('close', () => resolve(existsSync(`${notes}.code`) ? Number(this.#note('code')) : NaN));
    });
    t.signal.addEventListener('abort', () => this.#child.kill('SIGKILL')); // not by after, as in child.ts
  }

  #note(name: string): string {
    return readFileSync(`${this.#notes}.${name}`, 'utf8').trim();
  }

  /** The lines that were drawn last, without their colours. */
  get screen(): string[] {
    const frame = this.output.split('\x1b[H').at(-1)!.split('\x1b[J')[0]!.split('\x1b[?7h')[0]!;
    return stripVTControlCharacters(frame).split(/\r+\n/);
  }

  /** Waits until the screen is as is asked for, for a minute at most. */
  async shows(pattern: RegExp): Promise<void> {
    for (const begun = performance.now(); !pattern.test(this.screen.join('\n')); await sleep(20)) {
      assert.ok(performance.now() - begun < 60_000, `${pattern}: ${this.screen.join('\n')}`);
    }
  }

  type(keys: string): void {
    this.#child.stdin.write(keys);
  }

  resize({ columns, rows }: Size): void {
    spawnSync('stty', ['-F', this.#note('tty'), 'cols', String(columns), 'rows', String(rows)]);
  }

  kill(signal: NodeJS.Signals): void {
    process.kill(Number(this.#note('pid')), signal);
  }

  /** Checks that the terminal is as it was before the command. */
  assertRestored(): void {
    const last = (pattern: RegExp): string | undefined => [...this.output.matchAll(pattern)].at(-1)?.[0];
    assert.equal(last(/\x1b\[\?1049[hl]/g), '\x1b[?1049l');
    assert.equal(last(/\x1b\[\?25[hl]/g), '\x1b[?25h');
    assert.equal(last(/\x1b\[\?7[hl]/g), '\x1b[?7h');
    assert.equal(this.#note('after'), this.#note('before'));
  }
}
