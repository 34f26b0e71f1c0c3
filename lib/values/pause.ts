// A pause of what is not asynchronous: an open, and a read beside a writer.

/** Stands still, with all of its thread, for so long. */
export function pauseSync(durationMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, durationMs);
}
