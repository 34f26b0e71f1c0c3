// The one error class, and what SQLite's and the system's own errors become.
import { types } from 'node:util';
import { beginAtCaller } from './stack.ts';

/** Every code a `StoreError` can carry. The code is the contract; the message is for people and may change. */
export type StoreErrorCode =
  // refused before anything was written
  | 'ERR_STORE_INVALID_ARGUMENT' // an argument has the wrong type or range
  | 'ERR_STORE_SERIALIZATION' // a value that JSON cannot carry there and back
  | 'ERR_STORE_CLOSED' // the store has been closed
  | 'ERR_STORE_NOT_FOUND' // the named thing does not exist
  | 'ERR_STORE_CONFLICT' // it contradicts what is stored
  // when opening
  | 'ERR_STORE_NOT_A_STORE' // the file belongs to something else
  | 'ERR_STORE_SCHEMA_TOO_NEW' // written by a later version of this package
  | 'ERR_STORE_SCHEMA_TOO_OLD' // a read-only open cannot migrate
  | 'ERR_STORE_MIGRATION' // a migration failed, or the schema changed under an open store
  | 'ERR_STORE_PERMISSION' // the system does not let this user do it
  | 'ERR_STORE_UNSUPPORTED' // this SQLite is too old to be trusted
  // at any time
  | 'ERR_STORE_BUSY' // another process held the lock longer than `busyTimeoutMs`
  | 'ERR_STORE_DISK_FULL' // rolled back; works again once there is room
  | 'ERR_STORE_READ_ONLY' // the store or its file system is read-only
  | 'ERR_STORE_IO' // the disk failed, and writes are refused until the store is reopened; or an outcome is unknown
  | 'ERR_STORE_CORRUPT' // what is stored cannot be right
  | 'ERR_STORE_PARITY' // database and ledger contradict each other
  | 'ERR_STORE_POLICY' // a policy rule forbids it
  | 'ERR_STORE_DATABASE'; // anything else SQLite says

/** The error of every operation. `code` is stable, `message` says what was attempted on what, `cause` is the origin. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    beginAtCaller(this);
  }
}

// Primary result codes, https://www.sqlite.org/rescode.html; node:sqlite gives the extended code as `errcode`.
const sqliteCodes: Record<number, [StoreErrorCode, string]> = {
  3: ['ERR_STORE_PERMISSION', 'permission denied'],
  5: ['ERR_STORE_BUSY', 'another process holds the lock'],
  6: ['ERR_STORE_BUSY', 'the table is locked'],
  8: ['ERR_STORE_READ_ONLY', 'the database is read-only'],
  10: ['ERR_STORE_IO', 'disk I/O error'],
  11: ['ERR_STORE_CORRUPT', 'the database is damaged'],
  13: ['ERR_STORE_DISK_FULL', 'disk full'],
  14: ['ERR_STORE_IO', 'a database file cannot be opened'],
  15: ['ERR_STORE_BUSY', 'another process holds a lock of the WAL'], // after ten seconds, whatever the timeout is
  18: ['ERR_STORE_INVALID_ARGUMENT', 'the value is too large'],
  23: ['ERR_STORE_PERMISSION', 'not authorized'],
  26: ['ERR_STORE_NOT_A_STORE', 'the file is not a database'],
};
// A full disk shows at the -shm file, which is sized before the WAL is, as IOERR_SHMSIZE.
const IOERR_SHMSIZE = 4874;

const systemCodes: Record<string, [StoreErrorCode, string]> = {
  ENOSPC: ['ERR_STORE_DISK_FULL', 'disk full'],
  EACCES: ['ERR_STORE_PERMISSION', 'permission denied'],
  EPERM: ['ERR_STORE_PERMISSION', 'operation not permitted'],
  ELOOP: ['ERR_STORE_PERMISSION', 'a symbolic link is not followed'],
  EROFS: ['ERR_STORE_READ_ONLY', 'the file system is read-only'],
  ENOENT: ['ERR_STORE_NOT_FOUND', 'no such file or folder'],
  ENOTDIR: ['ERR_STORE_NOT_FOUND', 'a part of the path is not a folder'],
  ENAMETOOLONG: ['ERR_STORE_INVALID_ARGUMENT', 'a name is too long for the file system'],
  EMFILE: ['ERR_STORE_IO', 'this process has too many files open'],
  ENFILE: ['ERR_STORE_IO', 'the system has too many files open'],
  ENOMEM: ['ERR_STORE_IO', 'the system has no memory left'],
  ERR_ACCESS_DENIED: ['ERR_STORE_PERMISSION', "Node's permission model forbids it"],
};

/**
 * What `error` is to the caller of an operation: a `StoreError` whose message begins with `what` ("failed to …") for
 * anything that SQLite or the system says, and the error itself for everything else (an error of the caller's own
 * function passes through unchanged).
 */
export function toStoreError(error: unknown, what: string): unknown {
  if (!types.isNativeError(error) || error instanceof StoreError) return error;
  const { code, errcode, syscall } = error as { code?: string; errcode?: number; syscall?: string };
  let found: [StoreErrorCode, string] | undefined;
  if (code === 'ERR_SQLITE_ERROR' && errcode !== undefined) {
    found = errcode === IOERR_SHMSIZE ? sqliteCodes[13] : sqliteCodes[errcode & 0xff];
    found ??= ['ERR_STORE_DATABASE', error.message];
  } else if (code === 'ERR_OUT_OF_RANGE' && /SQLite|JavaScript number/i.test(error.message)) {
    // node:sqlite refuses to hand out an integer beyond 2^53; this package never stores one.
    found = ['ERR_STORE_CORRUPT', 'a stored number is out of range'];
  } else if (code !== undefined && (syscall !== undefined || code === 'ERR_ACCESS_DENIED')) {
    found = systemCodes[code] ?? ['ERR_STORE_IO', error.message];
  }
  if (found === undefined) return error;
  return new StoreError(found[0], `failed to ${what}: ${found[1]}`, { cause: error });
}

// What comes from a call that opens or looks something up; ENOMEM may come from one that writes as well.
const beginningCodes: readonly unknown[] = ['EMFILE', 'ENFILE', 'ENAMETOOLONG'];
const writingCalls: readonly unknown[] = ['write', 'fsync', 'fdatasync', 'ftruncate', 'close'];
// SQLITE_NOMEM; of SQLITE_IOERR: NOMEM, SHMOPEN, SHMMAP, GETTEMPPATH.
const beginningResults: readonly number[] = [7, 3082, 4618, 5386, 6410];

/**
 * Whether an error of the system or of SQLite says that something could not even begin, for want of descriptors or
 * memory or because of a name: nothing is wrong with the disk, and nothing was written to it.
 */
export function couldNotBegin(error: unknown): boolean {
  const { code, errcode, syscall } = (error ?? {}) as { code?: unknown; errcode?: number; syscall?: unknown };
  if (code === 'ERR_SQLITE_ERROR' && errcode !== undefined) {
    return (errcode & 0xff) === 14 || beginningResults.includes(errcode); // SQLITE_CANTOPEN
  }
  if (code === 'ENOMEM') return syscall !== undefined && !writingCalls.includes(syscall);
  return beginningCodes.includes(code);
}

/** Runs `fn` and throws what `toStoreError` makes of its error. */
export function attempt<T>(what: string, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    throw toStoreError(error, what);
  }
}

/** The error of a constructor that is not for callers. `instead` is what gives them one. */
export function notConstructed(instead: string): StoreError {
  return new StoreError('ERR_STORE_INVALID_ARGUMENT', `use ${instead} instead of the constructor, which opens nothing`);
}

/** Whether `error` is a `StoreError` with this code. */
export function hasCode(error: unknown, code: StoreErrorCode): boolean {
  return error instanceof StoreError && error.code === code;
}

/**
 * What a function of the caller's own threw, on its way through the layers that map errors: a file that it could not
 * read is no failure of the store's disk. Not an Error, so that nothing there touches it.
 */
export class CallersError {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}
