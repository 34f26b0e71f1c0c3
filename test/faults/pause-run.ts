// One process stands still after one of its system calls, another does its work from beginning to end, the first
// goes on.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { plainEnvironment } from '../support/child.ts';
import { type Account, copyAsKilled, type Pair, problemsOf, remains } from './pause-check.ts';
import { copyState, makeState, type StartingState } from './pause-states.ts';
import { type Job, type Library, loadLibrary, type Told } from './pause-tasks.ts';

/** What the first process does, and in which state of the folder. */
export const firsts: Record<string, { state: string; task: string }> = {
  new: { state: 'new', task: 'open' },
  sound: { state: 'sound', task: 'open' },
  crashed: { state: 'crashed', task: 'open' },
  damaged: { state: 'damaged', task: 'recover' },
  behind: { state: 'behind', task: 'open' },
  write: { state: 'sound', task: 'write' },
  snapshot: { state: 'sound', task: 'snapshot' },
  close: { state: 'sound', task: 'close' },
  look: { state: 'sound', task: 'look' },
  restore: { state: 'sound', task: 'restore' },
  rebuild: { state: 'ledger alone', task: 'rebuild' },
  attach: { state: 'sound', task: 'attach' },
  detach: { state: 'mirrored', task: 'detach' },
  mirrored: { state: 'mirrored', task: 'write' },
  migrate: { state: 'sound', task: 'migrate' },
};

/** Nobody takes so long. */
const hangMs = 30_000;

/**
 * Sleep that takes no time. While the other one stands still nothing changes, however long a process waits for it; and
 * SQLite, which counts what it has slept and looks at no clock, tries for ten seconds to read a -wal that is locked.
 */
const sleepless = [
  'strace', '--follow-forks', '--seccomp-bpf', '--quiet=all', '--output=/dev/null',
  '--trace=nanosleep,clock_nanosleep', '--inject=nanosleep,clock_nanosleep:retval=0',
];

class Hang extends Error {}

/** A process that does one job after the other. */
class Worker {
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: AsyncIterator<string>;
  #errors = '';

  constructor(root: URL, before: readonly string[] = []) {
    const file = fileURLToPath(new URL('pause-worker.ts', import.meta.url));
    const [command, ...args] = [...before, process.execPath, '--disable-warning=ExperimentalWarning', file, root.href];
    // A group of its own: strace does not take along what it has started.
    this.#process = spawn(command!, args, { env: plainEnvironment(), stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    this.#process.stdin.on('error', () => {}); // whoever reads from it hears of its end
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#process.pid!;
  }

  begin(job: Job): void {
    this.#process.stdin.write(`${JSON.stringify(job)}\n`);
  }

  /** Lets it go on from where it waits. */
  go(): void {
    this.#process.stdin.write('.');
  }

  async next(): Promise<Told> {
    const timer = new AbortController();
    const line = await Promise.race([this.#lines.next(), sleep(hangMs, undefined, timer)]);
    timer.abort();
    if (line === undefined) throw new Hang('did not end');
    if (line.done) throw new Error(`a process ended: ${this.#errors}`);
    return JSON.parse(line.value) as Told;
  }

  /** Everything up to a message of one of these kinds, which is the last. */
  async until(into: Told[], ...kinds: Told['is'][]): Promise<Told['is']> {
    for (;;) {
      const told = await this.next();
      into.push(told);
      if (kinds.includes(told.is)) return told.is;
    }
  }

  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    process.kill(-this.pid, 'SIGKILL');
    await once(this.#process, 'exit');
  }
}

// All by which a process learns something of a file, changes it or locks it. A shared mapping of the -shm is changed
// without one of them, between two locks.
const calls = 'open,openat,creat,stat,lstat,fstat,newfstatat,statx,access,faccessat,faccessat2,getdents64,'
  + 'read,pread64,readv,preadv,write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,fallocate,copy_file_range,'
  + 'fcntl,close,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,'
  + 'chmod,fchmod,fchmodat,chown,fchown,fchownat';

/** strace, attached to the main thread of a process. Its other threads only read the backup and write copies of it. */
class Tracer {
  readonly #process: ChildProcessByStdio<null, null, Readable>;
  readonly lines: string[] = [];
  readonly attached: Promise<void>;
  readonly stopped: Promise<'stopped'>;

  /** The process stops when that call has returned: a signal that is given at its entry arrives at its end. */
  constructor(pid: number, at?: Moment) {
    const inject = at === undefined ? [] : [`--inject=${at.call}:signal=SIGSTOP:when=${at.nth}`];
    const args = [`--attach=${pid}`, '--decode-fds=path', '--string-limit=0', `--trace=${calls}`, ...inject];
    this.#process = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const attached = Promise.withResolvers<void>();
    const stopped = Promise.withResolvers<'stopped'>();
    this.#process.on('error', attached.reject);
    this.#process.on('close', () => attached.reject(new Error(`strace ended: ${this.lines}`)));
    createInterface({ input: this.#process.stderr }).on('line', (line) => {
      this.lines.push(line);
      if (line.endsWith(' attached')) attached.resolve();
      if (line.includes('stopped by SIGSTOP')) stopped.resolve('stopped');
    });
    this.attached = attached.promise;
    this.attached.catch(() => {});
    this.stopped = stopped.promise;
  }

  async detach(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const closed = once(this.#process, 'close');
    this.#process.kill('SIGTERM');
    await closed;
  }

  /** The calls that are about a folder, in their order. strace counts those of each name by themselves. */
  moments(folder: string): (Moment & { text: string })[] {
    const counts = new Map<string, number>();
    const found = this.lines.flatMap((line) => {
      const call = /^(\w+)\(/.exec(line)?.[1];
      if (call === undefined) return [];
      const nth = (counts.get(call) ?? 0) + 1;
      counts.set(call, nth);
      return [{ call, nth, text: line }];
    });
    const ours = found.filter(({ text }) => text.includes(folder));
    const within = (text: string): string => text.replaceAll(`${folder}/`, '');
    return ours.map(({ call, nth, text }, index) => ({ call, nth, index: index + 1, text: within(text) }));
  }
}

/** A moment of the first process: after the nth call of a name, which is its `index`th that is about the folder. */
export interface Moment {
  call: string;
  nth: number;
  index: number;
}

export interface Result {
  pair: Pair;
  index: number;
  /** The call after which it stood still; absent where it had ended before. */
  after: string | undefined;
  problems: string[];
}

/** Runs pairs one after the other, with one process for each side, in folders under `work`. */
export class Stage {
  readonly #work: string;
  readonly #root: URL;
  readonly #library: Library;
  readonly #states = new Map<string, StartingState>();
  #first: Worker | undefined;
  #second: Worker | undefined;
  #count = 0;

  static async make(work: string, root: URL): Promise<Stage> {
    return new Stage(work, root, await loadLibrary(root));
  }

  private constructor(work: string, root: URL, library: Library) {
    this.#work = work;
    this.#root = root;
    this.#library = library;
  }

  async end(): Promise<void> {
    await Promise.all([this.#first?.kill(), this.#second?.kill()]);
    this.#first = this.#second = undefined;
  }

  #prepare(first: string): { folder: string; state: StartingState } {
    const name = firsts[first]!.state;
    const template = join(this.#work, name);
    let state = this.#states.get(name);
    if (!state) this.#states.set(name, state = makeState(this.#library, name, template));
    const folder = join(this.#work, `run-${++this.#count}`);
    copyState(template, folder);
    return { folder, state };
  }

  /** Begins the first one's job; it waits with all prepared. */
  async #begin(first: string, folder: string, ledger: boolean, told: Told[]): Promise<Worker> {
    const worker = (this.#first ??= new Worker(this.#root));
    worker.begin({ side: 'first', task: firsts[first]!.task, folder, ledger });
    const last = await worker.until(told, 'ready', 'end');
    if (last === 'end') throw new Error(`${first} cannot begin: ${JSON.stringify(told)}`);
    return worker;
  }

  /** Lets the first one's job go on to its end; `onWritten` may look at what a kill would leave then. */
  async #finish(worker: Worker, told: Told[], onWritten: () => Promise<void>): Promise<void> {
    for (;;) {
      const last = told.at(-1)!.is;
      if (last === 'end') return;
      if (last === 'written') await onWritten();
      if (last === 'done' || last === 'written') worker.go();
      await worker.until(told, 'done', 'written', 'end');
    }
  }

  /** The moments of a first process with nobody beside it. Twice: the first time it does something it loads more. */
  async momentsOf(first: string): Promise<Moment[]> {
    let moments: Moment[] = [];
    for (let round = 0; round < 2; round++) {
      const { folder, state } = this.#prepare(first);
      const told: Told[] = [];
      const worker = await this.#begin(first, folder, state.ledger, told);
      const tracer = new Tracer(worker.pid);
      await tracer.attached;
      worker.go();
      await worker.until(told, 'done', 'end');
      await tracer.detach();
      await this.#finish(worker, told, async () => {});
      moments = tracer.moments(folder);
      rmSync(folder, { recursive: true });
    }
    return moments;
  }

  /**
   * One pair at one moment. Calls that other threads make it do count too, so that it may stop at another moment: it
   * tries again then, unless something is wrong there.
   */
  async run(pair: Pair, moment: Moment): Promise<Result> {
    for (let attempt = 1; ; attempt++) {
      const result = await this.#runOnce(pair, moment);
      const isThere = result.after !== undefined && result.index === moment.index;
      if (isThere || result.problems.length > 0 || attempt === 3) return result;
    }
  }

  async #runOnce(pair: Pair, moment: Moment): Promise<Result> {
    const { folder, state } = this.#prepare(pair.first);
    const account: Account = { pair, state, first: [], second: [] };
    let tracer: Tracer | undefined;
    try {
      const worker = await this.#begin(pair.first, folder, state.ledger, account.first);
      tracer = new Tracer(worker.pid, moment);
      await tracer.attached;
      worker.go();
      const ended = worker.until(account.first, 'done', 'end');
      const isStopped = (await Promise.race([tracer.stopped, ended])) === 'stopped';
      const last = isStopped ? tracer.moments(folder).at(-1) : undefined;
      await this.#runSecond({ side: 'second', task: pair.second, folder, ledger: state.ledger }, account.second);
      await tracer.detach();
      process.kill(worker.pid, 'SIGCONT'); // also where the call was the one by which it waits behind its task
      await ended;
      const problems: string[] = [];
      await this.#finish(worker, account.first, async () => {
        copyAsKilled(folder, `${folder}-killed`);
        const found = await remains(account, `${folder}-killed`);
        problems.push(...found.map((problem) => `killed before its end: ${problem}`));
      });
      problems.unshift(...(await problemsOf(account, folder)));
      return { pair, index: last?.index ?? moment.index, after: last?.text, problems };
    } catch (error) {
      await tracer?.detach();
      await this.end();
      const problem = error instanceof Hang ? `a process ${error.message}` : String((error as Error).stack);
      return { pair, index: moment.index, after: undefined, problems: [problem] };
    } finally {
      rmSync(folder, { recursive: true, force: true });
      rmSync(`${folder}-killed`, { recursive: true, force: true });
    }
  }

  async #runSecond(job: Job, told: Told[]): Promise<void> {
    const worker = (this.#second ??= new Worker(this.#root, sleepless));
    worker.begin(job);
    await worker.until(told, 'end');
  }
}
