// Which of the known names somebody may have meant: for options, commands and whatever else is chosen by name.

/** What a message asks about a name that nobody knows ("did you mean status?"); `undefined` where none is near. */
export function didYouMean(given: string, known: readonly string[]): string | undefined {
  const names = nearMisses(given, known);
  return names.length === 0 ? undefined : `did you mean ${names.join(' or ')}?`;
}

/**
 * The known names nearest to `given`, several where they are equally near. Upper case and punctuation make no difference;
 * a beginning of three letters is near to all that begin so, and so is whatever a third of its letters away.
 */
export function nearMisses(given: string, known: readonly string[]): string[] {
  const typed = letters(given);
  const distances = known.map((name) => {
    const [shorter = '', longer = ''] = [typed, letters(name)].sort((a, b) => a.length - b.length);
    const limit = Math.max(1, Math.floor(longer.length / 3));
    const distance = longer.length - shorter.length > limit ? Infinity : editsBetween(shorter, longer);
    if (distance <= limit && distance < longer.length) return distance;
    return shorter.length >= 3 && longer.startsWith(shorter) ? limit : Infinity;
  });
  const nearest = Math.min(...distances);
  return nearest === Infinity ? [] : known.filter((_, index) => distances[index] === nearest);
}

function letters(name: string): string {
  return name.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, '');
}

/** How many letters have to be added, left out, replaced or exchanged with their neighbour to get from one to the other. */
function editsBetween(from: string, to: string): number {
  let before: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const next = [row];
    for (let column = 1; column <= to.length; column++) {
      const isSame = from[row - 1] === to[column - 1];
      let edits = Math.min(last[column]! + 1, next[column - 1]! + 1, last[column - 1]! + (isSame ? 0 : 1));
      const isExchanged = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (isExchanged) edits = Math.min(edits, before[column - 2]! + 1);
      next.push(edits);
    }
    [before, last] = [last, next];
  }
  return last[to.length]!;
}
