// Measuring: medians of alternating batches, so that whatever else the machine does falls on both sides alike.
import { readFileSync } from 'node:fs';

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** How long `fn` takes, in milliseconds. */
export function timed(fn: () => void): number {
  const start = performance.now();
  fn();
  return performance.now() - start;
}

/** The medians, in microseconds an operation, of two things done in turn: the first in one batch begins, in the next the second. */
export function alternate(batches: number, size: number, first: (number: number) => unknown, second: (number: number) => unknown): [first: number, second: number] {
  const times: [number[], number[]] = [[], []];
  let numbers = [0, 0];
  const run = (side: 0 | 1): void => {
    const fn = side === 0 ? first : second;
    times[side].push(timed(() => {
      for (let count = 0; count < size; count++) fn(numbers[side]!++);
    }));
  };
  run(0); // warms up
  run(1);
  times[0].length = times[1].length = 0;
  for (let batch = 0; batch < batches; batch++) for (const side of batch % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) run(side);
  return [(median(times[0]) / size) * 1000, (median(times[1]) / size) * 1000];
}

/** How many bytes this process has handed to the system to write (Linux). */
export function bytesWritten(): number {
  return Number(/wchar: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}

/** Rows as text, the first column to the left and numbers to the right. */
export function table(rows: readonly Record<string, string | number>[]): string {
  const names = Object.keys(rows[0]!);
  const cells = [names, ...rows.map((row) => names.map((name) => String(row[name])))];
  const widths = names.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)));
  return cells.map((line) => `| ${line.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(' | ')} |`)
    .toSpliced(1, 0, `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`).join('\n');
}
