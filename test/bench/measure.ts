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

/** A value of our side and the same of the other; absent where there is no other. */
export type Pair = [ours: number, theirs: number | undefined];

/** The medians of what both give when they are asked in turn: the first begins in one round, in the next the second. */
export function inTurn(rounds: number, ours: () => number, theirs: (() => number) | undefined): Pair {
  const values: [number[], number[]] = [[], []];
  const sides = theirs ? ([[0, ours], [1, theirs]] as const) : ([[0, ours]] as const);
  for (const [, ask] of sides) ask(); // warms up
  for (let round = 0; round < rounds; round++) {
    for (const [side, ask] of round % 2 === 0 ? sides : sides.toReversed()) values[side].push(ask());
  }
  return [median(values[0]), theirs && median(values[1])];
}

/** How often each thing is done: so many batches of so many. */
export interface Repeats {
  batches: number;
  size: number;
}

/**
 * The medians, in microseconds an operation, of two things done in alternating batches. Each call gets the next number.
 */
export function alternate(
  { batches, size }: Repeats,
  ours: (number: number) => unknown,
  theirs: ((number: number) => unknown) | undefined,
): Pair {
  const batchOf = (fn: (number: number) => unknown): (() => number) => {
    let number = 0;
    return () =>
      (timed(() => {
        for (let count = 0; count < size; count++) fn(number++);
      }) *
        1000) /
      size;
  };
  return inTurn(batches, batchOf(ours), theirs && batchOf(theirs));
}

/** How many bytes this process has handed to the system to write (Linux). */
export function bytesWritten(): number {
  return Number(/wchar: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}

/** Rows as text, the first columns to the left and the others to the right. */
export function table(rows: readonly Record<string, string | number>[], left = 1): string {
  const names = Object.keys(rows[0]!);
  const cells = [names, ...rows.map((row) => names.map((name) => String(row[name])))];
  const widths = names.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)));
  const lines = cells.map((line) =>
    line.map((cell, column) => (column < left ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))),
  );
  const rule = widths.map((width, column) => (column < left ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return lines.toSpliced(1, 0, rule).map((line) => `| ${line.join(' | ')} |`).join('\n');
}
