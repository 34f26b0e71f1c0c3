// The command fleet-schema: prints a file as it is.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { shepherd } from '../support/command.ts';

const file = new URL('../../lib/fleet/postgresql.sql', import.meta.url);

test('fleet-schema prints the SQL of the centre, as the file has it', async () => {
  const sql = readFileSync(file, 'utf8');
  assert.deepEqual(await shepherd(['fleet-schema', 'postgresql']), { code: 0, out: sql, err: '' });
  const machine = await shepherd(['fleet-schema', 'postgresql', '--json']);
  assert.deepEqual(JSON.parse(machine.out), { database: 'postgresql', sql });
});

test('fleet-schema names the databases that there is one for', async () => {
  for (const name of ['mysql', '../../package', 'postgresql.sql', 'PostgreSQL']) {
    const { code, out, err } = await shepherd(['fleet-schema', name]);
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, /^shepherd-store: there is no schema for ".*"; there is one for postgresql\n/);
  }
  assert.match((await shepherd(['fleet-schema'])).err, /DATABASE is missing/);
});
