// Processes that are killed at some moment of the operations that they do one after the other.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from './child.ts';

/** How many operations a worker that began with `from` acknowledged. */
export function acknowledgedBy(worker: Worker, from: number): number {
  const numbers = worker.lines.filter((line) => /^\d+$/.test(line)).map(Number);
  assert.deepEqual(numbers, numbers.map((_, index) => from + index));
  return from + numbers.length;
}

/**
 * Kills it: in one round of six while it opens what the one before has left, in the others after a while of writing.
 */
export async function killSometime(worker: Worker, round: number, random: () => number): Promise<void> {
  if (round % 6 === 5) await sleep(50 + random() * 100);
  else {
    await worker.told(2 + Math.floor(random() * 60));
    await sleep(random() * 3);
  }
  worker.kill();
  const { signal, errors } = await worker.end();
  assert.equal(signal, 'SIGKILL', errors);
}
