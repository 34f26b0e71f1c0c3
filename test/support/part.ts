// What is tried exhaustively is divided between the lines of Node in CI, which takes too long otherwise.

/** SHEPHERD_PART: `1/2` and `2/2` are every other one of a list, and the rest of them; all by default. */
const [part, parts] = (process.env['SHEPHERD_PART'] ?? '1/1').split('/').map(Number) as [number, number];

export function partOf<T>(list: readonly T[]): T[] {
  return list.filter((_, index) => index % parts === part - 1);
}
