// The one error class, and what SQLite's and the system's own errors become.
import { types } from 'node:util';
import { beginAtCaller } from './stack.ts';

/** Every code a `StoreError` can carry. The code is the contract; the message is for people and may change. */
export type StoreErrorCode =
  // refused before anything was written
  | 'ERR_STORE_INVALID_ARGUMENT' // an argument has the wrong type or range
  | 'ERR_STORE_SERIALIZATION' // JSON would change the value or refuse it
  | 'ERR_STORE_CLOSED' // the store has been closed
  | 'ERR_STORE_NOT_FOUND' // the named thing does not exist
  | 'ERR_STORE_CONFLICT' // the request contradicts what is stored
  // when opening
  | 'ERR_STORE_NOT_A_STORE' // the file belongs to something else
  | 'ERR_STORE_SCHEMA_TOO_NEW' // only a later version of this package may use the file, or write to it
  | 'ERR_STORE_SCHEMA_TOO_OLD' // the file must be migrated, which a read-only open cannot do
  | 'ERR_STORE_MIGRATION' // a migration failed, or the schema changed under an open store
  | 'ERR_STORE_PERMISSION' // the system does not allow this user to do it
  | 'ERR_STORE_UNSUPPORTED' // this Node or its SQLite is too old, or Node was built without SQLite
  // at any time
  | 'ERR_STORE_BUSY' // another process held the lock longer than `busyTimeoutMs`
  | 'ERR_STORE_DISK_FULL' // the write was rolled back; the store works again once there is room
  | 'ERR_STORE_READ_ONLY' // the store or its file system is read-only
  | 'ERR_STORE_IO' // the disk failed, and writes are refused until the store is reopened; or an outcome is unknown
  | 'ERR_STORE_CORRUPT' // the stored data is damaged
  | 'ERR_STORE_PARITY' // database and ledger contradict each other
  | 'ERR_STORE_POLICY' // a policy rule forbids it
  | 'ERR_STORE_DATABASE'; // anything else SQLite says

/** The error that operations throw. `code` is stable, `message` says what was attempted, `cause` is the origin. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    beginAtCaller(this);
  }
}

// SQLite's primary result codes (https://www.sqlite.org/rescode.html); the low byte of node:sqlite's `errcode`.
const sqliteCodes: Record<number, [StoreErrorCode, string]> = {
  3: ['ERR_STORE_PERMISSION', 'permission denied'],
  5: ['ERR_STORE_BUSY', 'another process holds the lock'],
  6: ['ERR_STORE_BUSY', 'the table is locked'],
  8: ['ERR_STORE_READ_ONLY', 'the database is read-only'],
  10: ['ERR_STORE_IO', 'disk I/O error'],
  11: ['ERR_STORE_CORRUPT', 'the database is damaged'],
  13: ['ERR_STORE_DISK_FULL', 'disk full'],
  14: ['ERR_STORE_IO', 'a database file cannot be opened'],
  15: ['ERR_STORE_BUSY', 'another process holds a lock of the WAL'], // given after ten seconds, whatever the timeout is
  18: ['ERR_STORE_INVALID_ARGUMENT', 'the value is too large'],
  23: ['ERR_STORE_PERMISSION', 'not authorized'],
  26: ['ERR_STORE_NOT_A_STORE', 'the file is not a database'],
};
// A full disk shows as IOERR_SHMSIZE, because SQLite sizes the -shm file before it writes the WAL.
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
 * Turns an error of SQLite or the system into a `StoreError` whose message begins with "failed to" and `what`. Any
 * other error is returned unchanged, so that an error of the caller's own function passes through.
 */
export function toStoreError(error: unknown, what: string): unknown {
  if (!types.isNativeError(error) || error instanceof StoreError) return error;
  if (error.name === 'SuppressedError') {
    // `using` throws this where the end of a resource failed as well, as on a disk that fails: the first error counts.
    // It is known by its name, because each realm has a class of its own.
    const first = toStoreError((error as SuppressedError).suppressed, what);
    return first instanceof StoreError ? first : error;
  }
  const { code, errcode, syscall } = error as { code?: string; errcode?: number; syscall?: string };
  let found: [StoreErrorCode, string] | undefined;
  if (code === 'ERR_SQLITE_ERROR' && errcode !== undefined) {
    found = errcode === IOERR_SHMSIZE ? sqliteCodes[13] : sqliteCodes[errcode & 0xff];
    found ??= ['ERR_STORE_DATABASE', error.message];
  } else if (code === 'ERR_OUT_OF_RANGE' && /SQLite|JavaScript number/i.test(error.message)) {
    // node:sqlite refuses to return an integer beyond 2^53. This package never stores one, so the row is damaged.
    found = ['ERR_STORE_CORRUPT', 'a stored number is out of range'];
  } else if (code !== undefined && (syscall !== undefined || code === 'ERR_ACCESS_DENIED')) {
    found = systemCodes[code] ?? ['ERR_STORE_IO', error.message];
  }
  if (found === undefined) return error;
  return new StoreError(found[0], `failed to ${what}: ${found[1]}`, { cause: error });
}

// These codes come only from calls that open or look up a file; ENOMEM can also come from a call that writes.
const beginningCodes: readonly unknown[] = ['EMFILE', 'ENFILE', 'ENAMETOOLONG'];
const writingCalls: readonly unknown[] = ['write', 'fsync', 'fdatasync', 'ftruncate', 'close'];
// SQLITE_NOMEM, and SQLITE_IOERR_NOMEM, _SHMOPEN, _SHMMAP and _GETTEMPPATH.
const beginningResults: readonly number[] = [7, 3082, 4618, 5386, 6410];

/**
 * Whether an error of the system or SQLite means that an operation could not begin, because descriptors or memory ran
 * out or a name is too long. The disk is not at fault then, and nothing was written to it.
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

/** The error for callers who use a constructor that is not meant for them. `instead` names the function to call. */
export function notConstructed(instead: string): StoreError {
  return new StoreError('ERR_STORE_INVALID_ARGUMENT', `use ${instead} instead of the constructor, which opens nothing`);
}

/** The code of a `StoreError`, or of the one that `toStoreError` makes of an error; `undefined` for any other error. */
export function codeOf(error: unknown): StoreErrorCode | undefined {
  const mapped = toStoreError(error, '');
  return mapped instanceof StoreError ? mapped.code : undefined;
}

/** Whether `error` is a `StoreError` with this code. */
export function hasCode(error: unknown, code: StoreErrorCode): boolean {
  return error instanceof StoreError && error.code === code;
}

/**
 * Carries an error of the caller's own function through the layers that map errors: a file that this function could not
 * read is not a failure of the store's disk. The class does not extend Error, so no layer maps it.
 */
export class CallersError {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}
