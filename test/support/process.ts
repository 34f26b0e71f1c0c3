// Other processes that run a few lines of code given by the test: for what one process cannot show, such as being
// killed, being somebody else, or two at once.
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { plainEnvironment } from './child.ts';

/** What the code may use, beside `SqliteStore`, `connect`, `DatabaseSync`, `fs` and the `path` that it was given. */
const helpers = `
const path = process.argv[1];
const report = (value) => fs.writeSync(1, JSON.stringify(value ?? null) + '\\n');
const codeOf = (fn) => { try { fn(); return 'no error'; } catch (error) { return error.code ?? String(error); } };
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const told = async () => (await lines.next()).value;
const die = () => process.kill(process.pid, 'SIGKILL');
const become = (uid) => {
  if (process.getuid() !== 0) return;
  process.setgroups([]);
  process.setgid(uid);
  process.setuid(uid);
};
`;

/** A user who owns nothing here. The process becomes it by itself: that user may not even reach node's own folder. */
export const nobody = 65_534;

interface Settings {
  /** Who to be, once everything is loaded; only where the tests run as root. */
  uid?: number;
  umask?: number;
  /**
   * Runs where it may mount: in a mount namespace of its own, and in a user namespace too where mounting is refused
   * otherwise.
   */
  unshared?: boolean;
  /** What stands before Node's own command. */
  before?: string[];
  /** Options of Node's own. */
  nodeOptions?: string[];
  /** The folder that the package is loaded from. */
  root?: URL;
}

function commandOf(path: string, code: string, settings: Settings): [string, string[]] {
  const { uid, umask, unshared, before = [], nodeOptions = [], root = new URL('../../', import.meta.url) } = settings;
  const source = `
    import fs from 'node:fs';
    import { createInterface } from 'node:readline';
    import { DatabaseSync } from 'node:sqlite';
    import { SqliteStore } from '${new URL('lib/index.ts', root).href}';
    import { connect } from '${new URL('lib/store.ts', root).href}';
    ${helpers}
    ${umask === undefined ? '' : `process.umask(${umask});`}
    ${uid === undefined ? '' : `become(${uid});`}
    ${code}
    process.stdin.destroy();`;
  const [command, ...args] = [
    ...(unshared ? unsharing() : []),
    ...before,
    process.execPath,
    ...nodeOptions,
    '--input-type=module',
    '--eval',
    source,
    path,
  ];
  return [command!, args];
}

let mayMount: boolean | undefined;

/**
 * The command that gives a mount namespace in which mounting works. Whoever runs it fails where both ways are refused.
 */
export function unsharing(): string[] {
  mayMount ??= spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0;
  return mayMount ? ['unshare', '-m'] : ['unshare', '-Urm'];
}

/** Runs `code` in another process to its end and gives the values that it reported. */
export function run(path: string, code: string, settings: Settings = {}): unknown[] {
  const [command, args] = commandOf(path, code, settings);
  const { status, signal, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    input: '',
    env: plainEnvironment(),
  });
  assert.ok(status === 0 || signal === 'SIGKILL', `the process failed (${status}): ${stderr}`);
  return stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as unknown);
}

/** A process to talk to: it reports values, and is told lines, for which it waits by `await told()`. */
export class Companion {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  #errors = '';

  constructor(t: TestContext, path: string, code: string, settings: Settings = {}) {
    this.#process = spawn(...commandOf(path, code, settings), { env: plainEnvironment() });
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
    t.signal.addEventListener('abort', () => this.kill()); // not by after, as in child.ts
  }

  /** The next value that the process reports. */
  async next(): Promise<unknown> {
    const line = await this.#lines.next();
    assert.ok(!line.done, `the process ended: ${this.#errors}`);
    return JSON.parse(line.value) as unknown;
  }

  tell(line: string): void {
    this.#process.stdin.write(`${line}\n`);
  }

  /** Tells it something and gives what it reports then. */
  async ask(line: string): Promise<unknown> {
    this.tell(line);
    return this.next();
  }

  /** Waits for its own end. */
  async end(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await once(this.#process, 'exit');
    assert.equal(this.#process.exitCode, 0, this.#errors);
  }

  /** Nothing of it runs any more. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }
}
