// Ledgers made by hand, for what no store of this machine would write: of another's identity, forked, renewed.
import { randomUUID } from 'node:crypto';
import { type Anchor, genesisHash } from '../../lib/core/chain.ts';
import { lineHash, type LedgerLine, lineText } from '../../lib/ledger/line.ts';

/** A line as it is to become: what it lacks follows from the lines before. */
export type Draft = Partial<LedgerLine>;

/** A ledger's text, line by line: each with its newline. */
export interface Made {
  store: string;
  header: string;
  lines: string[];
  /** What each of the lines says. */
  events: LedgerLine[];
  text: string;
  head: Anchor;
}

interface Beginning {
  store?: string;
  /** The row before the first one; the header says so unless `silent`. */
  after?: Anchor;
  silent?: boolean;
  /** The identities that the store had before. */
  renewed?: { store: string; until: number }[];
}

/** A whole ledger of these lines. */
export function ledgerOf(drafts: readonly Draft[], beginning: Beginning = {}): Made {
  const { store = randomUUID(), after, silent = false, renewed } = beginning;
  const created = '2026-11-21T09:00:00.000Z';
  const said = silent ? undefined : after;
  const header = JSON.stringify({ format: 'shepherd-store ledger 1', store, created, after: said, renewed });
  let head = after ?? { id: 0, hash: genesisHash(renewed?.[0]?.store ?? store) };
  const events = drafts.map((draft) => {
    const id = head.id + 1;
    const at = new Date(Date.parse(created) + id * 1_000).toISOString();
    const line: LedgerLine = { id, at, type: 'note', data: `{"number":${id}}`, prev: head.hash, hash: '', ...draft };
    line.hash = draft.hash ?? lineHash(line);
    head = { id: line.id, hash: line.hash };
    return line;
  });
  const lines = events.map(lineText);
  return { store, header: `${header}\n`, lines, events, text: `${header}\n${lines.join('')}`, head };
}

/** As many plain events. */
export function notes(count: number): Draft[] {
  return Array.from({ length: count }, () => ({}));
}

/** A part of a ledger: the lines from one place on to before another. */
export function partOf({ header, lines }: Made, from: number, to?: number): string {
  return header + lines.slice(from, to).join('');
}
