// The kinds of store that can be taken over.
import { StoreError } from '../values/errors.ts';
import { nightshiftAudit } from './nightshift-audit.ts';
import { nightshiftState } from './nightshift-state.ts';
import { nightshift } from './nightshift.ts';
import { openfroyo } from './openfroyo.ts';
import { lunchbox, shepherdd } from './shepherdd.ts';
import { Source, type SourceKind } from './source.ts';

/** A file is of the first of these kinds that recognises it. */
export const kinds: readonly SourceKind[] = [
  lunchbox, shepherdd, openfroyo, nightshift, nightshiftAudit, nightshiftState,
];

/** Gives the name of a file's kind; `undefined` where no kind recognises it, or it cannot be read. */
export function kindOfSource(path: string): string | undefined {
  try {
    const source = new Source(path);
    try {
      return kinds.find(({ recognise }) => recognise(source))?.name;
    } finally {
      source.close();
    }
  } catch (error) {
    if (error instanceof StoreError) return undefined;
    throw error;
  }
}
