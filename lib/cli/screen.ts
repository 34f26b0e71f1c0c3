// A screen of a terminal that is drawn again and again, and left as it was found.
import type { Io } from './command.ts';
import { cutLine, type Output, painter } from './text.ts';

// The alternate screen, so that what was there comes back; without the cursor, and without lines that go on below.
const enter = '\x1b[?1049h\x1b[?25l\x1b[?7l';
const leave = '\x1b[?7h\x1b[?25h\x1b[?1049l';

/** Some lines below a title. */
export interface Section {
  title: string;
  lines: readonly string[];
  /** Nobody expects all of them, so that nothing is said of those that are left out. */
  isOpen?: boolean;
  /** How few lines of it say anything; 1 by default. */
  least?: number;
  /** On a low screen it goes before the others do. */
  isSpared?: boolean;
}

/** The screen of `io.stdout`, from when it is made until it is closed. */
export class Screen {
  readonly #io: Io;
  readonly #draw: (size: { columns: number; rows: number }) => string[];
  readonly #onKey: (typed: Buffer | string) => void;
  readonly #onResize = (): void => this.draw();
  readonly #onExit = (): void => this[Symbol.dispose](); // a fault ends the process without what is disposed of
  #isOpen = true;

  /** `draw` gives the lines for a size; `quit` is called for q and Ctrl-C, which is a key as any other in raw mode. */
  constructor(io: Io, draw: (size: { columns: number; rows: number }) => string[], quit: () => void) {
    this.#io = io;
    this.#draw = draw;
    this.#onKey = (typed) => {
      if (/[qQ\x03]/.test(String(typed))) quit();
    };
    const { stdin, stdout } = io;
    if (stdin?.isTTY) {
      stdin.setRawMode?.(true);
      stdin.on('data', this.#onKey);
    }
    stdout.on('resize', this.#onResize);
    process.on('exit', this.#onExit);
    stdout.write(enter);
  }

  /** Draws it once more, by one write. */
  draw(): void {
    const { columns = 80, rows = 24 } = this.#io.stdout;
    const lines = this.#draw({ columns, rows }).slice(0, rows).map((line) => `\x1b[K${cutLine(line, columns)}`);
    // From the last line on everything is erased, and no newline scrolls the screen.
    if (this.#isOpen) this.#io.stdout.write(`\x1b[H${lines.join('\r\n')}${lines.length < rows ? '\r\n\x1b[J' : ''}`);
  }

  /** Leaves the terminal as it was found. */
  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    process.off('exit', this.#onExit);
    const { stdin, stdout } = this.#io;
    stdout.off('resize', this.#onResize);
    stdout.write(leave);
    if (!stdin?.isTTY) return;
    stdin.off('data', this.#onKey);
    stdin.setRawMode?.(false);
    stdin.pause(); // otherwise it would keep the process from ending
  }
}

/**
 * The lines of sections in so many lines of room. The longest ones are cut first, and say how many lines are left out;
 * then the gaps between them go, and then whole sections, the last of those first that can be spared.
 */
export function fitSections(stdout: Output, sections: readonly Section[], room: number): string[] {
  const there = sections.filter(({ lines }) => lines.length > 0);
  const least = (): number[] => there.map(({ lines, least: asked = 1 }) => Math.min(asked, lines.length));
  const height = (counts: readonly number[], gap: number): number => {
    return counts.reduce((sum, count) => sum + gap + 1 + count, 0);
  };
  while (there.length > 1 && height(least(), 0) > room) {
    const spared = there.findLastIndex(({ isSpared }) => isSpared);
    there.splice(spared, 1); // -1, the last one, where none can be spared
  }
  const fewest = least();
  const gap = height(fewest, 1) <= room ? 1 : 0;
  const counts = there.map(({ lines }) => lines.length);
  while (height(counts, gap) > room) {
    const most = Math.max(...counts.filter((count, index) => count > fewest[index]!));
    if (most < 0) break;
    counts[counts.findIndex((count, index) => count === most && count > fewest[index]!)]! -= 1;
  }
  const lines = there.flatMap((section, index) => [...(gap > 0 ? [''] : []), ...cut(stdout, section, counts[index]!)]);
  return lines.slice(0, Math.max(0, room));
}

/** The title of a section and so many lines, of which the last one says how many more there are. */
function cut(stdout: Output, { title, lines, isOpen }: Section, count: number): string[] {
  const paint = painter(stdout);
  if (isOpen || count === lines.length) return [paint('bold', title), ...lines.slice(0, count)];
  const more = (shown: number): string => paint('dim', `  … ${lines.length - shown} more`);
  // The only line is not to be spent on that.
  if (count === 1) return [paint('bold', title) + more(1), lines[0]!];
  return [paint('bold', title), ...lines.slice(0, count - 1), more(count - 1)];
}
