// What a child process did to the files of one folder, and what it acknowledged, in the order in which it happened:
// recorded by strace, with the bytes. Whatever could change a file in a way that the harness does not know ends the
// recording.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import { plainEnvironment } from '../support/child.ts';

/** One step of the child's. Paths are absolute. */
export type Operation =
  | { type: 'create' | 'mkdir' | 'unlink' | 'rmdir'; path: string }
  | { type: 'write'; path: string; offset: number | 'end'; data: Buffer }
  | { type: 'copy'; path: string; offset: number; from: string; fromOffset: number; length: number }
  | { type: 'truncate' | 'extend'; path: string; size: number }
  | { type: 'rename' | 'link'; from: string; path: string }
  | { type: 'sync'; path: string; failed: boolean }
  | { type: 'acknowledge'; text: string };

/** Cannot change what is in a file, or the names in a folder. Everything else is recorded, and must be known below. */
const harmless = [
  '%signal', '%clock', '%creds', '%stat', '%lstat', '%fstat', '%statfs', '%fstatfs', '%net', 'read', 'pread64',
  'readv', 'preadv', 'futex', 'mprotect', 'munmap',
  'brk', 'madvise', 'close', 'fcntl', 'ioctl', 'getdents64', 'getcwd', 'readlink', 'readlinkat', 'access',
  'faccessat', 'faccessat2', 'statx', 'fadvise64',
  'epoll_create1', 'epoll_ctl', 'epoll_wait', 'epoll_pwait', 'epoll_pwait2', 'poll', 'ppoll', 'eventfd2', 'pipe2',
  'timerfd_create', 'timerfd_settime',
  'sched_yield', 'sched_getaffinity', 'sched_setaffinity', 'sched_getparam', 'sched_getscheduler',
  'sched_setscheduler', 'nanosleep', 'clock_nanosleep',
  'sysinfo', 'uname', 'getrandom', 'prctl', 'arch_prctl', 'prlimit64', 'getrlimit', 'getrusage', 'rseq',
  'set_robust_list', 'set_tid_address', 'membarrier',
  'restart_syscall', 'getpid', 'gettid', 'getppid', 'getpriority', 'setpriority', 'exit', 'exit_group', 'clone',
  'clone3', 'pkey_alloc', 'pkey_mprotect',
  'flock', 'mlock', 'munlock', 'mincore',
  'execve', 'mremap', 'umask', 'dup', 'dup2', 'dup3',
  'inotify_init1', 'inotify_add_watch', 'inotify_rm_watch',
  // Modes, owners and times are no content.
  'chmod', 'fchmod', 'fchmodat', 'chown', 'fchown', 'lchown', 'fchownat', 'utimensat',
];

export interface Recording {
  /** `folder` is watched; `inject` is an argument of strace's that makes a call fail. */
  folder: string;
  command: readonly string[];
  inject?: string | undefined;
  env?: Record<string, string>;
  /** Where strace writes; outside of the folder. */
  output: string;
  /** Whether the child ends by killing itself. */
  killed?: boolean;
}

/** Runs a command and gives what it did in the folder. Rejects where it failed, or did something that is not known. */
export async function record({
  folder,
  command,
  inject,
  env,
  output,
  killed = false,
}: Recording): Promise<Operation[]> {
  const options = [
    '-f',
    '-qq',
    '-xx',
    '-y',
    '-s',
    '16777216',
    '--seccomp-bpf',
    '-o',
    output,
    `--trace=!${harmless.join()}`,
  ];
  // Without io_uring, whose requests no tracer sees; libuv then does without.
  const refused = ['--inject=io_uring_setup:error=ENOSYS', ...(inject === undefined ? [] : [`--inject=${inject}`])];
  const child = spawn('strace', [...options, ...refused, ...command], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...plainEnvironment(), ...env },
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (killed ? signal !== 'SIGKILL' : code !== 0)
    throw new Error(`${command.join(' ')} ended with ${signal ?? code}: ${errors}`);
  return new TraceReader(folder).read(readFileSync(output, 'latin1'));
}

const readOnly = /O_RDONLY/;

/** The descriptors of one process, and what is done through them. */
class TraceReader {
  readonly #folder: string;
  readonly #offsets = new Map<string, number | 'end'>();
  readonly #open = new Map<string, string>();
  readonly #operations: Operation[] = [];
  #told = '';

  constructor(folder: string) {
    this.#folder = folder;
  }

  read(text: string): Operation[] {
    for (const line of text.split('\n')) {
      const [, thread = '', rest = ''] = /^(\d+) +([^]*)$/.exec(line) ?? [];
      if (rest === '' || rest.startsWith('+++') || rest.startsWith('---')) continue;
      const resumed = /^<\.\.\. \w+ resumed>/.exec(rest)?.[0];
      const whole = resumed === undefined ? rest : (this.#open.get(thread) ?? '') + rest.slice(resumed.length);
      // The effect is there when the call has ended, which is also when its thread can go on.
      if (whole.endsWith(' <unfinished ...>')) this.#open.set(thread, whole.slice(0, -' <unfinished ...>'.length));
      else this.#call(whole);
    }
    return this.#operations;
  }

  #call(line: string): void {
    const paren = line.indexOf('(');
    const end = /\)\s+= (-?\d+|0x[0-9a-f]+|\?)(.*)$/.exec(line.slice(Math.max(0, line.length - 4_000)));
    if (paren < 0 || !end) throw new Error(`a line of the trace that is none of a call: ${line.slice(0, 200)}`);
    const name = line.slice(0, paren);
    const args = line.slice(paren + 1, line.length - end[0].length);
    const result = Number(end[1] === '?' ? NaN : end[1]);
    if (args.includes('"...')) throw new Error(`${name} wrote more than is recorded`);
    this.#known(name, args, result);
  }

  #known(name: string, args: string, result: number): void {
    switch (name) {
      case 'open':
      case 'openat':
      case 'creat':
        return this.#opened(name, args, result);
      case 'write':
      case 'pwrite64':
        return this.#wrote(args, result, name === 'pwrite64');
      case 'writev':
      case 'pwritev':
        return this.#wrote(args, result, name !== 'writev');
      case 'lseek':
        if (result >= 0) this.#offsets.set(args.slice(0, args.indexOf('<')), result);
        return;
      case 'ftruncate':
      case 'truncate':
        return this.#sized(
          'truncate',
          name === 'truncate' ? this.#paths(args).at(-1)! : this.#descriptor(args).path,
          Number(lastOf(args)),
          result,
        );
      case 'fallocate': {
        if (!/>, 0, /.test(args) && this.#isOurs(this.#descriptor(args).path)) throw unknown(name, args);
        const [offset, length] = args.split(', ').slice(-2).map(Number);
        return this.#sized('extend', this.#descriptor(args).path, offset! + length!, result);
      }
      case 'fsync':
      case 'fdatasync':
        return this.#push({ type: 'sync', path: this.#descriptor(args).path, failed: result !== 0 });
      case 'mkdir':
      case 'mkdirat':
        if (result === 0) this.#push({ type: 'mkdir', path: this.#paths(args).at(-1)! });
        return;
      case 'rmdir':
        if (result === 0) this.#push({ type: 'rmdir', path: this.#paths(args).at(-1)! });
        return;
      case 'unlink':
      case 'unlinkat':
        if (result === 0)
          this.#push({ type: args.includes('AT_REMOVEDIR') ? 'rmdir' : 'unlink', path: this.#paths(args).at(-1)! });
        return;
      case 'rename':
      case 'renameat':
      case 'renameat2':
      case 'link':
      case 'linkat': {
        if (/RENAME_EXCHANGE|RENAME_WHITEOUT|AT_EMPTY_PATH/.test(args)) throw unknown(name, args);
        const [from, path] = this.#paths(args).slice(-2);
        if (result === 0) this.#push({ type: name.startsWith('rename') ? 'rename' : 'link', from: from!, path: path! });
        return;
      }
      case 'sendfile':
      case 'copy_file_range':
        return this.#copied(name, args, result);
      case 'mmap':
        if (
          /PROT_WRITE/.test(args) &&
          /MAP_SHARED/.test(args) &&
          this.#isOurs(decode(args)) &&
          !/-shm>/.test(decode(args))
        )
          throw new Error(`a writable shared mapping: ${decode(args)}`);
        return;
      case 'io_uring_setup':
        if (result >= 0) throw new Error('the child got an io_uring, whose requests no tracer sees');
        return;
      default:
        throw unknown(name, args);
    }
  }

  #opened(name: string, args: string, result: number): void {
    if (!(result >= 0)) return;
    const path = this.#paths(args).at(-1)!;
    this.#offsets.set(String(result), /O_APPEND/.test(args) ? 'end' : 0);
    if (!this.#isOurs(path)) return;
    if (/O_TMPFILE|O_DIRECT\b/.test(args)) throw unknown(name, args);
    if (/O_CREAT/.test(args) || name === 'creat') this.#push({ type: 'create', path });
    if ((/O_TRUNC/.test(args) && !readOnly.test(args)) || name === 'creat')
      this.#push({ type: 'truncate', path, size: 0 });
  }

  #wrote(args: string, result: number, isAtOffset: boolean): void {
    const { fd, path } = this.#descriptor(args);
    if (!(result > 0)) return;
    const data = Buffer.concat([...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex]) => fromHex(hex!))).subarray(
      0,
      result,
    );
    if (fd === '1') return this.#acknowledged(data);
    if (!this.#isOurs(path)) return;
    if (data.length !== result) throw new Error(`a write of ${result} bytes has ${data.length} in the trace`);
    if (isAtOffset) return this.#push({ type: 'write', path, offset: Number(lastOf(args)), data });
    const offset = this.#offsets.get(fd) ?? 0;
    if (offset !== 'end') this.#offsets.set(fd, offset + result);
    this.#push({ type: 'write', path, offset, data });
  }

  /** The child tells a line by writing it to its standard output. */
  #acknowledged(data: Buffer): void {
    const lines = (this.#told + data.toString('utf8')).split('\n');
    this.#told = lines.pop()!;
    for (const text of lines) this.#operations.push({ type: 'acknowledge', text });
  }

  #copied(name: string, args: string, result: number): void {
    if (!(result > 0)) return;
    const [first, second] = [...args.matchAll(/(\d+)<((?:\\x[0-9a-f]{2})*)>, /g)].map(([, fd, hex]) => ({
      fd: fd!,
      path: fromHex(hex!).toString(),
    }));
    const [from, to] = name === 'sendfile' ? [second!, first!] : [first!, second!];
    if (!this.#isOurs(to.path)) return;
    const given = [...args.matchAll(/\[(\d+)\](?: => \[\d+\])?/g)].map(([, at]) => Number(at));
    const fromOffset = given[0] ?? this.#advance(from.fd, result);
    const offset = (name === 'sendfile' ? undefined : given[1]) ?? this.#advance(to.fd, result);
    this.#push({ type: 'copy', path: to.path, offset, from: from.path, fromOffset, length: result });
  }

  #advance(fd: string, by: number): number {
    const offset = this.#offsets.get(fd) ?? 0;
    if (offset === 'end') throw new Error('a copy to the end of a file');
    this.#offsets.set(fd, offset + by);
    return offset;
  }

  #sized(type: 'truncate' | 'extend', path: string, size: number, result: number): void {
    if (result === 0) this.#push({ type, path, size });
  }

  #descriptor(args: string): { fd: string; path: string } {
    const [, fd = '', path = '', gone = ''] = /^(\d+)<([^>]*)>(\(deleted\))?/.exec(args) ?? [];
    return { fd, path: gone === '' ? decode(path) : '' }; // what has no name any more cannot come back
  }

  /** Every path among the arguments, relative ones from the folder before them. */
  #paths(args: string): string[] {
    return [...args.matchAll(/(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:\\x[0-9a-f]{2})*)"/g)].map(([, folder, path]) =>
      resolve(decode(folder ?? ''), decode(path!)),
    );
  }

  #isOurs(path: string): boolean {
    return path === this.#folder || path.includes(this.#folder + sep);
  }

  #push(operation: Exclude<Operation, { type: 'acknowledge' }>): void {
    if (this.#isOurs(operation.path)) this.#operations.push(operation);
    else if ('from' in operation && this.#isOurs(operation.from)) throw new Error(`${operation.from} left the folder`);
  }
}

function unknown(name: string, args: string): Error {
  return new Error(`a system call that the model does not know: ${name}(${decode(args).slice(0, 300)})`);
}

function lastOf(args: string): string {
  return args.slice(args.lastIndexOf(',') + 1);
}

function fromHex(text: string): Buffer {
  return Buffer.from(text.replaceAll('\\x', ''), 'hex');
}

function decode(text: string): string {
  return text.replaceAll(/(?:\\x[0-9a-f]{2})+/g, (hex) => fromHex(hex).toString());
}
