// The packages of newer versions (test/fixtures/newer/), and what their services write.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeNewer, type Newer } from '../fixtures/newer/make.ts';
import { run } from './process.ts';

const made = new Map<Newer, URL>();
let folder: string | undefined;

/** The root of a newer version's package, made once for all tests of a file. */
export function newerPackage(kind: Newer): URL {
  folder ??= temporaryFolder();
  const known = made.get(kind) ?? makeNewer(kind, join(folder, kind));
  made.set(kind, known);
  return known;
}

function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'shepherd-store-newer-'));
  process.on('exit', () => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** The clock of a newer version's service. */
export const newerClock = (): Date => new Date('2026-11-21T09:00:00Z');

function opening(root: URL, ledger: string | undefined, now: Date): string {
  return `
    const { Ledger, verifyParity } = await import('${new URL('lib/ledger/index.ts', root).href}');
    const { RunStore } = await import('${new URL('lib/modules/runs/runs.ts', root).href}');
    const ledgerPath = ${JSON.stringify(ledger)};
    const clock = () => new Date('${now.toISOString()}');
    const open = () => SqliteStore.open(path, { clock, ledger: ledgerPath && Ledger.open(ledgerPath) });
    const store = open();
    const { prepare, write } = connect(store);`;
}

const writing = `
  store.appendAudit({ type: 'brightness_set', percent: 70 }, { zone: 'night', source: 'admin' });
  store.addUsage('minecraft', '2026-11-21', 60_000);
  store.setCooldownUntil('minecraft', new Date('2026-11-21T10:00:00Z'));
  for (const percent of [40, 70]) write('test', 'set the brightness', () => prepare(\`
    INSERT INTO brightness (entry_id, percent) VALUES ('minecraft', ?)
    ON CONFLICT (entry_id) DO UPDATE SET percent = excluded.percent\`).run(percent));
  if (new RunStore(store).listRuns().length === 0) new RunStore(store).createRun({ id: 'theirs', planPath: 'plan' });
  store.setCooldownUntil('gcompris', new Date('2026-11-21T08:00:00Z'));
  write('test', 'give its columns other values than their defaults', () => {
    prepare("UPDATE usage SET device = 'tablet' WHERE entry_id = 'minecraft'").run();
    prepare("UPDATE cooldowns SET reason = 'night' WHERE entry_id = 'gcompris'").run();
    prepare("UPDATE runs SET priority = 9 WHERE id = 'theirs'").run();
  });
  store.saveSnapshot({ timestamp: clock(), activeSession: { sessionId: 's1', entryId: 'minecraft', startedAt: clock(),
    warningsIssued: [300], profile: 'child' } });`;

/** Has a newer version write something of everything that it knows; `end` is code, \`die()\` for a crash. */
export function writtenBy(kind: Newer, path: string, ledger?: string, end = 'store.close();'): void {
  const root = newerPackage(kind);
  run(path, `${opening(root, ledger, newerClock())} ${writing} ${end}`, { root });
}

/** What a newer version finds in a store that an older one has had meanwhile. */
export interface FoundAgain {
  recovery: unknown;
  findings: unknown[];
  isWhole: boolean;
  isConsistent: boolean | undefined;
  zone: string;
  brightness: unknown[];
  device: unknown[];
  reason: unknown[];
  priorities: unknown[];
  totalMs: number;
  /** What its next snapshot file says of the brightness, and the file that was there. */
  files: unknown[];
  header: string | undefined;
}

/** Opens the store by a newer version again, and gives what that finds. */
export function foundAgainBy(kind: Newer, path: string, ledger?: string): FoundAgain {
  const root = newerPackage(kind);
  const [found] = run(path, `
    const brightnessInFile = () =>
      JSON.parse(fs.readFileSync(path.replace('.db', '.snapshot.json'), 'utf8')).content.brightness;
    const before = brightnessInFile() ?? null;
    ${opening(root, ledger, new Date('2026-11-21T13:00:00Z'))}
    const findings = store.health().findings;
    const isWhole = (await store.verifyAudit()).ok;
    const isConsistent = ledgerPath && (await verifyParity(store, Ledger.open(ledgerPath))).isConsistent;
    const seen = {
      recovery: store.recovery ?? null, findings, isWhole, isConsistent,
      zone: store.getRecentAudits(1, { type: 'brightness_set' })[0].zone,
      brightness: prepare('SELECT entry_id, percent, changes FROM brightness').all(),
      device: prepare("SELECT device FROM usage WHERE entry_id = 'minecraft'").all(),
      reason: prepare("SELECT reason FROM cooldowns WHERE entry_id = 'gcompris'").all(),
      priorities: prepare('SELECT id, priority FROM runs ORDER BY id').all(),
      totalMs: store.getUsage('minecraft', '2026-11-21'),
      header: ledgerPath && fs.readFileSync(ledgerPath, 'utf8').split('\\n')[0],
    };
    store.saveSnapshot(store.loadSnapshot());
    report({ ...seen, files: [before, brightnessInFile()] });
    store.close();`, { root }) as [FoundAgain];
  return found;
}
