// Which of the known names somebody may have meant: for options, commands and whatever else is chosen by name.

/** Asks about an unknown name in a message ("did you mean status?"); `undefined` if no known name is near. */
export function didYouMean(given: string, known: readonly string[]): string | undefined {
  const names = nearMisses(given, known);
  return names.length === 0 ? undefined : `did you mean ${names.join(' or ')}?`;
}

/**
 * Finds the known names nearest to `given`; several if they are equally near. Case and punctuation make no difference.
 * A name is near if at most a third of its letters differ, or if it begins with the three or more letters given.
 */
export function nearMisses(given: string, known: readonly string[]): string[] {
  const typed = letters(given);
  const distances = known.map((name) => distance(typed, letters(name)));
  const nearest = Math.min(...distances);
  return nearest === Infinity ? [] : known.filter((_, index) => distances[index] === nearest);
}

function distance(typed: string, name: string): number {
  // An abbreviation counts as one wrong letter however much it leaves out, because it was typed on purpose.
  if (typed.length >= 3 && name.startsWith(typed)) return Math.min(1, name.length - typed.length);
  const longer = Math.max(typed.length, name.length);
  const limit = Math.max(1, Math.floor(longer / 3));
  if (Math.abs(typed.length - name.length) > limit) return Infinity;
  const edits = editsBetween(typed, name);
  return edits <= limit && edits < longer ? edits : Infinity;
}

function letters(name: string): string {
  return name.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, '');
}

/** Counts the letters added, left out, replaced or exchanged with the next one between two words. */
function editsBetween(from: string, to: string): number {
  let before: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const next = [row];
    for (let column = 1; column <= to.length; column++) {
      const isSame = from[row - 1] === to[column - 1];
      const edits = [last[column]! + 1, next[column - 1]! + 1, last[column - 1]! + (isSame ? 0 : 1)];
      const isExchanged = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (row > 1 && column > 1 && isExchanged) edits.push(before[column - 2]! + 1);
      next.push(Math.min(...edits));
    }
    [before, last] = [last, next];
  }
  return last[to.length]!;
}
