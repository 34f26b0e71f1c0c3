// What the core asks of a mirror of the audit log, which `Ledger` gives. It imports nothing of a ledger's.
import type { Anchor } from './audit.ts';
import type { EventTexts } from './events.ts';
import type { BreakGlassGrant, PolicyContribution, PolicyDecision } from './gate.ts';

/** A row of the audit log as the mirror keeps it: the exact stored texts. `more`: its group goes on with the next. */
export interface MirroredRow {
  id: number;
  /** These three are as SQLite has them: only an adopted row can hold a BLOB. */
  timestamp: string | Uint8Array;
  type: string | Uint8Array;
  data: string | Uint8Array;
  meta: string | null;
  previous: string;
  hash: string;
  signature: string | null;
  more: boolean;
}

/** What stands at the end of a mirror. */
export interface MirrorEnd {
  /** The UUID of the store whose mirror it is, and when that was made; undefined for a mirror that is not there yet. */
  store: string | undefined;
  created: string | undefined;
  /** The last sound row. */
  head: Anchor | undefined;
  /** The last id with which a group was complete. */
  groupEnd: number;
  /** Whether that row is signed. */
  isSigned: boolean;
  /** Whether something that is not sound follows. */
  torn: boolean;
}

/** Whose mode and owner a new file gets. */
export interface FileLike {
  mode: number;
  uid: number;
  gid: number;
}

/** What a mirror is to be like: the log of a store. */
export interface MirroredLog {
  store: string;
  created: string;
  /** Its last row; for an empty log the id 0, and the hash that its first row will name as its predecessor's. */
  head: Anchor;
  /** Its rows behind one. */
  rows(after: Anchor | undefined): Iterable<MirroredRow>;
  /** What a new file gets its mode and owner from. */
  like: FileLike;
  now: Date;
  /** Whether damage that no power cut leaves is set aside and written again too. */
  recover: boolean;
}

/** A file that holds what was set aside of a mirror before that part was written again. */
export interface SetAside {
  path: string;
  bytes: number;
  sha256: string;
  /** `torn`: the end, as a power cut leaves it. `damaged`: anything else, which only `recover` sets aside. */
  kind: 'torn' | 'damaged';
}

/** What bringing a mirror to the head of the log has done. */
export interface Brought {
  /** Whether another file stands at the path now. */
  replaced: boolean;
  setAside: boolean;
  /** The last of the rows that only the mirror had, and that are lost because damage stands before them. */
  lostTo?: number;
}

/** A second place for the audit log; `Ledger` is the one there is. */
export interface AuditMirror {
  readonly path: string;
  /** The public half of the key that it signs with. */
  readonly publicKey: string | undefined;
  /** Whether it may write rows without a signature where signing has begun. */
  readonly unsigned: boolean;
  /** Whether it was opened to be mended, whatever is wrong with it. */
  readonly recover: boolean;
  /** Opens the file that stands there now, to be appended to, until `letGo`. Throws where it may not be written. */
  hold(): void;
  letGo(): void;
  /** Throws where the file may not be written, or not be made. */
  checkWritable(): void;
  /** Looks at the file again: another process may have appended to it. With `anew` also where its size says no. */
  refresh(anew?: boolean): MirrorEnd;
  /**
   * Makes the mirror end with the last row of a log, header included; durable on return. For damage that is no torn end
   * throws `ERR_STORE_PARITY`, with the line, and leaves the file as it was.
   */
  bringTo(log: MirroredLog): Brought;
  /** The files with what was set aside, but for those whose names `isKnown` knows. */
  listSetAside(isKnown: (name: string) => boolean): SetAside[];
  /** Whether rows may be appended: composes the caller's contributions with the mirror's own, about the heads. */
  decide(
    contributions: readonly PolicyContribution[], breakGlass: BreakGlassGrant | undefined, headsAgree: boolean,
  ): PolicyDecision;
  /** Refuses an event that no row of the mirror could hold. Throws `ERR_STORE_INVALID_ARGUMENT`. */
  checkEvent(event: EventTexts): void;
  /** The signature of a hash; null where the mirror does not sign. */
  sign(hash: string): string | null;
  /** Appends rows and fsyncs them, or throws and leaves the file as it was; `ERR_STORE_IO` where that fails too. */
  append(rows: Iterable<MirroredRow>): void;
  /** The sound rows from an id on, in order. */
  rows(fromId: number): Iterable<MirroredRow>;
  /** The rows of the whole groups that follow a row of the log, from behind the damage. */
  rowsBehindDamage(after: Anchor): Iterable<MirroredRow>;
}
