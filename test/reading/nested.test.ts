// A read inside of a read, while another process writes to the file: both are made again, on what is there then.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Outbox } from '../../lib/modules/outbox/outbox.ts';
import { connect } from '../../lib/store.ts';
import { TestFolder } from '../support/folder.ts';

/** Appends an event as a process that opens and closes the store. */
function append(folder: TestFolder): void {
  using store = SqliteStore.open(folder.file());
  store.appendAudit({ type: 'service_started' });
}

test('a read inside of one that has to be made again is made again with it', (t) => {
  for (const together of [true, false]) {
    const folder = new TestFolder(t);
    append(folder);
    const door = connect(folder.closing(SqliteStore.openReadOnly(folder.file())));
    const count = (): number => door.get<[number]>('SELECT count(*) FROM audit_log')![0];
    let attempts = 0;
    const outer = (): number[] => {
      const before = count();
      if (attempts++ === 0) append(folder);
      return [before, door.read('count the events', count), count()];
    };
    const found = together ? door.readTogether('count twice', outer) : door.read('count twice', outer);
    assert.deepEqual([found, attempts], [[2, 2, 2], 2]);
  }
});

test('a batch is read to its end while others open, write and close the store', (t) => {
  const folder = new TestFolder(t);
  append(folder);
  const outbox = new Outbox(folder.closing(SqliteStore.openReadOnly(folder.file())), 'centre');
  for (let count = 2; count < 10; count++) {
    append(folder);
    assert.equal(outbox.read()!.to, count);
  }
});
