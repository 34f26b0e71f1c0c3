// Losses of a store whose log was shortened: what comes back, and what is too old to be taken.
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { type OpenOptions, SqliteStore } from '../../lib/index.ts';
import { archiveAudits, verifyArchives } from '../../lib/modules/archive/archive.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import {
  archiveUpTo, checkParity, kindsOfAll, kindsOfLog, type Kiosk, kioskIn, runFor,
} from '../support/archive.ts';
import { TestFolder } from '../support/folder.ts';
import { dump, ledgerIn } from '../support/ledger.ts';

const day = '2026-01-13';

function snapshotIn(folder: TestFolder): string {
  return folder.file('store.snapshot.json');
}

/**
 * A kiosk where a session of an hour ran and ended, whose rows went into an archive; `old.json` is the snapshot file
 * from when it ran. Usage of the entry is an hour.
 */
async function afterSession(folder: TestFolder, isWithLedger: boolean): Promise<Kiosk> {
  const kiosk = kioskIn(folder, isWithLedger ? { ledger: ledgerIn(folder) } : {});
  const { store, clocks } = kiosk;
  const tracker = new SessionTracker(store, { ...clocks.forTracker, timeZone: 'UTC' });
  tracker.start({ entryId: 'minecraft' });
  clocks.pass(3_600_000);
  tracker.touch();
  copyFileSync(snapshotIn(folder), folder.file('old.json'));
  tracker.end({ type: 'user_stop' });
  runFor(store, clocks, 5, 10);
  await archiveUpTo(kiosk, 150);
  return kiosk;
}

function again(folder: TestFolder, { clocks }: Kiosk, options: OpenOptions = {}): SqliteStore {
  return folder.open({ ...clocks.options, ...options });
}

function findingsOf(store: SqliteStore): string[] {
  return store.health().findings.map(({ kind }) => kind);
}

test('a snapshot file from before the archived part is a finding, is not taken, and charges nothing', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = await afterSession(folder, true);
  kiosk.store.close();
  rmSync(folder.file());
  renameSync(folder.file('old.json'), snapshotIn(folder));
  const store = again(folder, kiosk, { recover: true, ledger: ledgerIn(folder) });
  assert.equal(store.getUsage('minecraft', day), 3_600_000);
  assert.deepEqual(findingsOf(store), ['snapshot-outdated']);
  assert.equal(store.health().snapshot.file.state, 'outdated');
  assert.equal(store.loadSnapshot(), undefined);
  const tracker = new SessionTracker(store, { ...kiosk.clocks.forTracker, timeZone: 'UTC' });
  assert.equal(tracker.recover(), undefined);
  assert.equal(store.getUsage('minecraft', day), 3_600_000);
  store.saveSnapshot({ timestamp: new Date(kiosk.clocks.wall) });
  assert.deepEqual(findingsOf(store), []);
  assert.deepEqual(store.loadSnapshot(), { timestamp: new Date(kiosk.clocks.wall) });
  await checkParity(store, ledgerIn(folder));
  store.close();
  assert.deepEqual(findingsOf(again(folder, kiosk, { ledger: ledgerIn(folder) })), []);
});

test('the same where the row of the snapshot is lost or damaged, with and without a ledger', async (t) => {
  for (const isWithLedger of [true, false]) {
    for (const sql of ['DELETE FROM snapshot', "UPDATE snapshot SET data = '{'"]) {
      const folder = new TestFolder(t);
      const kiosk = await afterSession(folder, isWithLedger);
      kiosk.store.close();
      folder.raw().exec(sql);
      renameSync(folder.file('old.json'), snapshotIn(folder));
      const ledger = isWithLedger ? { ledger: ledgerIn(folder) } : {};
      const store = again(folder, kiosk, ledger);
      assert.ok(findingsOf(store).includes('snapshot-outdated'), sql);
      const tracker = new SessionTracker(store, { ...kiosk.clocks.forTracker, timeZone: 'UTC' });
      try {
        assert.equal(tracker.recover(), undefined);
      } catch (error) {
        assert.equal((error as { code: string }).code, 'ERR_STORE_CORRUPT');
      }
      assert.equal(store.getUsage('minecraft', day), 3_600_000);
      assert.deepEqual(store.getRecentAudits(5, { type: 'session_ended' }), [], 'its end is in the archive');
      store.saveSnapshot({ timestamp: new Date(kiosk.clocks.wall) });
      assert.deepEqual(findingsOf(store), []);
    }
  }
});

test('a snapshot file that was written while the log was empty is as old as any before the archives', async (t) => {
  const folder = new TestFolder(t);
  const clocks = kioskIn(new TestFolder(t)).clocks;
  const store = folder.open(clocks.options);
  const session = { sessionId: 's', entryId: 'minecraft', startedAt: new Date(clocks.wall), warningsIssued: [] };
  store.saveSnapshot({ timestamp: new Date(clocks.wall), activeSession: session });
  copyFileSync(snapshotIn(folder), folder.file('old.json'));
  store.saveSnapshot({ timestamp: new Date(clocks.wall) });
  const kiosk = { store, clocks, archives: folder.file('archives') };
  runFor(store, clocks, 5, 10);
  await archiveUpTo(kiosk, 20);
  store.close();
  folder.raw().exec('DELETE FROM snapshot');
  renameSync(folder.file('old.json'), snapshotIn(folder));
  const reopened = again(folder, kiosk);
  assert.equal(reopened.loadSnapshot(), undefined);
  assert.deepEqual(findingsOf(reopened), ['snapshot-outdated']);
});

test('the session that runs is recovered from the snapshot file over archiving and a lost database', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { ledger: ledgerIn(folder) });
  const { clocks } = kiosk;
  const tracker = new SessionTracker(kiosk.store, { ...clocks.forTracker, timeZone: 'UTC' });
  tracker.start({ entryId: 'minecraft' });
  clocks.pass(3_600_000);
  tracker.touch();
  runFor(kiosk.store, clocks, 5, 10);
  assert.equal((await archiveAudits(kiosk.store, { folder: kiosk.archives, upTo: { keepDays: 1 } }))?.to, 121);
  kiosk.store.close();
  rmSync(folder.file());
  const store = again(folder, kiosk, { recover: true, ledger: ledgerIn(folder) });
  assert.deepEqual(findingsOf(store), []);
  const ended = new SessionTracker(store, { ...clocks.forTracker, timeZone: 'UTC' }).recover();
  assert.equal(ended?.durationMs, 3_600_000);
  assert.equal(store.getUsage('minecraft', day), 3_600_000);
  await checkParity(store, ledgerIn(folder));
  assert.equal(await kindsOfAll({ ...kiosk, store }), 'ok');
});

test('a lost database comes back from the cut ledger and the snapshot file as it was', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = await afterSession(folder, true);
  const { store, clocks } = kiosk;
  store.grantTime({ subject: 'minecraft', day, durationMs: 5 });
  store.adjustBalance({ subject: 'minecraft', durationMs: 5 });
  await archiveUpTo(kiosk, 155);
  store.saveSnapshot({ timestamp: new Date(clocks.wall) });
  const before = dump(store);
  store.close();
  for (const harm of [
    () => rmSync(folder.file()),
    () => writeFileSync(folder.file(), readFileSync(folder.file()).fill(0x55, 100, 9_000)),
  ]) {
    harm();
    const reopened = again(folder, kiosk, { recover: true, ledger: ledgerIn(folder) });
    assert.deepEqual(dump(reopened), before);
    assert.deepEqual(findingsOf(reopened), []);
    assert.equal(await kindsOfAll({ ...kiosk, store: reopened }), 'ok');
    await checkParity(reopened, ledgerIn(folder));
    reopened.close();
  }
});

test('limits whose last event went into an archive are no loss, however often the store is opened', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { days: 1 });
  const { store, clocks } = kiosk;
  store.grantTime({ subject: 'a', day, durationMs: 5 });
  store.saveSnapshot({ timestamp: new Date(clocks.wall) });
  copyFileSync(snapshotIn(folder), folder.file('old.json'));
  runFor(store, clocks, 5, 10);
  await archiveUpTo(kiosk, 40);
  const overrides = store.listOverrides();
  store.close();
  for (let count = 0; count < 2; count++) {
    copyFileSync(folder.file('old.json'), snapshotIn(folder));
    const reopened = again(folder, kiosk);
    assert.equal(reopened.recovery, undefined);
    assert.deepEqual([reopened.listOverrides(), findingsOf(reopened)], [overrides, []]);
    reopened.close();
  }
});

test('a backup of a shortened log is one: it verifies with the archives, restores, and is read', async (t) => {
  for (const isWithLedger of [true, false]) {
    const folder = new TestFolder(t);
    const kiosk = await afterSession(folder, isWithLedger);
    const ledger = (): OpenOptions => (isWithLedger ? { ledger: ledgerIn(folder) } : {});
    const { path } = await backup(kiosk.store, folder.file('backups/backup.db'));
    const reader = SqliteStore.openReadOnly(path);
    assert.equal(await kindsOfLog(reader), 'ok');
    assert.equal((await verifyArchives(reader, kiosk.archives)).ok, true);
    reader.close();
    const before = dump(kiosk.store);
    kiosk.store.addUsage('later', day, 5);
    await archiveUpTo(kiosk, 160);
    kiosk.store.close();
    await restore(path, folder.file(), kiosk.clocks.options);
    kiosk.store = again(folder, kiosk, ledger());
    if (!isWithLedger) assert.deepEqual(dump(kiosk.store), before);
    assert.equal(await kindsOfLog(kiosk.store), 'ok');
    if (isWithLedger) await checkParity(kiosk.store, ledgerIn(folder));
  }
});

test('health tells nothing of a log that was shortened, and neither does the file when it is read', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = await afterSession(folder, false);
  assert.ok(kiosk.store.isHealthy());
  assert.deepEqual(findingsOf(kiosk.store), []);
  kiosk.store.close();
  const reader = folder.closing(SqliteStore.openReadOnly(folder.file()));
  assert.ok(reader.isHealthy());
  assert.deepEqual(findingsOf(reader), []);
});

test('a shortened log is not moved to a version that would take it for damaged, unless by force', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const kiosk = await afterSession(folder, false);
  kiosk.store.close();
  assert.throws(() => SqliteStore.migrate(folder.file(), 8), { code: 'ERR_STORE_MIGRATION' });
  assert.equal(await kindsOfLog(again(folder, kiosk)), 'ok');
});
