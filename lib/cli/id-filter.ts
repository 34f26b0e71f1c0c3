// Ids that were seen, in so little memory that those of any log fit.
import { hash } from 'node:crypto';

// A million ids set a fifth of these 33,554,432 bits, so that one other id in 400,000 is taken for one of them.
const bits = 25;

/**
 * A set of ids that may say of an id that it has it and is wrong, and is never wrong when it says that it has it not: a
 * Bloom filter of 4 MiB, in which each id sets eight bits.
 */
export class IdFilter {
  readonly #bytes = new Uint8Array(2 ** bits / 8);

  add(id: string): void {
    for (const bit of bitsOf(id)) this.#bytes[bit >> 3]! |= 1 << (bit & 7);
  }

  mayHave(id: string): boolean {
    return bitsOf(id).every((bit) => (this.#bytes[bit >> 3]! & (1 << (bit & 7))) !== 0);
  }
}

/** The eight bits of an id: the parts of its SHA-256. */
function bitsOf(id: string): number[] {
  const digest = hash('sha256', id, 'binary'); // a buffer takes memory of its own, which is given back late
  const bytes = (at: number): number => (digest.charCodeAt(at) << 8) | digest.charCodeAt(at + 1);
  return [0, 4, 8, 12, 16, 20, 24, 28].map((at) => ((bytes(at) << 16) | bytes(at + 2)) >>> (32 - bits));
}
