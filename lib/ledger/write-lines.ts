// Writing rows as lines, in constant memory, and refusing what could not be read again.
import type { EventTexts } from '../core/events.ts';
import { StoreError } from '../values/errors.ts';
import { escapesIn } from '../values/json.ts';
import type { LedgerFile } from './file.ts';
import { lineText, toLine } from './line.ts';
import { maxLineBytes } from './read-lines.ts';
import type { LedgerRow } from './rows.ts';

const chunkBytes = 1024 * 1024;

/** Writes rows as lines from an offset on, not synced; gives the offset behind them. Calls `each` with every row. */
export function writeLines(
  file: LedgerFile, rows: Iterable<LedgerRow>, from: number, each?: (row: LedgerRow) => void,
): number {
  let position = from;
  let texts: string[] = [];
  let length = 0;
  const flush = (): void => {
    position += file.write(Buffer.from(texts.join('')), position);
    texts = [];
    length = 0;
  };
  for (const row of rows) {
    checkLength(row);
    const text = lineText(toLine(row));
    if (text.length > maxLineBytes || Buffer.byteLength(text) > maxLineBytes) throw tooLarge(text.length);
    texts.push(text);
    length += text.length;
    each?.(row);
    if (length > chunkBytes) flush();
  }
  flush();
  return position;
}

/** Refuses a row whose line would be too long, before the line is built, because it might not fit into memory. */
export function checkLength({ type, data, meta }: EventTexts | Pick<LedgerRow, 'type' | 'data' | 'meta'>): void {
  const length = type.length + data.length + (meta?.length ?? 0);
  // No character takes more than six bytes in a line, so most rows pass without being counted.
  if (6 * length <= maxLineBytes) return;
  const bytes = (): number => writtenBytes(type) + writtenBytes(data) + writtenBytes(meta ?? '');
  if (length > maxLineBytes || bytes() > maxLineBytes) throw tooLarge(length);
}

/** How many bytes a text takes inside of a line. */
function writtenBytes(text: string | Uint8Array): number {
  if (typeof text !== 'string') return 2 * text.length; // written as hexadecimal digits
  return Buffer.byteLength(text) + escapesIn(text);
}

function tooLarge(length: number): StoreError {
  const what = `an event of ${length} characters`;
  return new StoreError('ERR_STORE_INVALID_ARGUMENT', `${what} is too large for a ledger (${maxLineBytes} bytes)`);
}
