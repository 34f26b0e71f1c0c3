// What somebody can do to a shortened log and to its archives, and what verification says of it: one table.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { genesisHash, rowHash } from '../../lib/core/chain.ts';
import { type Anchor, SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { headerText, type LedgerLine, lineText, parseHeader, parseLine } from '../../lib/ledger/line.ts';
import { type Archived, listArchives, verifyArchives } from '../../lib/modules/archive/archive.ts';
import { digestOf } from '../../lib/modules/archive/make.ts';
import { archiveUpTo, kindsIn, kindsOfAll, kindsOfLog, kioskIn, runFor } from '../support/archive.ts';
import { TestFolder } from '../support/folder.ts';
import { ledgerIn } from '../support/ledger.ts';
import { randomNumbers } from '../support/values.ts';

/** The lines of an archive without its header. */
function linesIn(path: string): LedgerLine[] {
  return textOf(path).split('\n').slice(1, -1).map((text) => parseLine(Buffer.from(text))!);
}

function textOf(path: string): string {
  const bytes = readFileSync(path);
  return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
}

/** Writes an archive anew with other text, compressed where it was. */
function rewrite(path: string, change: (text: string) => string): void {
  const text = Buffer.from(change(textOf(path)));
  writeFileSync(path, path.endsWith('.gz') ? gzipSync(text) : text);
}

/** A line with the hash that its content has behind a predecessor. */
function rehashed(line: LedgerLine, previous: string = line.prev): LedgerLine {
  const { id, at: timestamp, type, data, meta = null } = line;
  return { ...line, prev: previous, hash: rowHash(previous, { id, timestamp, type, data, meta }) };
}

/** Changes the lines of an archive, whose header stays. */
function relined(path: string, change: (lines: LedgerLine[]) => LedgerLine[]): void {
  rewrite(path, (text) => {
    return text.slice(0, text.indexOf('\n') + 1) + change(linesIn(path)).map((line) => lineText(line)).join('');
  });
}

/** Chains lines from the first to the last, behind a hash. */
function chained(lines: readonly LedgerLine[], behind: string): LedgerLine[] {
  let previous = behind;
  return lines.map((line) => {
    const made = rehashed(line, previous);
    previous = made.hash;
    return made;
  });
}

/** What a forger has: the closed files of a store whose rows 1 to 30 and 31 to 60 are in archives. */
class Forger {
  readonly folder: TestFolder;
  readonly uuid: string;
  readonly first: Archived;
  readonly second: Archived;
  readonly #db: DatabaseSync;

  constructor(folder: TestFolder, first: Archived, second: Archived) {
    [this.folder, this.first, this.second] = [folder, first, second];
    this.uuid = Ledger.open(first.path).store!;
    this.#db = new DatabaseSync(folder.file());
    const triggers = this.#db.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all();
    for (const { name } of triggers) this.run(`DROP TRIGGER ${String(name)}`);
  }

  run(sql: string, ...values: (string | number | null)[]): void {
    if (values.length > 0) this.#db.prepare(sql).run(...values);
    else this.#db.exec(sql);
  }

  hashAt(id: number): string {
    return String(this.#db.prepare('SELECT event_hash FROM audit_log WHERE id = ?').get(id)!['event_hash']);
  }

  /** Has the log begin behind a row, as archiving does. */
  beginBehind(id: number, hash = this.hashAt(id)): void {
    this.run('UPDATE store_meta SET archived_id = ?, archived_hash = ?', id, hash);
    this.run(`DELETE FROM audit_log WHERE id <= ${id}`);
  }

  /** The rows of the log from one to another, as lines. */
  lines(from: number, to: number): LedgerLine[] {
    const sql = 'SELECT * FROM audit_log WHERE id BETWEEN ? AND ? ORDER BY id';
    let prev = from === 61 ? this.second.anchor.hash : this.hashAt(from - 1);
    return this.#db.prepare(sql).all(from, to).map((row) => {
      const { id, timestamp: at, event_type: type, event_data: data, event_meta: meta, event_hash: hash } = row;
      const line = { id, at, type, data, ...(meta === null ? undefined : { meta }), prev, hash } as LedgerLine;
      prev = line.hash;
      return line;
    });
  }

  /** Puts a line into the log, in the place of the row that is there. */
  put({ id, at, type, data, meta = null as never, hash }: LedgerLine): void {
    this.run(
      `INSERT OR REPLACE INTO audit_log (id, timestamp, event_type, event_data, event_meta, event_hash)
        VALUES (?, ?, ?, ?, ?, ?)`, id, at, String(type), String(data), meta, hash,
    );
  }

  /** Appends an event with the right hash. */
  append(type: string, fields: object, eventId = `${type}:forged`): void {
    const { id, event_hash: prev, timestamp: at } = this.#db.prepare(
      'SELECT id, event_hash, timestamp FROM audit_log ORDER BY id DESC LIMIT 1').get()!;
    const meta = JSON.stringify({ eventId });
    const line = { id: Number(id) + 1, at: String(at), type, data: JSON.stringify(fields), meta, prev: String(prev) };
    this.put(rehashed({ ...line, hash: '' }));
  }

  /** Makes the file of an archive from lines, and appends the event that says so. */
  async archive(lines: readonly LedgerLine[], after: Anchor, last: Anchor): Promise<void> {
    const file = `store.db.audit-${after.id + 1}-${last.id}.jsonl`;
    const path = join(this.folder.file('archives'), file);
    const header = parseHeader(Buffer.from(textOf(this.first.path).split('\n')[0]!))!;
    writeFileSync(path, headerText({ ...header, after }) + lines.map((line) => lineText(line)).join(''));
    const { sha256 } = await digestOf(path, undefined);
    this.append('log_archived', { from: after.id + 1, to: last.id, hash: last.hash, file, sha256 });
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

const invented = (line: LedgerLine): LedgerLine => ({ ...line, data: '{"entryCount":99}' });
/** The anchor that is given was taken of this row, before anything was archived. */
const anchored = 65;

/**
 * What is done, what `verifyAudit` says of it, and what `verifyArchives` says; both are given an anchor of row 65. Row
 * 61 is the first one of the log.
 */
const table: [name: string, forge: (forger: Forger) => unknown, log: string, all: string][] = [
  ['nothing', () => {}, 'ok', 'ok'],
  // The log.
  ['rows deleted', (f) => f.run('DELETE FROM audit_log WHERE id <= 70'), 'forked, gap', 'forked, gap'],
  ['rows deleted in the middle', (f) => f.run('DELETE FROM audit_log WHERE id BETWEEN 80 AND 90'), 'gap', 'gap'],
  ['rows deleted, the beginning set to fit', (f) => f.beginBehind(70), 'archived, gap', 'archived, gap'],
  ['the same, with an event of an archive that was never made', (f) => {
    const hash = f.hashAt(70);
    f.beginBehind(70);
    const told = { from: 61, to: 70, hash, file: 'store.db.audit-61-70.jsonl', sha256: '0'.repeat(64) };
    f.append('log_archived', told);
  }, 'archived', 'archived, gap, missing'],
  ['the same, with the event of an archive of other rows', (f) => {
    f.beginBehind(70);
    const { anchor: { hash }, sha256 } = f.second;
    f.append('log_archived', { from: 31, to: 60, hash, file: 'store.db.audit-31-60.jsonl', sha256 });
  }, 'archived, gap', 'archived, gap'],
  ['the same, with a file of invented rows', async (f) => {
    const last = { id: 70, hash: f.hashAt(70) };
    const lines = f.lines(61, 70).map(invented);
    f.beginBehind(70);
    await f.archive(lines, f.second.anchor, last);
  }, 'archived', 'tampered'],
  ['the same, with a file of invented rows whose hashes fit', async (f) => {
    const last = { id: 70, hash: f.hashAt(70) };
    const lines = chained(f.lines(61, 70).map(invented), f.second.anchor.hash);
    f.beginBehind(70);
    await f.archive(lines, f.second.anchor, last);
  }, 'archived', 'changed, forked'],
  ['the same, with a file of invented rows that ends as the log had it', async (f) => {
    const last = { id: 70, hash: f.hashAt(70) };
    const lines = f.lines(61, 70);
    const forged = [...chained(lines.slice(0, 9).map(invented), f.second.anchor.hash), lines[9]!];
    f.beginBehind(70);
    await f.archive(forged, f.second.anchor, last);
  }, 'archived', 'forked, gap'],
  ['rows invented, and all hashes behind them made anew', async (f) => {
    const lines = f.lines(61, 122);
    const forged = chained(lines.map((line) => (line.id <= 70 ? invented(line) : line)), f.second.anchor.hash);
    for (const line of forged) f.put(line);
    f.beginBehind(70);
    await f.archive(forged.slice(0, 10), f.second.anchor, { id: 70, hash: forged[9]!.hash });
  }, 'archived', 'forked'],
  ['the beginning moved back', (f) => {
    f.run('UPDATE store_meta SET archived_id = 30, archived_hash = ?', f.first.anchor.hash);
  }, 'gap', 'forked, gap'],
  ['the beginning moved to before the first row', (f) => {
    f.run('UPDATE store_meta SET archived_id = NULL, archived_hash = NULL');
  }, 'gap', 'forked, gap'],
  ['the beginning taken for row 0', (f) => {
    f.run('UPDATE store_meta SET archived_id = 0, archived_hash = ?', genesisHash(f.uuid));
  }, 'gap', 'forked, gap'],
  ['another hash of the last archived row', (f) => {
    f.run('UPDATE store_meta SET archived_hash = ?', '0'.repeat(64));
  }, 'gap, tampered', 'forked, gap, tampered'],
  ['the gap called one of an adoption', (f) => {
    f.run('DELETE FROM audit_log WHERE id = 61; UPDATE store_meta SET adopted_id = 100');
  }, 'tampered', 'tampered'],
  ['a row before the beginning', (f) => f.put(linesIn(f.second.path)[29]!), 'gap', 'gap'],
  ['a row far before the beginning', (f) => f.put(rehashed({ ...linesIn(f.first.path)[0]!, id: -5 })), 'gap, tampered',
    'gap, tampered'],
  ['all rows back before the beginning', (f) => {
    for (const { path } of [f.first, f.second]) linesIn(path).forEach((line) => f.put(line));
  }, 'gap', 'gap'],
  ['an event of an archive, whose rows the log still has', (f) => {
    const told = { from: 61, to: 70, hash: f.hashAt(70), file: 'store.db.audit-61-70.jsonl', sha256: '0'.repeat(64) };
    f.append('log_archived', told);
  }, 'ok', 'missing'],
  ['an event that archives were forgotten, behind another row', (f) => {
    rmSync(f.first.path);
    rmSync(f.second.path);
    f.append('archives_forgotten', { to: 60, hash: '0'.repeat(64), files: [] });
  }, 'ok', 'forked'],
  // The archives.
  ['a byte of an archive', (f) => {
    const bytes = readFileSync(f.first.path);
    bytes[bytes.indexOf('"entryCount\\":5') + 14] = 0x39;
    writeFileSync(f.first.path, bytes);
  }, 'ok', 'changed, tampered'],
  ['a checksum in a compressed archive', (f) => {
    const bytes = readFileSync(f.second.path);
    bytes[bytes.length - 6]! ^= 1;
    writeFileSync(f.second.path, bytes);
  }, 'ok', 'gap, missing, unreadable'],
  ['a byte of the first line of an archive', (f) => {
    rewrite(f.second.path, (text) => text.replace(f.uuid, f.uuid.replace(/./, 'x')));
  }, 'ok', 'gap, missing'],
  ['a line of an archive, with a hash that fits', (f) => {
    relined(f.first.path, (lines) => lines.map((line) => (line.id === 20 ? rehashed(invented(line)) : line)));
  }, 'ok', 'changed, gap'],
  ['a line of an archive, and all hashes behind it', (f) => {
    relined(f.first.path, (lines) => {
      return chained(lines.map((line) => (line.id === 20 ? invented(line) : line)), genesisHash(f.uuid));
    });
  }, 'ok', 'changed, forked'],
  ['the first archive removed', (f) => rmSync(f.first.path), 'ok', 'gap, missing'],
  ['the last archive removed', (f) => rmSync(f.second.path), 'ok', 'gap, missing'],
  ['all archives removed', (f) => {
    rmSync(f.first.path);
    rmSync(f.second.path);
  }, 'ok', 'gap, missing'],
  ['an archive exchanged with another store\'s of the same name', (f) => {
    copyFileSync(f.folder.file('others/store.db.audit-1-30.jsonl'), f.first.path);
  }, 'ok', 'gap, missing'],
  ['another store\'s archive with this one\'s name in its header', (f) => {
    const [theirs] = textOf(f.folder.file('others/store.db.audit-1-30.jsonl')).split('\n');
    const [ours] = textOf(f.first.path).split('\n');
    const text = readFileSync(f.folder.file('others/store.db.audit-1-30.jsonl'), 'utf8');
    writeFileSync(f.first.path, text.replace(theirs!, ours!));
  }, 'ok', 'changed, forked, other-store'],
  ['an archive cut between two lines', (f) => relined(f.first.path, (lines) => lines.slice(0, 20)), 'ok',
    'changed, gap'],
  ['an archive cut inside of a line', (f) => rewrite(f.first.path, (text) => text.slice(0, -20)), 'ok',
    'changed, gap, torn-line'],
  ['an archive cut to its header', (f) => relined(f.first.path, () => []), 'ok', 'changed, gap'],
  ['an archive emptied', (f) => writeFileSync(f.first.path, ''), 'ok', 'gap, missing'],
  ['a compressed archive cut', (f) => writeFileSync(f.second.path, readFileSync(f.second.path).subarray(0, -9)), 'ok',
    'gap, missing, unreadable'],
  ['lines of an archive taken out', (f) => relined(f.first.path, (lines) => lines.toSpliced(10, 5)), 'ok',
    'changed, gap'],
  ['lines of an archive in another order', (f) => {
    relined(f.first.path, (lines) => lines.with(10, lines[11]!).with(11, lines[10]!));
  }, 'ok', 'changed, gap'],
  ['a line of an archive twice', (f) => relined(f.first.path, (lines) => lines.toSpliced(10, 0, lines[10]!)), 'ok',
    'changed, gap'],
  ['an archive compressed again', (f) => {
    writeFileSync(f.second.path, gzipSync(gunzipSync(readFileSync(f.second.path)), { level: 1 }));
  }, 'ok', 'changed'],
  ['an archive decompressed', (f) => {
    writeFileSync(f.second.path.slice(0, -3), textOf(f.second.path));
    rmSync(f.second.path);
  }, 'ok', 'missing, unrecorded'],
  ['an archive renamed', (f) => {
    renameSync(f.first.path, f.first.path.replace('1-30', '1-29'));
  }, 'ok', 'missing, unrecorded'],
  ['two archives with each other\'s names', (f) => {
    const [first, second] = [textOf(f.first.path), textOf(f.second.path)];
    rewrite(f.first.path, () => second);
    rewrite(f.second.path, () => first);
  }, 'ok', 'changed, gap'],
  ['an archive twice', (f) => copyFileSync(f.first.path, f.first.path.replace('1-30', '1-31')), 'ok', 'unrecorded'],
  ['an archive of other rows beside the others', (f) => {
    const path = f.first.path.replace('1-30', '1-31');
    copyFileSync(f.first.path, path);
    relined(path, (lines) => chained(lines.map(invented), genesisHash(f.uuid)));
  }, 'ok', 'unrecorded'],
];

test('no row of the tables but the first comes out as ok', () => {
  for (const [name, , , all] of [...table.slice(1), ...signed.slice(1)]) assert.notEqual(all, 'ok', name);
});

for (const [name, forge, log, all] of table) {
  test(`${name}: the log is ${log}, the history is ${all}`, async (t) => {
    const folder = new TestFolder(t, { checked: false });
    const kiosk = kioskIn(folder);
    const { store, archives } = kiosk;
    const [row] = store.getRecentAudits(1, { beforeId: anchored + 1 });
    assert.equal(row?.id, anchored);
    const sql = 'SELECT event_hash FROM audit_log WHERE id = ?';
    const anchor = { id: anchored, hash: String(folder.raw().prepare(sql).get(anchored)!['event_hash']) };
    const first = await archiveUpTo(kiosk, 30);
    const second = await archiveUpTo(kiosk, 60, true);
    store.close();
    if (name.includes('another store')) await makeOther(t, folder);
    {
      using forger = new Forger(folder, first, second);
      await forge(forger);
    }
    const reader = folder.closing(SqliteStore.openReadOnly(folder.file()));
    const report = await reader.verifyAudit({ anchor });
    const kinds = [...new Set(report.findings.map(({ kind }) => kind))].sort().join(', ') || 'ok';
    assert.equal(kinds, log);
    assert.equal(kindsIn(await verifyArchives(reader, archives, { anchor })), all);
  });
}

/** Another store with an archive of the same name. */
async function makeOther(t: TestContext, folder: TestFolder): Promise<void> {
  const { path } = await archiveUpTo(kioskIn(new TestFolder(t)), 30);
  mkdirSync(folder.file('others'));
  copyFileSync(path, folder.file('others/store.db.audit-1-30.jsonl'));
}

/** The same of a store with a ledger that signs, by the public key; the anchor is left out. */
const signed: [name: string, forge: (forger: Forger) => unknown, log: string, all: string][] = [
  ['nothing', () => {}, 'ok', 'ok'],
  ['signatures taken out of an archive', (f) => {
    relined(f.second.path, (lines) => lines.map(({ sig: _sig, ...line }) => line));
  }, 'ok', 'changed, missing-signature'],
  ['a signature taken out of the first archive', (f) => {
    relined(f.first.path, (lines) => lines.map(({ sig, ...line }) => (sig && line.id !== 9 ? { ...line, sig } : line)));
  }, 'ok', 'changed, missing-signature'],
  ['a signature in an archive exchanged with another', (f) => {
    relined(f.second.path, (lines) => lines.map((line) => ({ ...line, sig: lines[0]!.sig! })));
  }, 'ok', 'bad-signature, changed'],
  ['signatures taken out of the log before it says again that it signs', (f) => {
    f.run('UPDATE audit_log SET signature = NULL WHERE id BETWEEN 61 AND 70');
  }, 'missing-signature', 'missing-signature'],
  ['signatures taken out behind that', (f) => {
    f.run('UPDATE audit_log SET signature = NULL WHERE id = (SELECT max(id) FROM audit_log)');
  }, 'missing-signature', 'missing-signature'],
  ['all signatures taken out of the log', (f) => f.run('UPDATE audit_log SET signature = NULL'), 'missing-signature',
    'missing-signature'],
  ['rows deleted, with the event of an archive', async (f) => {
    const last = { id: 70, hash: f.hashAt(70) };
    const lines = chained(f.lines(61, 70).map(invented), f.second.anchor.hash);
    f.beginBehind(70);
    await f.archive([...lines.slice(0, 9), { ...lines[9]!, hash: last.hash }], f.second.anchor, last);
  }, 'missing-signature', 'missing-signature, tampered'],
  ['an event that archives were forgotten', (f) => {
    rmSync(f.first.path);
    f.append('archives_forgotten', { to: 30, hash: f.first.anchor.hash, files: [] });
  }, 'missing-signature', 'missing-signature'],
];

for (const [name, forge, log, all] of signed) {
  test(`signed, ${name}: the log is ${log}, the history is ${all}`, async (t) => {
    const folder = new TestFolder(t, { checked: false });
    const { privateKey: signingKey, publicKey } = generateKeyPairSync('ed25519');
    const kiosk = kioskIn(folder, { ledger: ledgerIn(folder, { signingKey }) });
    const first = await archiveUpTo(kiosk, 30);
    const second = await archiveUpTo(kiosk, 60);
    kiosk.store.close();
    {
      using forger = new Forger(folder, first, second);
      await forge(forger);
    }
    const reader = folder.closing(SqliteStore.openReadOnly(folder.file()));
    const report = await reader.verifyAudit({ publicKey });
    const kinds = [...new Set(report.findings.map(({ kind }) => kind))].sort().join(', ') || 'ok';
    assert.equal(kinds, log);
    assert.equal(kindsIn(await verifyArchives(reader, kiosk.archives, { publicKey })), all);
    const other = generateKeyPairSync('ed25519').publicKey;
    assert.match(kindsIn(await verifyArchives(reader, kiosk.archives, { publicKey: other })), /bad-signature/);
  });
}

test('an anchor that was taken before archiving proves with the archives that nothing was changed', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { days: 5 });
  const { store, clocks, archives } = kiosk;
  const anchors: Anchor[] = [store.auditHead()!];
  for (const id of [20, 50, 65]) {
    runFor(store, clocks, 2, 10);
    await archiveUpTo(kiosk, id);
    anchors.push(store.auditHead()!);
  }
  for (const anchor of anchors) {
    assert.equal((await verifyArchives(store, archives, { anchor })).ok, true, String(anchor.id));
    const other = { id: anchor.id, hash: '0'.repeat(64) };
    assert.equal(kindsIn(await verifyArchives(store, archives, { anchor: other })), 'forked', String(anchor.id));
  }
  const [before] = anchors;
  assert.equal(await kindsOfLog(store, { anchor: before! }), 'archived 50');
  assert.equal(await kindsOfLog(store, { anchor: anchors.at(-1)! }), 'ok');
  const beyond = { id: 1_000, hash: '0'.repeat(64) };
  assert.equal(kindsIn(await verifyArchives(store, archives, { anchor: beyond })), 'truncated');
  const { path } = await archiveUpTo(kiosk, 66);
  rmSync(path.replace('66-66', '21-50'));
  assert.equal(await kindsOfAll(kiosk, { anchor: before! }), 'archived, gap, missing');
});

test('nothing that is done to the bytes of a compressed archive makes verification throw', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { days: 3 });
  const { path } = await archiveUpTo(kiosk, 12, true);
  const bytes = readFileSync(path);
  const { seed, between } = randomNumbers();
  t.diagnostic(`seed ${seed}`);
  const damages: [string, Buffer][] = [];
  for (let at = 0; at < bytes.length; at += at < 32 ? 1 : between(1, 29)) {
    damages.push([`cut to ${at}`, bytes.subarray(0, at)]);
    for (const mask of [1, 0xff]) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= mask;
      damages.push([`byte ${at} ^ ${mask}`, changed]);
    }
  }
  const named = Buffer.from(bytes.subarray(0, 10)).fill(0xff, 3, 4);
  damages.push(['a header without its end', named], ['bytes behind it', Buffer.concat([bytes, Buffer.from('more')])]);
  damages.push(['twice', Buffer.concat([bytes, bytes])], ['only zeros', Buffer.alloc(bytes.length)]);
  for (const [name, damaged] of damages) {
    writeFileSync(path, damaged);
    assert.notEqual(await kindsOfAll(kiosk), 'ok', `${name}, seed ${seed}`);
    assert.equal(listArchives(kiosk.archives).length, 1);
  }
  writeFileSync(path, bytes);
  assert.equal(await kindsOfAll(kiosk), 'ok');
});
