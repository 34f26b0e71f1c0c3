// The schema of a file moved to another version, up or down.
import { statSync } from 'node:fs';
import { checkSync, checkVersion, inTransaction, setPragmas, switchToWal } from '../core/handle.ts';
import type { CheckedOptions } from '../core/options.ts';
import { identify, notAStore, schemaVersion } from '../core/schema.ts';
import { readSnapshotFile } from '../core/snapshot-file.ts';
import type { MigrationStep } from '../core/sql-files.ts';
import { FileWatch } from '../core/watch.ts';
import { migrateSchema, stepsBetween } from '../migrate/steps.ts';
import { type NewerSchema, newerSchema } from '../reading/newer.ts';
import { checkpointFound, openToWrite } from '../recovery/found-wal.ts';
import { inspect } from '../recovery/inspect.ts';
import { takeTurn } from '../recovery/lock.ts';
import { hasSecondName, removeOwnNames } from '../recovery/names.ts';
import { readClock } from '../values/checks.ts';
import { attempt, StoreError } from '../values/errors.ts';
import { moveAside } from '../values/files.ts';
import { snapshotPathOf } from '../values/paths.ts';
import { lockOut } from './alone.ts';

/**
 * What `SqliteStore.migrate` did: the versions, the steps in the order taken and, if the snapshot file was moved, where
 * to.
 */
export interface MigrationReport {
  from: number;
  to: number;
  steps: MigrationStep[];
  moved?: string;
}

/** Refuses a version that there is none of, and a path without a file. */
export function checkTarget(path: string, version: number): void {
  if (version > schemaVersion) {
    const message = `there is no schema version ${version}; the newest is ${schemaVersion}`;
    throw new StoreError('ERR_STORE_MIGRATION', message);
  }
  statSync(path);
}

/** Looks at a file that is to be migrated, and refuses what cannot be. */
export function lookAt(path: string, options: CheckedOptions): { version: number; uuid: string | undefined } {
  const { file, origin, newer } = inspect(path, { state: 'absent' }, options.busyTimeoutMs);
  if (file.kind === 'other' || file.kind === 'empty') throw notAStore(path, file);
  refuseNewer(path, newer);
  return { version: file.kind === 'store' ? file.version : 0, uuid: origin?.store };
}

/** Moves the schema of a file that is there; see `SqliteStore.migrate`. */
export function migrateFile(path: string, version: number, force: boolean, options: CheckedOptions): MigrationReport {
  const what = `migrate ${path} to version ${version}`;
  return attempt(what, () => {
    checkVersion();
    checkSync();
    checkTarget(path, version);
    if (hasSecondName(path)) takeBackNames(path, options);
    const watch = new FileWatch([path]);
    const check = (): void => watch.check(`migrate ${path}`);
    const found = lookAt(path, options);
    using db = openToWrite(path, options, check);
    if (force || found.version === version) setPragmas(db);
    else lockOut(db, path, what, 'with force it is migrated all the same');
    check();
    checkpointFound(db, path);
    const from = inTransaction(db, () => {
      const kind = identify(db);
      const current = kind.kind === 'store' ? kind.version : 0;
      refuseNewer(path, newerSchema(db, path, kind));
      migrateSchema(db, current, version, readClock(options), force);
      return current;
    });
    checkpointFound(db, path);
    if (version > 0) switchToWal(db, path, options.busyTimeoutMs);
    const moved = version > 0 ? undefined : moveOwnSnapshot(snapshotPathOf(path), found.uuid, options);
    return { from, to: version, steps: stepsBetween(from, version), ...(moved === undefined ? undefined : { moved }) };
  });
}

function refuseNewer(path: string, newer: NewerSchema | undefined): void {
  if (!newer) return;
  const why = `only the version of this package that wrote it has the way down from schema version ${newer.version}`;
  throw new StoreError('ERR_STORE_SCHEMA_TOO_NEW', `${path} is of a newer version: ${why}`);
}

/** A new or exchanged file has two names for a moment, and only whoever has the turn may take the second one away. */
function takeBackNames(path: string, options: CheckedOptions): void {
  using _turn = takeTurn(path, options);
  removeOwnNames(path);
}

/** A file without identity has no snapshot file: that of the store it was would keep it from being adopted again. */
function moveOwnSnapshot(snapshotPath: string, uuid: string | undefined, options: CheckedOptions): string | undefined {
  const snapshot = readSnapshotFile(snapshotPath);
  if (snapshot.state !== 'whole' || snapshot.content.store !== uuid) return undefined;
  return moveAside(snapshotPath, 'migrated-down', readClock(options));
}
