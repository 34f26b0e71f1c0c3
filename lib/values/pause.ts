/** Stands still for so long, for what is not asynchronous: an open, and a read beside a writer. */
export function pauseSync(durationMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, durationMs);
}
