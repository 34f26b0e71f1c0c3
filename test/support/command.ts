// The command `shepherd-store`, called in this process: what it writes and its exit code.
import { Writable } from 'node:stream';
import { WriteStream } from 'node:tty';
import { main } from '../../lib/cli/program.ts';

// What Node asks before it colours, as a person's terminal has it: on a build server (CI) no terminal has colours.
for (const name of ['CI', 'NO_COLOR', 'FORCE_COLOR', 'NODE_DISABLE_COLORS']) delete process.env[name];
process.env['TERM'] = 'xterm-256color';

/** What a call gave. */
export interface Said {
  code: number;
  out: string;
  err: string;
}

/** How to call it; `terminal` makes both streams one with so many columns. */
export interface Calling {
  terminal?: number;
  clock?: () => Date;
  signal?: AbortSignal;
}

class Screen extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

function screen(columns: number | undefined): Screen {
  if (columns === undefined) return new Screen();
  return Object.assign(new Screen(), {
    isTTY: true,
    columns,
    getColorDepth: () => WriteStream.prototype.getColorDepth.call(process.stdout),
  });
}

/** Calls the command in this process. */
export async function shepherd(argv: readonly string[], { terminal, clock, signal }: Calling = {}): Promise<Said> {
  const [stdout, stderr] = [screen(terminal), screen(terminal)];
  const code = await main(argv, {
    stdout,
    stderr,
    ...(clock ? { clock } : undefined),
    ...(signal ? { signal } : undefined),
  });
  return { code, out: stdout.text, err: stderr.text };
}

/** One pattern of several that follow each other: for what is too long for one line. */
export function pattern(...parts: readonly RegExp[]): RegExp {
  return new RegExp(parts.map(({ source }) => source).join(''));
}
