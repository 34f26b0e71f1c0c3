// The ledger of a log that is shortened: it is cut at the same row, beside whoever has it open.
import assert from 'node:assert/strict';
import * as system from 'node:fs';
import { copyFileSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { LedgerCut } from '../../lib/ledger/cut.ts';
import type { End } from '../../lib/ledger/end.ts';
import { replay } from '../../lib/ledger/index.ts';
import { LedgerTail } from '../../lib/ledger/tail.ts';
import { archiveAudits } from '../../lib/modules/archive/archive.ts';
import { connect } from '../../lib/store.ts';
import { archiveUpTo, checkParity, idsOf, kindsOfAll, type Kiosk, kioskIn, range } from '../support/archive.ts';
import { Worker } from '../support/child.ts';
import { TestFolder } from '../support/folder.ts';
import { filesWith, ledgerIn, systemError } from '../support/ledger.ts';

/** A kiosk whose store has a ledger. */
function kioskWithLedger(folder: TestFolder, options: Parameters<typeof kioskIn>[1] = {}): Kiosk {
  return kioskIn(folder, { ledger: ledgerIn(folder), ...options });
}

function headerIn(path: string): { after?: { id: number; hash: string } } {
  return JSON.parse(readFileSync(path, 'utf8').split('\n')[0]!) as { after?: { id: number; hash: string } };
}

test('the ledger is cut at the row at which the log is, and both go on', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskWithLedger(folder);
  const { store, clocks } = kiosk;
  store.addUsage('minecraft', '2026-01-12', 90_500);
  store.setCooldownUntil('minecraft', new Date(clocks.wall + 1_000));
  const { anchor } = await archiveUpTo(kiosk, 40);
  const ledger = ledgerIn(folder);
  assert.deepEqual(headerIn(folder.file('audit.jsonl')).after, anchor);
  assert.deepEqual([...ledger.iterate()].map(({ id }) => id), idsOf(store));
  assert.equal(idsOf(store)[0], 41);
  store.appendAudit({ type: 'service_started' });
  store.addUsage('minecraft', '2026-01-12', 500);
  await checkParity(store, ledger);
  const again = await archiveUpTo(kiosk, 60);
  assert.deepEqual(headerIn(folder.file('audit.jsonl')).after, again.anchor);
  store.clearCooldown('minecraft');
  await checkParity(store, ledger);
  assert.equal(await kindsOfAll(kiosk), 'ok');
  store.close();
  const reopened = folder.open({ ...clocks.options, ledger });
  assert.equal(reopened.recovery, undefined);
  assert.equal(reopened.getUsage('minecraft', '2026-01-12'), 91_000);
  await checkParity(reopened, ledger);
  const names = readdirSync(folder.path).filter((name) => name.startsWith('.'));
  assert.deepEqual(names, [], 'no temporary file is left');
});

test('another store object that has the ledger open goes on over the cut, and writes to the new file', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskWithLedger(folder);
  const ledger = ledgerIn(folder);
  const service = folder.open({ ...kiosk.clocks.options, ledger });
  service.appendAudit({ type: 'service_started' });
  await archiveUpTo(kiosk, 40);
  const { id } = service.appendAudit({ type: 'service_stopped' });
  assert.equal(ledgerIn(folder).head?.id, id);
  await archiveUpTo(kiosk, 50);
  await archiveUpTo(kiosk, 60);
  assert.ok(service.isHealthy());
  service.addUsage('a', '2026-01-12', 5);
  kiosk.store.addUsage('a', '2026-01-12', 5);
  await checkParity(service, ledger);
  await checkParity(kiosk.store, ledgerIn(folder));
});

test('who has the ledger open and has not written since the cut reads the new file, not the old one', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskWithLedger(folder);
  const ledger = ledgerIn(folder);
  const service = folder.open({ ...kiosk.clocks.options, ledger });
  service.appendAudit({ type: 'service_started' });
  await archiveUpTo(kiosk, 40);
  const { id } = kiosk.store.appendAudit({ type: 'service_stopped' });
  await checkParity(service, ledger);
  ledger.refresh();
  assert.deepEqual([ledger.head?.id, [...ledger.iterate()][0]?.id, ledger.length], [id, 41, id - 40]);
  assert.deepEqual(await replay(service, ledger).then(({ replayed }) => replayed), 0);
});

test('a service that appends without pause in another process does so over the cut', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskWithLedger(folder, { perDay: 300 });
  const at = new Date(kiosk.clocks.wall).toISOString();
  const [ledger, stop] = [folder.file('audit.jsonl'), folder.file('stop')];
  const worker = new Worker(t, 'archive', ['append', folder.file(), ledger, stop, at]);
  await worker.told(1);
  for (const id of [1_500, 2_000, 3_000]) await archiveUpTo(kiosk, id);
  writeFileSync(stop, '');
  const count = Number((await worker.result())[1]);
  assert.ok(count > 5, `${count} events`);
  const events = kiosk.store.getRecentAudits(10_000, { since: new Date(kiosk.clocks.wall), type: 'policy_loaded' });
  assert.equal(events.length, count);
  await checkParity(kiosk.store, ledgerIn(folder));
  assert.equal(await kindsOfAll(kiosk), 'ok');
});

test('a file that is put in the place of the ledger and is no cut of it stops the store all the same', async (t) => {
  for (const [name, replace] of Object.entries<(folder: TestFolder, path: string) => unknown>({
    'a copy of itself': (folder, path) => {
      copyFileSync(path, folder.file('copy'));
      renameSync(folder.file('copy'), path);
    },
    'nothing': (_folder, path) => rmSync(path),
    'noise': (folder, path) => {
      writeFileSync(folder.file('copy'), 'x'.repeat(5_000));
      renameSync(folder.file('copy'), path);
    },
    'a cut behind a row that the log has otherwise': (folder, path) => {
      const [first, ...lines] = readFileSync(path, 'utf8').split('\n');
      const header = { ...(JSON.parse(first!) as object), after: { id: 20, hash: '0'.repeat(64) } };
      writeFileSync(folder.file('copy'), [JSON.stringify(header), ...lines.slice(20)].join('\n'));
      renameSync(folder.file('copy'), path);
    },
    'another store\'s, cut': (folder, path) => {
      const [first, ...lines] = readFileSync(path, 'utf8').split('\n');
      const header = JSON.parse(first!) as { store: string };
      header.store = header.store.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
      const { hash } = JSON.parse(lines[19]!) as { hash: string };
      const after = { id: 20, hash };
      writeFileSync(folder.file('copy'), [JSON.stringify({ ...header, after }), ...lines.slice(20)].join('\n'));
      renameSync(folder.file('copy'), path);
    },
  })) {
    const folder = new TestFolder(t);
    const { store, clocks } = kioskWithLedger(folder);
    const other = folder.open({ ...clocks.options, ledger: ledgerIn(folder) });
    replace(folder, folder.file('audit.jsonl'));
    for (const each of [store, other]) {
      assert.throws(() => each.appendAudit({ type: 'service_started' }), { code: /^ERR_STORE_/ }, name);
      assert.equal(each.isHealthy(), false, name);
    }
  }
});

test('a reader whose ledger is cut between two calls, or while it reads, reads whole lines', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskWithLedger(folder);
  const reader = ledgerIn(folder);
  const begun = reader.iterate();
  begun.next();
  await archiveUpTo(kiosk, 40);
  const { store } = kiosk;
  // So many events that the cut ledger is longer than the one that was opened.
  store.appendAudits(Array.from({ length: 500 }, () => ({ event: { type: 'policy_loaded', entryCount: 1 } as const })));
  const ids = idsOf(store);
  assert.equal([...begun].length, 120, 'the file that it began to read');
  assert.deepEqual([...reader.iterate()].map(({ id }) => id), ids);
});

test('a process that dies between the cut and its commit does not stop the others', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskWithLedger(folder);
  const other = folder.open({ ...kiosk.clocks.options, ledger: ledgerIn(folder) });
  other.appendAudit({ type: 'service_started' });
  await archiveUpTo(kiosk, 40);
  other.appendAudit({ type: 'service_started' });
  const row = [...kiosk.store.iterateAudits({ toId: 60 })].at(-1)!;
  const { log } = connect(kiosk.store).parts;
  const tail = new LedgerTail(folder.file('audit.jsonl'), system);
  tail.hold();
  tail.refresh(true);
  using cut = new LedgerCut(tail, folder.file('temporary'));
  const committed = async (): Promise<End> => tail.refresh(true);
  assert.equal(await cut.copy({ id: row.id, hash: log.hashAt(row.id)! }, committed, undefined), true);
  const died = new Error('died');
  assert.throws(() => connect(kiosk.store).write('test', 'cut', () => {
    cut.place();
    throw died;
  }), (error: Error) => error === died || error.cause === died);
  tail.letGo();
  for (const each of [other, kiosk.store]) {
    assert.ok(each.isHealthy());
    each.appendAudit({ type: 'service_stopped' });
  }
  assert.equal(headerIn(folder.file('audit.jsonl')).after?.id, 60);
  await checkParity(other, ledgerIn(folder));
  assert.deepEqual(idsOf(other).slice(0, 20), range(41, 60), 'the log was not cut there');
  other.close();
  kiosk.store.close();
  const again = folder.open({ ...kiosk.clocks.options, ledger: ledgerIn(folder) });
  assert.equal(again.recovery, undefined);
  assert.equal((await archiveAudits(again, { folder: kiosk.archives, upTo: { id: 60 } }))?.to, 60);
  await checkParity(again, ledgerIn(folder));
});

test('lines that another store has written and takes back are in no cut ledger', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskWithLedger(folder, { busyTimeoutMs: 20 });
  const { log } = connect(kiosk.store).parts;
  const [row] = kiosk.store.getRecentAudits(1, { beforeId: 41 });
  const behind = { id: row!.id, hash: log.hashAt(row!.id)! };
  let cutting: Promise<unknown> | undefined;
  let isFull = false;
  const files = filesWith({
    fsyncSync: (fd) => {
      if (!isFull) return system.fsyncSync(fd);
      isFull = false;
      cutting = log.ledger!.cutBehind(behind, undefined);
      cutting.catch(() => {});
      throw systemError('ENOSPC', 'fsync');
    },
  });
  const other = folder.open({ ...kiosk.clocks.options, ledger: ledgerIn(folder, { files }) });
  isFull = true;
  assert.throws(() => other.appendAudit({ type: 'policy_loaded', entryCount: 1 }), { code: 'ERR_STORE_DISK_FULL' });
  other.appendAudit({ type: 'policy_loaded', entryCount: 2 });
  await cutting!;
  other.appendAudit({ type: 'policy_loaded', entryCount: 3 });
  assert.deepEqual((await ledgerIn(folder).verify()).findings, []);
  assert.equal(ledgerIn(folder).head?.id, 123);
});

/** Damages a line far before the end of the ledger, which is all that an open looks at. */
function damageLine(path: string, id: number): void {
  const bytes = readFileSync(path);
  const at = bytes.indexOf(`{"id":${id},`);
  writeFileSync(path, bytes.fill('x', at, at + 30));
}

test('a line that is damaged before the cut does not keep the ledger from being cut', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskWithLedger(folder, { perDay: 100 });
  damageLine(folder.file('audit.jsonl'), 12);
  assert.equal((await ledgerIn(folder).verify()).ok, false);
  await archiveUpTo(kiosk, 400);
  await checkParity(kiosk.store, ledgerIn(folder));
  assert.equal(await kindsOfAll(kiosk), 'ok');
});

test('a ledger that is damaged at the cut is not cut, nothing is lost, and one made anew begins there', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskWithLedger(folder, { perDay: 100 });
  const path = folder.file('audit.jsonl');
  damageLine(path, 400);
  await assert.rejects(archiveUpTo(kiosk, 400), { code: 'ERR_STORE_PARITY' });
  assert.equal(await kindsOfAll(kiosk), 'ok');
  assert.equal(idsOf(kiosk.store)[0], 401);
  kiosk.store.close();
  renameSync(path, folder.file('damaged.jsonl'));
  kiosk.store = folder.open({ ...kiosk.clocks.options, ledger: ledgerIn(folder) });
  assert.equal(headerIn(path).after?.id, 400);
  await archiveUpTo(kiosk, 500);
  await checkParity(kiosk.store, ledgerIn(folder));
});

test('a ledger whose row at the cut is not the one that the log had is not cut', async (t) => {
  const folder = new TestFolder(t);
  const { store } = kioskWithLedger(folder);
  const before = readFileSync(folder.file('audit.jsonl'));
  const { ledger } = connect(store).parts.log;
  await assert.rejects(ledger!.cutBehind({ id: 40, hash: '0'.repeat(64) }, undefined), { code: 'ERR_STORE_PARITY' });
  assert.deepEqual(readFileSync(folder.file('audit.jsonl')), before);
});

test('a ledger is cut behind its first row, too', async (t) => {
  const folder = new TestFolder(t);
  const { store } = kioskWithLedger(folder);
  const { log } = connect(store).parts;
  const ids = idsOf(store);
  await log.ledger!.cutBehind({ id: ids[0]!, hash: log.hashAt(ids[0]!)! }, undefined);
  assert.deepEqual([...ledgerIn(folder).iterate()].map(({ id }) => id), ids.slice(1));
});

test('the row at the cut is found wherever the parts end in which the ledger is read', async (t) => {
  const path = (folder: TestFolder): string => folder.file('audit.jsonl');
  for (let cut = 0; cut <= 10; cut++) {
    const folder = new TestFolder(t, { inMemory: true });
    const store = folder.open({ ledger: ledgerIn(folder) });
    const append = (length: number): number => {
      return store.appendAudit({ type: 'session_started', sessionId: 'session', entryId: 'x'.repeat(length) }).id;
    };
    const size = (): number => system.statSync(path(folder)).size;
    const headerBytes = readFileSync(path(folder)).indexOf('\n') + 1;
    const bytes = size();
    append(1);
    const lineBytes = size() - bytes - 1; // but for the name
    // So many bytes of the newline and of `{"id":3,` are at the end of the first part of 256 KiB.
    const end = headerBytes - 1 + 256 * 1024 - cut;
    append(end + 1 - size() - lineBytes);
    assert.equal(size(), end + 1);
    const id = append(1);
    append(1);
    const { log } = connect(store).parts;
    await log.ledger!.cutBehind({ id, hash: log.hashAt(id)! }, undefined);
    assert.equal(headerIn(path(folder)).after?.id, id);
    assert.deepEqual([...ledgerIn(folder).iterate()].map((line) => line.id), [id + 1]);
    store.close();
  }
});
