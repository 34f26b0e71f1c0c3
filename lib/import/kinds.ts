// The kinds of store that can be taken over.
import { StoreError } from '../errors.ts';
import { nightshift } from './nightshift.ts';
import { nightshiftAudit } from './nightshift-audit.ts';
import { nightshiftState } from './nightshift-state.ts';
import { openfroyo } from './openfroyo.ts';
import { lunchbox, shepherdd } from './shepherdd.ts';
import { Source } from './source.ts';
import type { SourceKind } from './source.ts';

/** The first kind that recognises the file is its kind. */
export const kinds: readonly SourceKind[] = [
  lunchbox, shepherdd, openfroyo, nightshift, nightshiftAudit, nightshiftState,
];

/** The name of the kind that a file is of; `undefined` where it is none that can be taken over, or cannot be read. */
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
