// The damaged ledgers of test/fixtures/ledgers: what `verify` says of each, and what becomes of it when the store
// opens.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { type Anchor, SqliteStore, type VerifyOptions } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/ledger.ts';
import { makeLedgers, makeStore, publicKey, signingKey, uuid } from '../fixtures/ledgers/make.ts';
import { namesIn } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';

const fixtures = join(import.meta.dirname, '..', 'fixtures', 'ledgers');
const sound = readFileSync(join(fixtures, 'sound.jsonl'));
// Kept elsewhere while the ledger was sound: its last line.
const anchor: Anchor = { id: 28, hash: (JSON.parse(sound.toString().trimEnd().split('\n').at(-1)!) as Anchor).hash };

/**
 * The database that belongs to the sound ledger, and the same as it was at row 8, before any of the damage; made once
 * and copied.
 */
const originals = {
  whole: mkdtempSync(join(tmpdir(), 'shepherd-store-corpus-')),
  behind: mkdtempSync(join(tmpdir(), 'shepherd-store-corpus-')),
};
before(() => {
  makeStore(originals.whole);
  makeStore(originals.behind, uuid, 1);
});
after(() => Object.values(originals).forEach((folder) => rmSync(folder, { recursive: true })));

/**
 * What opening does: takes the file as it is, adds what it lacks, sets its end aside and writes it again, or throws and
 * leaves it.
 */
type Opening =
  'as it was' | 'completed' | 'mended' | 'ERR_STORE_PARITY' | 'ERR_STORE_CONFLICT' | 'ERR_STORE_NOT_A_STORE';

interface Verdict {
  /**
   * What `verify()` finds: the line, the event's id where it can be read, the kind. A code where not even opening
   * works.
   */
  plain: string[] | 'ERR_STORE_NOT_A_STORE';
  /** What the public key shows beyond that. */
  key?: string[];
  /** What the anchor shows beyond that. */
  anchor?: string[];
  /** What opening does with the database that has every row. */
  opening: Opening;
  /** And with one that ends at row 8: the row that it ends at then, or the code. */
  behind: number | Opening;
  /** Whether it is no damage, but other contents, which not even recover overwrites. */
  isFork?: true;
}

const verdicts: Record<string, Verdict> = {
  sound: { plain: [], opening: 'as it was', behind: 28 },
  'torn-line': { plain: ['29 torn-line'], anchor: ['29 #28 truncated'], opening: 'completed', behind: 25 },
  'torn-newline': { plain: ['29 torn-line'], anchor: ['29 #28 truncated'], opening: 'completed', behind: 25 },
  'torn-group': { plain: ['27 #26 torn-group'], anchor: ['27 #28 truncated'], opening: 'completed', behind: 25 },
  'torn-header': { plain: ['1 torn-line'], anchor: ['1 #28 truncated'], opening: 'completed', behind: 8 },
  'nul-at-end': { plain: ['29 torn-line'], anchor: ['29 #28 truncated'], opening: 'mended', behind: 25 },
  'nul-behind': { plain: ['30 torn-line'], opening: 'mended', behind: 28 },
  'noise-last-4096': {
    plain: [
      '20 bad-encoding',
      '21 bad-encoding',
      '22 bad-encoding',
      '23 bad-encoding',
      '24 bad-encoding',
      '25 bad-line',
      '26 bad-encoding',
      '27 bad-encoding',
      '28 bad-encoding',
      '29 bad-encoding',
      '30 bad-encoding',
      '31 bad-encoding',
      '32 bad-encoding',
      '33 torn-line',
    ],
    anchor: ['33 #28 truncated'],
    opening: 'ERR_STORE_PARITY',
    behind: 18,
  },
  'more-on-last-line': { plain: ['29 #28 torn-group'], opening: 'as it was', behind: 25 },
  'cut-tail': { plain: [], anchor: ['26 #28 truncated'], opening: 'completed', behind: 25 },
  'forked-tail': {
    plain: [],
    key: ['27 #26 missing-signature', '28 #27 missing-signature', '29 #28 missing-signature'],
    anchor: ['29 #28 forked'],
    opening: 'ERR_STORE_PARITY',
    behind: 28,
    isFork: true,
  },
  'swapped-pair': { plain: ['9 #9 gap', '11 #10 gap'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'removed-line': { plain: ['9 #9 gap'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'removed-first-line': { plain: ['2 #2 gap'], opening: 'as it was', behind: 28 },
  'duplicated-line': { plain: ['10 #8 gap'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'duplicated-last-line': { plain: ['30 #28 gap'], opening: 'mended', behind: 28 },
  'stripped-signature': { plain: [], key: ['9 #8 missing-signature'], opening: 'as it was', behind: 28 },
  'stripped-last-signature': { plain: [], key: ['29 #28 missing-signature'], opening: 'as it was', behind: 28 },
  'wrong-key': { plain: [], key: ['9 #8 bad-signature'], opening: 'as it was', behind: 28 },
  'other-store': { plain: [], anchor: ['29 #28 forked'], opening: 'ERR_STORE_CONFLICT', behind: 'ERR_STORE_CONFLICT' },
  'other-stores-line': { plain: ['9 #8 gap', '10 #9 gap'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'other-stores-line-behind': { plain: ['30 #28 gap'], opening: 'mended', behind: 28 },
  'other-stores-lines': {
    plain: ['2 #1 other-store'],
    anchor: ['29 #28 forked'],
    opening: 'ERR_STORE_PARITY',
    behind: 'ERR_STORE_PARITY',
    isFork: true,
  },
  'invalid-utf8': { plain: ['10 bad-encoding'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'invalid-utf8-at-end': { plain: ['29 bad-encoding'], anchor: ['29 #28 truncated'], opening: 'mended', behind: 25 },
  bom: { plain: 'ERR_STORE_NOT_A_STORE', opening: 'ERR_STORE_NOT_A_STORE', behind: 'ERR_STORE_NOT_A_STORE' },
  crlf: { plain: 'ERR_STORE_NOT_A_STORE', opening: 'ERR_STORE_NOT_A_STORE', behind: 'ERR_STORE_NOT_A_STORE' },
  'crlf-on-one-line': { plain: ['9 bad-line'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'reordered-fields': { plain: ['9 bad-line'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'extra-field': { plain: ['9 bad-line'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'empty-line': { plain: ['9 bad-line'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'flipped-id': { plain: ['10 #8 tampered'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'flipped-id-near-end': { plain: ['27 #36 tampered'], opening: 'mended', behind: 25 },
  'flipped-at': { plain: ['10 #9 tampered'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'flipped-at-near-end': { plain: ['27 #26 tampered'], opening: 'mended', behind: 25 },
  'flipped-type': { plain: ['10 #9 tampered'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'flipped-type-near-end': { plain: ['27 #26 tampered'], opening: 'mended', behind: 25 },
  'flipped-data': { plain: ['10 #9 tampered'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'flipped-data-near-end': { plain: ['27 #26 tampered'], opening: 'mended', behind: 25 },
  'flipped-meta': { plain: ['10 #9 tampered'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'flipped-meta-near-end': { plain: ['27 #26 tampered'], opening: 'mended', behind: 25 },
  'flipped-prev': { plain: ['10 #9 tampered'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'flipped-prev-near-end': { plain: ['27 #26 tampered'], opening: 'mended', behind: 25 },
  'flipped-hash': { plain: ['10 #9 tampered'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'flipped-hash-near-end': { plain: ['27 #26 tampered'], opening: 'mended', behind: 25 },
  'flipped-more': { plain: ['10 bad-line'], opening: 'ERR_STORE_PARITY', behind: 'ERR_STORE_PARITY' },
  'flipped-more-near-end': { plain: ['27 bad-line'], opening: 'mended', behind: 25 },
  'flipped-sig': { plain: [], key: ['10 #9 bad-signature'], opening: 'as it was', behind: 28 },
  'flipped-sig-near-end': { plain: [], key: ['27 #26 bad-signature'], opening: 'as it was', behind: 28 },
  'flipped-header-format': {
    plain: 'ERR_STORE_NOT_A_STORE',
    opening: 'ERR_STORE_NOT_A_STORE',
    behind: 'ERR_STORE_NOT_A_STORE',
  },
  'flipped-header-store': { plain: ['2 #1 other-store'], opening: 'ERR_STORE_CONFLICT', behind: 'ERR_STORE_CONFLICT' },
  'flipped-header-created': { plain: [], opening: 'as it was', behind: 28 },
};

/** Puts a damaged ledger and one of the databases into a folder. */
function place(t: TestContext, bytes: Buffer, original: keyof typeof originals): TestFolder {
  const folder = new TestFolder(t, { checked: false });
  copyFileSync(join(originals[original], 'store.db'), folder.file());
  writeFileSync(folder.file('audit.jsonl'), bytes, { mode: 0o600 });
  return folder;
}

async function findingsOf(path: string, options?: VerifyOptions): Promise<string[] | string> {
  let ledger: Ledger;
  try {
    ledger = Ledger.open(path);
  } catch (error) {
    return (error as { code: string }).code;
  }
  try {
    const { ok, findings, more } = await ledger.verify(options);
    assert.equal(more, 0);
    assert.equal(ok, findings.length === 0);
    return findings.map(({ line, id, kind }) => (id === undefined ? `${line} ${kind}` : `${line} #${id} ${kind}`));
  } finally {
    ledger.close();
  }
}

/** Opens the store with its ledger. */
function openStore(folder: TestFolder, recover: boolean): SqliteStore {
  return SqliteStore.open(folder.file(), { recover, ledger: Ledger.open(folder.file('audit.jsonl'), { signingKey }) });
}

/**
 * Opens the store and gives the row that it ends at, but for the event of what was set aside; or the code, and then
 * nothing of the file has changed.
 */
function headAfterOpening(folder: TestFolder, bytes: Buffer, recover = false): number | string {
  try {
    using store = openStore(folder, recover);
    assert.ok(store.isHealthy());
    return store.auditHead()!.id - (store.recovery?.setAside?.length ?? 0);
  } catch (error) {
    assert.ok(readFileSync(folder.file('audit.jsonl')).equals(bytes), 'the file was touched');
    return (error as { code: string }).code;
  }
}

for (const [name, verdict] of Object.entries(verdicts)) {
  const bytes = readFileSync(join(fixtures, `${name}.jsonl`));
  const { plain, opening, behind } = verdict;

  test(`verify says of the ledger "${name}": ${String(plain) || 'nothing'}`, async (t) => {
    const path = place(t, bytes, 'whole').file('audit.jsonl');
    assert.deepEqual(await findingsOf(path), plain);
    if (typeof plain !== 'string') {
      assert.deepEqual(await findingsOf(path, { publicKey }), [...plain, ...(verdict.key ?? [])]);
      assert.deepEqual(await findingsOf(path, { anchor }), [...plain, ...(verdict.anchor ?? [])]);
    }
    assert.ok(readFileSync(path).equals(bytes), 'verify touched the file');
  });

  test(`a store opened with the ledger "${name}": ${opening}; one ending before the damage: ${behind}`, async (t) => {
    const folder = place(t, bytes, 'whole');
    const path = folder.file('audit.jsonl');
    assert.equal(headAfterOpening(folder, bytes), opening.startsWith('ERR_') ? opening : anchor.id);
    if (opening === 'mended' || opening === 'completed') {
      assert.deepEqual(await findingsOf(path, { publicKey, anchor }), []);
      assert.equal(namesIn(folder.path).some((name) => name.includes('.torn-')), opening === 'mended');
      assert.ok(isKept(folder, bytes), 'what was cut off is not there any more');
    } else assert.ok(readFileSync(path).equals(bytes), 'the file was touched');

    if (opening === 'ERR_STORE_PARITY') {
      const code = verdict.isFork ? opening : anchor.id;
      assert.equal(headAfterOpening(folder, bytes, true), code);
      if (!verdict.isFork) assert.deepEqual(await findingsOf(path, { publicKey, anchor }), []);
      assert.ok(isKept(folder, bytes), 'what was cut off is not there any more');
    }

    const early = place(t, bytes, 'behind');
    assert.equal(headAfterOpening(early, bytes), behind);
    if (typeof behind === 'number') assert.ok(isKept(early, bytes), 'what was cut off is not there any more');
  });
}

/** Whether every byte of a ledger that was mended is in it or in the file that its end was set aside to. */
function isKept(folder: TestFolder, bytes: Buffer): boolean {
  const now = readFileSync(folder.file('audit.jsonl'));
  const aside = namesIn(folder.path).find((name) => /\.(torn|damaged)-/.test(name));
  if (aside === undefined) return now.subarray(0, bytes.length).equals(bytes);
  const cut = readFileSync(folder.file(aside));
  const kept = bytes.length - cut.length;
  return bytes.subarray(kept).equals(cut) && bytes.subarray(0, kept).equals(now.subarray(0, kept));
}

test('the table has every ledger of the folder, and the script makes the same bytes again', (t) => {
  const folder = new TestFolder(t);
  const scratch: [string, string] = [folder.file('a'), folder.file('b')];
  for (const each of [...scratch, folder.file('out')]) mkdirSync(each, { mode: 0o700 });
  const made = makeLedgers(scratch, folder.file('out')).sort();
  assert.deepEqual(made, Object.keys(verdicts).sort());
  assert.deepEqual(
    readdirSync(fixtures)
      .filter((name) => name.endsWith('.jsonl'))
      .sort(),
    made.map((name) => `${name}.jsonl`).sort(),
  );
  for (const name of made) {
    assert.ok(
      readFileSync(join(folder.file('out'), `${name}.jsonl`)).equals(readFileSync(join(fixtures, `${name}.jsonl`))),
      `${name} differs`,
    );
  }
});

