// The lines of a batch: rows of the log as a ledger has them, no more than were asked for.
import { type Anchor, rowHash } from '../../core/chain.ts';
import type { ModuleConnection } from '../../core/door.ts';
import { lineText, toLine } from '../../ledger/line.ts';
import { pagedRows } from '../../ledger/rows.ts';
import { StoreError } from '../../values/errors.ts';

/** Lines, and which rows they are. */
export interface Lines {
  text: string;
  from: number;
  to: number;
  anchor: Anchor;
}

/**
 * The lines behind a row: at most `limit`, and as many as `maxBytes` holds, but one at least. `undefined` where there
 * are none. Throws `ERR_STORE_CONFLICT` where they are in an archive, `ERR_STORE_CORRUPT` where the chain is broken.
 */
export function lineTexts(
  connection: ModuleConnection, after: Anchor, limit: number, maxBytes: number,
): Lines | undefined {
  const begun = connection.parts.log.beginning().id;
  if (after.id < begun) {
    const which = after.id + 1 === begun ? `row ${begun} is` : `rows ${after.id + 1} to ${begun} are`;
    const advice = `send that, and acknowledge row ${begun}, or remove the outbox and make it anew`;
    throw new StoreError('ERR_STORE_CONFLICT', `${which} in an archive: ${advice}`);
  }
  const texts: string[] = [];
  let bytes = 0;
  let from = 0;
  let last = after;
  for (const row of pagedRows(connection, undefined, after.id)) {
    if (rowHash(last.hash, row) !== row.hash) {
      const why = 'it or its hash was changed after it was written, or the row before it was';
      throw new StoreError('ERR_STORE_CORRUPT', `row ${row.id} is not sent: ${why}`);
    }
    const text = lineText(toLine({ ...row, previous: last.hash, more: false }));
    bytes += Buffer.byteLength(text);
    if (texts.length > 0 && bytes > maxBytes) break;
    texts.push(text);
    if (from === 0) from = row.id;
    last = { id: row.id, hash: row.hash };
    if (texts.length === limit) break;
  }
  return texts.length === 0 ? undefined : { text: texts.join(''), from, to: last.id, anchor: last };
}
