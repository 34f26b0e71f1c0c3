// A ledger that another process, or another handle, has cut behind rows that are archived.
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, verifyParity } from '../../lib/ledger/index.ts';
import { archiveAudits, listArchives } from '../../lib/modules/archive/archive.ts';
import { checkSound, dates, makeOld, openAt, placesIn, upTo } from '../support/archives.ts';
import { TestFolder } from '../support/folder.ts';

test('a store whose ledger another one has cut is as healthy as before, and goes on with the new file', async (t) => {
  const folder = new TestFolder(t);
  const places = placesIn(folder.path, true);
  makeOld(places, 10);
  const [service, command] = [openAt(places, dates.now), openAt(places, dates.now)].map((each) => folder.closing(each));
  service!.appendAudit({ type: 'service_started' });
  assert.ok(await archiveAudits(command!, { folder: places.archives, upTo }));
  assert.equal(service!.isHealthy(), true);
  assert.deepEqual(service!.health().findings, []);
  const { id } = service!.appendAudit({ type: 'service_started' });
  assert.equal(command!.auditHead()!.id, id);
  await checkSound(service!, places);
});

test('a file that is no cut of the ledger, or an older copy of it, in its place is a finding before anything is '
  + 'written', (t) => {
  const folder = new TestFolder(t);
  const places = placesIn(folder.path, true);
  makeOld(places, 10);
  const store = folder.closing(openAt(places, dates.now));
  store.appendAudit({ type: 'service_started' });
  const put = (write: (path: string) => void): void => {
    write(folder.file('other'));
    renameSync(folder.file('other'), places.ledger!);
  };
  for (const write of [
    (path: string) => copyFileSync(places.ledger!, path),
    (path: string) => writeFileSync(path, 'something else\n'),
  ]) {
    put(write);
    assert.equal(store.isHealthy(), false);
    assert.deepEqual(store.health().findings.map(({ kind }) => kind), ['replaced']);
  }
  assert.throws(() => store.appendAudit({ type: 'service_started' }), { code: 'ERR_STORE_IO' });
});

test('an event id that was used again after its event was archived keeps no database from being rebuilt, from all '
  + 'files or from a ledger that was not cut yet', async (t) => {
  const folder = new TestFolder(t);
  const places = placesIn(folder.path, true);
  makeOld(places, 10);
  let store = openAt(places, dates.old);
  store.appendAudit({ type: 'service_started' }, { eventId: 'twice' });
  store.close();
  const uncut = readFileSync(places.ledger!, 'utf8');
  store = folder.closing(openAt(places, dates.later));
  assert.ok(await archiveAudits(store, { folder: places.archives, upTo }));
  const { id } = store.appendAudit({ type: 'service_started' }, { eventId: 'twice' });
  store.close();
  // A power cut before the ledger was cut leaves it with all lines.
  const [, ...lines] = readFileSync(places.ledger!, 'utf8').split('\n');
  writeFileSync(folder.file('uncut.jsonl'), uncut + lines.join('\n'));
  const archive = listArchives(places.archives)[0]!;
  for (const [name, ledgers] of [
    ['all', [archive.path, places.ledger!]], ['uncut', [folder.file('uncut.jsonl')]],
  ] as const) {
    await rebuildDatabase(ledgers.map((path) => Ledger.open(path)), folder.file(`${name}.db`));
    using rebuilt = SqliteStore.openReadOnly(folder.file(`${name}.db`));
    assert.deepEqual(Array.from(rebuilt.iterateAudits({ toId: archive.to })), []);
    assert.equal(rebuilt.auditHead()!.id, id);
    assert.deepEqual((await rebuilt.verifyAudit()).findings, []);
    assert.ok((await verifyParity(rebuilt, Ledger.open(places.ledger!))).isConsistent);
  }
});
