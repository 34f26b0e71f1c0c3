// Moving the schema of a file to another version, up or down.
import { statSync } from 'node:fs';
import { lockOut } from './alone.ts';
import { attempt, StoreError } from './errors.ts';
import { moveAside, snapshotPathOf } from './files.ts';
import { inspect } from './inspect.ts';
import { hasSecondName, removeOwnNames } from './names.ts';
import { checkpointFound, checkVersion, inTransaction, openToWrite, setPragmas, switchToWal } from './handle.ts';
import { takeTurn } from './open.ts';
import { readClock } from './options.ts';
import type { CheckedOptions } from './options.ts';
import { checkKnown, identify, migrateSchema, schemaVersion, stepsBetween } from './schema.ts';
import type { MigrationStep } from './schema.ts';
import { readSnapshotFile } from './snapshot-file.ts';
import { FileWatch } from './watch.ts';

/** What `SqliteStore.migrate` did: the versions, the steps in the order taken, and where the snapshot file was moved, if it was. */
export interface MigrationReport {
  from: number;
  to: number;
  steps: MigrationStep[];
  moved?: string;
}

/** Moves the schema of a file that is there; see `SqliteStore.migrate`. */
export function migrateFile(path: string, version: number, force: boolean, options: CheckedOptions): MigrationReport {
  return attempt(`migrate ${path} to version ${version}`, () => {
    checkVersion();
    if (version > schemaVersion) throw new StoreError('ERR_STORE_MIGRATION', `there is no schema version ${version}; the newest is ${schemaVersion}`);
    statSync(path);
    if (hasSecondName(path)) takeBackNames(path, options);
    const watch = new FileWatch([path]);
    const check = (): void => {
      const replaced = watch.problem();
      if (replaced !== undefined) throw new StoreError('ERR_STORE_BUSY', `failed to migrate ${path}: ${replaced}`);
    };
    const { file, uuid } = inspect(path, { state: 'absent' }, options.busyTimeoutMs);
    if (file.kind === 'other' || file.kind === 'empty') throw new StoreError('ERR_STORE_NOT_A_STORE', `${path} is not a store: it holds ${file.kind === 'other' ? file.holds : 'nothing'}`);
    if (file.kind === 'store') checkKnown(path, file.version);
    using db = openToWrite(path, options, check);
    const hasNoStep = file.kind === 'store' && file.version === version;
    if (force || hasNoStep) setPragmas(db);
    else lockOut(db, path, `migrate ${path} to version ${version}`, 'with force it is migrated all the same');
    check();
    checkpointFound(db, path);
    const from = inTransaction(db, () => {
      const kind = identify(db);
      const current = kind.kind === 'store' ? kind.version : 0;
      checkKnown(path, current);
      migrateSchema(db, current, version, readClock(options), force);
      return current;
    });
    checkpointFound(db, path);
    if (version > 0) switchToWal(db, path, options);
    const moved = version > 0 ? undefined : moveOwnSnapshot(snapshotPathOf(path), uuid, options);
    return { from, to: version, steps: stepsBetween(from, version), ...(moved === undefined ? undefined : { moved }) };
  });
}

/** A new file has two names for a moment, and one that is being exchanged, which only whoever has the turn may take away. */
function takeBackNames(path: string, options: CheckedOptions): void {
  using _turn = takeTurn(path, options);
  removeOwnNames(path);
}

/** A file without identity has no snapshot file: the one of the store that it was would keep it from being adopted again. */
function moveOwnSnapshot(snapshotPath: string, uuid: string | undefined, options: CheckedOptions): string | undefined {
  const snapshot = readSnapshotFile(snapshotPath);
  return snapshot.state === 'whole' && snapshot.content.store === uuid ? moveAside(snapshotPath, 'migrated-down', readClock(options)) : undefined;
}
