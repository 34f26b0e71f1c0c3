// What a process asked of the system, as strace wrote it down.
import { readFileSync } from 'node:fs';

export interface SystemCall {
  name: string;
  /** Which call of its name it is, counted from 1 as `--inject=…:when=` counts: each thread's by themselves. */
  nth: number;
  /** The file that the call is about: of its descriptor, or its last path. */
  path: string;
  /** The arguments as strace writes them. */
  args: string;
  result: number;
}

/**
 * The command that traces another: all threads, descriptors with their paths. It is left out where there is no strace.
 */
export function tracing(output: string, calls: readonly string[], ...more: readonly string[]): string[] {
  return [
    'strace',
    '--follow-forks',
    '--quiet=all',
    '--decode-fds=path',
    '--string-limit=40',
    `--output=${output}`,
    `--trace=${calls.join()}`,
    ...more,
  ];
}

/** The calls in the order in which they began; one that a kill cut short has the result NaN. */
export function readTrace(output: string): SystemCall[] {
  const calls: SystemCall[] = [];
  const open = new Map<string, SystemCall>();
  const counts = new Map<string, number>();
  for (const line of readFileSync(output, 'utf8').split('\n')) {
    const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)?.[1];
    const [, name, text = ''] = resumed === undefined ? (/^(\w+)\((.*)$/.exec(rest) ?? []) : [, undefined, resumed];
    const nth = (counts.get(`${thread} ${name}`) ?? 0) + 1;
    const call = name === undefined ? open.get(thread) : { name, nth, path: '', args: '', result: NaN };
    if (!call) continue; // a signal, or the end of a thread
    if (name !== undefined) {
      calls.push(call);
      counts.set(`${thread} ${name}`, nth);
    }
    open.set(thread, call);
    const [, args = '', result] = /^(.*?)(?: <unfinished \.\.\.>|\) += (-?\d+|\?).*)$/.exec(text) ?? [];
    call.args += args;
    if (result !== undefined) call.result = Number(result === '?' ? NaN : result);
    call.path =
      /^\d+<([^>]*)>/.exec(call.args)?.[1] ?? [...call.args.matchAll(/"((?:[^"\\]|\\.)*)"/g)].at(-1)?.[1] ?? '';
  }
  return calls;
}
