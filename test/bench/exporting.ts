// Exporting a long log as CSV: how fast beside reading its rows and making JSON of them, and how much memory it takes.
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeLong } from './fill.ts';
import { inTurn, timed } from './measure.ts';
import { ask } from './processes.ts';
import { limited, type Row, speed } from './row.ts';
import type { Sizes } from './sizes.ts';

/** Over so many events. */
export async function exporting(folder: string, built: string, { walked, walks: rounds }: Sizes): Promise<Row[]> {
  const path = join(folder, 'exported.db');
  makeLong(path, walked);
  const told: { bytes: number; seconds: number }[] = [];
  const [ours, theirs] = inTurn(rounds, () => {
    told.push(JSON.parse(ask(built, 'export', path, 'audit')) as { bytes: number; seconds: number });
    return told.at(-1)!.seconds * 1e6 / walked;
  }, () => timed(() => readRows(path)) * 1000 / walked);
  const events = `${walked.toLocaleString('en')} events`;
  const bytes = Math.max(...told.map((each) => each.bytes));
  // Each event begins a session, and none ends: no other log has as much that could wait.
  const sessions = JSON.parse(ask(built, 'export', path, 'sessions')) as { bytes: number };
  return [
    speed(`export of ${events} as CSV, an event`, 'its columns read by node:sqlite, as JSON', [ours, theirs], 0.2),
    limited(`memory of an export of ${events}, above idle`, bytes / 1e6, 32, 'MB'),
    limited('memory of an export of as many sessions, above idle', sessions.bytes / 1e6, 32, 'MB'),
  ];
}

/** The least that an export of any form does. */
function readRows(path: string): void {
  using db = new DatabaseSync(path, { readOnly: true });
  const page = db.prepare('SELECT * FROM audit_log WHERE id > ? ORDER BY id LIMIT 500');
  for (let last = 0; ; ) {
    const rows = page.all(last) as { id: number }[];
    for (const row of rows) JSON.stringify(row);
    if (rows.length < 500) return;
    last = rows.at(-1)!.id;
  }
}
