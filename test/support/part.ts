// What is tried exhaustively is divided between the lines of Node in CI, which takes too long otherwise.
//
// SHEPHERD_PART: `1/2` and `2/2` are every other one of a list, and the rest of them; all by default.
import assert from 'node:assert/strict';

const [part, parts] = (process.env['SHEPHERD_PART'] ?? '1/1').split('/').map(Number) as [number, number];
// What is no part would leave nothing to try, and the tests would pass.
assert.ok(part >= 1 && part <= parts, 'SHEPHERD_PART is no part');

export function partOf<T>(list: readonly T[]): T[] {
  return list.filter((_, index) => index % parts === part - 1);
}
