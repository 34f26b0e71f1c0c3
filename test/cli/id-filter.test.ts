// The ids that export has seen: none is ever missed, and hardly any other is taken for one of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdFilter } from '../../lib/cli/id-filter.ts';

test('it has every id that was added, and of a hundred thousand others none', () => {
  const filter = new IdFilter();
  const ids = Array.from({ length: 100_000 }, (_, number) => `session-${number}`);
  assert.ok(!filter.mayHave(ids[0]!));
  for (const id of ids) filter.add(id);
  assert.ok(ids.every((id) => filter.mayHave(id)));
  assert.deepEqual(ids.filter((id) => filter.mayHave(`another ${id}`)), []);
});
