// Backups on sticks and cards: FAT and exFAT have no hard links, no owners and no modes.
import assert from 'node:assert/strict';
import { linkSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildLedger, verifyParity } from '../../lib/ledger/index.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { checkStore, TestFolder } from '../support/folder.ts';
import { openBoth } from '../support/ledger.ts';
import { insertStick } from '../support/stick.ts';
import { needs } from '../support/tools.ts';

const day = '2026-11-21';

for (const kind of ['vfat', 'exfat'] as const) {
  test(
    `a store is backed up to a ${kind} stick and restored from it, its ledger rebuilt there, and nothing overwritten`,
    needs(`mkfs.${kind}`),
    async (t) => {
      const stick = insertStick(kind);
      if (!stick) return t.diagnostic(`left out: ${kind} cannot be mounted by this kernel or this user`);
      t.after(() => stick.remove());
      const at = (name: string): string => join(stick.path, name);
      writeFileSync(at('there'), 'mine');
      assert.throws(() => linkSync(at('there'), at('second')), /^Error: E(PERM|NOSYS|OPNOTSUPP|NOTSUP)\b/);
      const folder = new TestFolder(t);
      const store = openBoth(folder);
      store.addUsage('minecraft', day, 90_500);
      store.saveSnapshot({ timestamp: new Date(0) });
      const made = await backup(store, at('backup.db'));
      await rebuildLedger(store, at('audit.jsonl'));
      assert.deepEqual(readdirSync(at('')).sort(), ['audit.jsonl', 'backup.db', 'backup.snapshot.json', 'there']);
      for (const name of ['backup.db', 'there'])
        await assert.rejects(backup(store, at(name)), { code: 'ERR_STORE_CONFLICT' });
      await assert.rejects(rebuildLedger(store, at('audit.jsonl')), { code: 'ERR_STORE_CONFLICT' });
      assert.equal(readFileSync(at('there'), 'utf8'), 'mine');
      assert.ok((await verifyParity(store, Ledger.open(at('audit.jsonl')))).isConsistent);

      await restore(made.path, folder.file('restored.db'));
      await checkStore(folder.file('restored.db'));
      using restored = SqliteStore.openReadOnly(folder.file('restored.db'));
      assert.deepEqual(
        [restored.getUsage('minecraft', day), restored.loadSnapshot()],
        [90_500, { timestamp: new Date(0) }],
      );
    },
  );
}
