// One line of the result: what was measured, beside what, and whether it is as good as it has to be.
import type { Pair } from './measure.ts';

export interface Row {
  what: string;
  /** What it is held against; empty where it is held against a number alone. */
  peer: string;
  unit: string;
  ours: number;
  /** Absent where there is no peer, or it is not there. */
  theirs?: number | undefined;
  /** What `value` is: how many times as fast, how many times the cost, how much more, or the number itself. */
  measure: 'speed' | 'cost' | 'difference' | 'number';
  /** Absent where the peer is. */
  value?: number | undefined;
  target?: string;
  isMet?: boolean;
}

/** A peer's name, or that it is not there. */
function named(peer: string, theirs: number | undefined): string {
  return theirs === undefined ? `${peer} (missing)` : peer;
}

/** How fast beside a peer: 2 is half its time. Without a target it is told for comparison. */
export function speed(what: string, peer: string, [ours, theirs]: Pair, atLeast?: number, unit = 'µs'): Row {
  return judged(
    { what, peer: named(peer, theirs), unit, ours, theirs, measure: 'speed', value: theirs && theirs / ours },
    '≥',
    atLeast,
  );
}

/** How many times a peer's cost. */
export function cost(what: string, peer: string, [ours, theirs]: Pair, atMost: number | undefined, unit: string): Row {
  return judged(
    { what, peer: named(peer, theirs), unit, ours, theirs, measure: 'cost', value: theirs && ours / theirs },
    '≤',
    atMost,
  );
}

/** How much more than a peer. */
export function above(what: string, peer: string, [ours, theirs]: Pair, atMost: number | undefined, unit: string): Row {
  return judged(
    {
      what,
      peer: named(peer, theirs),
      unit,
      ours,
      theirs,
      measure: 'difference',
      value: theirs === undefined ? undefined : ours - theirs,
    },
    '≤',
    atMost,
  );
}

/** A number with a limit of its own. */
export function limited(what: string, ours: number, atMost: number | undefined, unit: string): Row {
  return judged({ what, peer: '', unit, ours, measure: 'number', value: ours }, '≤', atMost);
}

function judged(row: Row, comparison: '≥' | '≤', limit: number | undefined): Row {
  if (limit === undefined) return row;
  const judgedRow = { ...row, target: `${comparison} ${limit}` };
  if (row.value === undefined || Number.isNaN(row.value)) return judgedRow;
  return { ...judgedRow, isMet: comparison === '≥' ? row.value >= limit : row.value <= limit };
}

const digits = (value: number | undefined): string =>
  value === undefined || Number.isNaN(value)
    ? ''
    : Number.isInteger(value)
      ? String(value)
      : value.toFixed(value < 10 ? 2 : value < 1_000 ? 1 : 0);

/** A row as the table shows it. */
export function shown({ what, peer, unit, ours, theirs, measure, value, target, isMet }: Row): Record<string, string> {
  const ratio =
    measure === 'number' || value === undefined
      ? ''
      : measure === 'difference' && value > 0
        ? `+${digits(value)}`
        : digits(value);
  return {
    what,
    beside: peer,
    unit,
    ours: digits(ours),
    theirs: digits(theirs),
    ratio,
    target: target ?? '',
    met: isMet === undefined ? '' : isMet ? 'yes' : 'NO',
  };
}
