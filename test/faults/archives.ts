// Stores whose log is archived, and what must hold of them: the rows of the log and of the files together are those
// that were appended, and the next archiving finishes what was cut short.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Anchor, SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { type LedgerLine, toRow } from '../../lib/ledger/line.ts';
import { archiveAudits, listArchives, verifyArchives } from '../../lib/modules/archive/archive.ts';
import { connect } from '../../lib/store.ts';
import type { Settings } from './child.ts';
import { type LoggedRow, type View, viewOf } from './view.ts';

/** The rows in the files of a folder; one that cannot be read throws. */
export function rowsInArchives({ archives }: Pick<Settings, 'archives'>): LoggedRow[] {
  if (archives === undefined || !existsSync(archives)) return [];
  return listArchives(archives).flatMap(({ path }) => Array.from(Ledger.open(path).iterate(), asLogged));
}

function asLogged(line: LedgerLine): LoggedRow {
  const { id, timestamp, type, data, meta } = toRow(line);
  return [id, timestamp, type, data, meta] as LoggedRow;
}

/** Archives all that was there, which must leave it in the files alone, and nothing of what was cut short. */
export async function finishArchiving(store: SqliteStore, settings: Settings, before: View): Promise<void> {
  const archives = settings.archives!;
  const options = settings.key === undefined ? undefined : { publicKey: readFileSync(`${settings.key}.pub`, 'utf8') };
  const found = existsSync(archives) ? await verifyArchives(store, archives, options) : undefined;
  // Each file that has its name verifies. What was forgotten is not missed; what was not recorded is in the log too.
  assert.deepEqual(found?.findings ?? [], []);
  const head = store.auditHead()!;
  const done = await archiveAudits(store, { folder: archives, upTo: { keepDays: 30 } });
  const beginning = connect(store).parts.log.beginning();
  assert.ok(done && beginning.id === done.to && beginning.id >= head.id - ownEvents, 'the next archiving finishes');
  assert.ok([...store.iterateAudits()].every(({ id }) => id > done.to));
  const view = viewOf(store, settings.path, connect, rowsInArchives(settings));
  assert.deepEqual(view.tables, before.tables, 'the next archiving keeps everything');
  assert.deepEqual(leftIn(settings), []);
  const report = await verifyArchives(store, archives, { ...options, anchor: head });
  assert.deepEqual(report.findings, []);
  if (settings.ledger !== undefined) checkCut(settings.ledger, done.anchor);
}

/** How many events at the end of the log may be those of the archiving itself, which are younger. */
const ownEvents = 8;

/** The ledger begins where the log does. */
function checkCut(ledger: string, anchor: Anchor): void {
  const [header] = readFileSync(ledger, 'utf8').split('\n', 1);
  assert.deepEqual((JSON.parse(header!) as { after?: Anchor }).after, anchor);
}

/** Files that only an archiving has while it runs. */
function leftIn({ path, ledger, archives }: Settings): string[] {
  const folders = new Set([dirname(path), ...(ledger === undefined ? [] : [dirname(ledger)]), archives!]);
  const names = [...folders].flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
  return names.filter((name) => /shepherd-store-[0-9a-f-]{36}\.|-lock$/.test(name));
}
