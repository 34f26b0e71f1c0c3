// `undefined` means absent: every optional field of what a public operation takes is given as undefined in one world
// and left out in another, and both must come to the same. The compiler sees to it that no optional field is missing
// here, and test/types/absent.ts that it accepts undefined.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importStore } from '../lib/import/index.ts';
import type { AuditFilter, OpenOptions, StateSnapshot, VerifyOptions } from '../lib/index.ts';
import { type AuditAttributes, type CoreEvent, SqliteStore } from '../lib/index.ts';
import {
  composePolicyOutcomes, Ledger, type LedgerLine, type LedgerOptions, mirrorEvent, type PolicyContribution,
  rebuildDatabase, rebuildLedger, replay, verifyParity,
} from '../lib/ledger/index.ts';
import { backup, type BackupOptions, restore, type RestoreOptions } from '../lib/modules/backup/backup.ts';
import { type FactFilter, type FactInput, FactStore } from '../lib/modules/facts/facts.ts';
import { Outbox } from '../lib/modules/outbox/outbox.ts';
import { type NewRunRecord, ProjectStore } from '../lib/modules/projects/projects.ts';
import { renderReport, type ReportOptions } from '../lib/modules/report/report.ts';
import {
  type NewPlanUnit, type NewResourceState, type NewRun, type NewRunEvent, type PlanUnitOutcome,
  type ResourceStateFilter, type RunEventFilter, type RunFilter, RunStore,
} from '../lib/modules/runs/runs.ts';
import { type SessionStart, SessionTracker } from '../lib/modules/sessions/sessions.ts';
import type { LongOperation } from '../lib/values/long.ts';
import { TestFolder } from './support/folder.ts';
import { makeFrom } from './support/import.ts';

/** The optional fields of a type, all of them undefined. */
type Absent<T> = { [Name in keyof T as object extends Pick<T, Name> ? Name : never]-?: undefined };
type Arguments<F> = F extends (...args: infer A) => unknown ? A : never;
type Options<F, At extends number> = NonNullable<Arguments<F>[At]>;
/** Gives the fields as they are in one world, and none of them in the other. */
type Given = <T>(absent: Absent<T>) => Absent<T>;

const long: Absent<LongOperation> = { signal: undefined, onProgress: undefined };
const verifying: Absent<VerifyOptions> = { ...long, anchor: undefined, publicKey: undefined };
const attributes: Absent<AuditAttributes> = {
  eventId: undefined, observedAt: undefined, source: undefined, target: undefined, traceId: undefined,
  tags: undefined, ipAddress: undefined, policy: undefined, breakGlass: undefined,
};
const filter: Absent<AuditFilter> = {
  type: undefined, source: undefined, target: undefined, sessionId: undefined, since: undefined, until: undefined,
  beforeId: undefined,
};
const opening: Absent<OpenOptions> = {
  clock: undefined, busyTimeoutMs: undefined, snapshotPath: undefined, recover: undefined, ledger: undefined,
};
const { recover: _recover, ledger: _ledger, ...reading } = opening;
const page = { limit: undefined, offset: undefined };
const sessionStarted = { type: 'session_started', sessionId: 's', entryId: 'a' } as const;
const timestamp = new Date('2026-11-21T09:00:00Z');
const running = { sessionId: 's', entryId: 'a', startedAt: timestamp, warningsIssued: [] };

type Session = NonNullable<StateSnapshot['activeSession']>;
type Started = Extract<CoreEvent, { type: 'session_started' }>;
type Exited = { type: 'process_exited'; exitCode?: number | undefined };

/** What a world consists of, in the order in which its parts come to be. */
class World {
  readonly folder: TestFolder;
  readonly store: SqliteStore;
  runId = '';
  unitId = '';

  constructor(folder: TestFolder, options: OpenOptions) {
    this.folder = folder;
    this.store = folder.open(options);
  }

  get runs(): RunStore {
    return new RunStore(this.store);
  }

  get facts(): FactStore {
    return new FactStore(this.store);
  }

  get projects(): ProjectStore {
    return new ProjectStore(this.store);
  }

  /** The folder's ledger, of a store of its own. */
  get ledger(): Ledger {
    return Ledger.open(this.folder.file('audit.jsonl'));
  }
}

type Row = [name: string, call: (world: World, given: Given) => unknown];

const ofStore: Row[] = [
  ['inMemory', (_, given) => {
    using store = SqliteStore.inMemory({ ...given<Options<typeof SqliteStore.inMemory, 0>>({ clock: undefined }) });
    return store.appendAudit({ type: 'service_started' });
  }],
  ['openReadOnly', ({ folder }, given) => {
    type ReadOptions = Options<typeof SqliteStore.openReadOnly, 1>;
    using store = SqliteStore.openReadOnly(folder.file(), { ...given<ReadOptions>(reading) });
    return store.isHealthy();
  }],
  ['migrate', ({ folder }, given) => {
    const path = folder.file('migrated.db');
    SqliteStore.open(path).close();
    return SqliteStore.migrate(path, 5, given<Options<typeof SqliteStore.migrate, 2>>({ force: undefined }));
  }],
  ['appendAudit', ({ store }, given) => store.appendAudit(
    { ...sessionStarted, ...given<Started>({ label: undefined, deadline: undefined, balance: undefined }) },
    given<AuditAttributes>(attributes),
  )],
  ['appendAudit, a reason', ({ store }, given) => {
    const reason: Exited = { type: 'process_exited', ...given<Exited>({ exitCode: undefined }) };
    return store.appendAudit({ type: 'session_ended', sessionId: 's', entryId: 'a', reason, durationMs: 5 });
  }],
  ['appendAudits', ({ store }, given) => {
    type Item = Arguments<SqliteStore['appendAudits']>[0][number];
    return store.appendAudits([{ event: sessionStarted, ...given<Item>({ attributes: undefined }) }]);
  }],
  ['getRecentAudits', ({ store }, given) => store.getRecentAudits(100, given<AuditFilter>(filter))],
  ['findAudits', async ({ store }, given) => {
    type SearchOptions = Options<SqliteStore['findAudits'], 1>;
    const options = given<SearchOptions>({ signal: undefined });
    const found = [];
    for await (const event of store.findAudits(given<AuditFilter>(filter), options)) found.push(event);
    return found;
  }],
  ['iterateAudits', ({ store }, given) => {
    const range = given<Options<SqliteStore['iterateAudits'], 0>>({ fromId: undefined, toId: undefined });
    return Array.from(store.iterateAudits(range));
  }],
  ['verifyAudit', async ({ store }, given) => store.verifyAudit(given<VerifyOptions>(verifying))],
  ['saveSnapshot, a session', ({ store }, given) => {
    const absent = given<Session>({ deadline: undefined, elapsedMs: undefined, days: undefined, balance: undefined });
    store.saveSnapshot({ timestamp, activeSession: { ...running, ...absent } });
    return store.loadSnapshot();
  }],
  ['saveSnapshot', ({ store }, given) => {
    store.saveSnapshot({ timestamp, ...given<StateSnapshot>({ activeSession: undefined }) });
    return store.loadSnapshot();
  }],
  ['detachLedger', ({ folder }, given) => {
    using store = SqliteStore.open(folder.file('detached.db'), { ledger: Ledger.open(folder.file('detached.jsonl')) });
    store.detachLedger(given<Options<SqliteStore['detachLedger'], 0>>({ force: undefined }));
    return store.auditHead()?.id;
  }],
];

const ofModules: Row[] = [
  ['SessionTracker', ({ store }, given) => {
    type TrackerOptions = NonNullable<ConstructorParameters<typeof SessionTracker>[1]>;
    const options = given<TrackerOptions>({ timeZone: undefined, monotonicMs: undefined });
    const tracker = new SessionTracker(store, options);
    const absent = { sessionId: undefined, label: undefined, deadline: undefined, balance: undefined };
    const starting = given<SessionStart>(absent);
    const started = tracker.start({ entryId: 'b', ...starting });
    tracker.touch(given<Options<SessionTracker['touch'], 0>>({ warningsIssued: undefined }));
    const reason: Exited = { type: 'process_exited', ...given<Exited>({ exitCode: undefined }) };
    const ended = tracker.end(reason, given<Options<SessionTracker['end'], 1>>({ cooldownMs: undefined }));
    tracker.recover(given<Options<SessionTracker['recover'], 0>>({ cooldownMs: undefined }));
    return [started, ended, store.getRecentAudits(2)];
  }],
  ['RunStore', ({ store }, given) => {
    type RunOptions = NonNullable<ConstructorParameters<typeof RunStore>[1]>;
    const runs = new RunStore(store, given<RunOptions>({ source: undefined, ipAddress: undefined }));
    return [runs.createRun({ planPath: 'plan.json' }), store.getRecentAudits(1)];
  }],
  ['createRun', (world, given) => {
    const absent = { id: undefined, status: undefined, startedAt: undefined, metadata: undefined };
    const run = world.runs.createRun({ planPath: 'plan.json', ...given<NewRun>(absent) });
    world.runId = run.id;
    return run;
  }],
  ['listRuns', ({ runs }, given) => runs.listRuns(given<RunFilter>({ ...page, status: undefined }))],
  ['createPlanUnit', (world, given) => {
    const created = world.runs.createPlanUnit({
      runId: world.runId, resourceType: 'pkg', resourceName: 'x', action: 'read', desiredState: {},
      ...given<NewPlanUnit>({ id: undefined, dependencies: undefined }),
    });
    world.unitId = created.id;
    return created;
  }],
  ['updatePlanUnitStatus', ({ runs, unitId }, given) => {
    const outcome = given<PlanUnitOutcome>({ actualState: undefined, diff: undefined, error: undefined });
    return runs.updatePlanUnitStatus(unitId, 'running', outcome);
  }],
  ['appendRunEvent', ({ runs }, given) => {
    const absent = given<NewRunEvent>({ runId: undefined, planUnitId: undefined, details: undefined });
    return runs.appendRunEvent({ level: 'info', message: 'x', ...absent });
  }],
  ['getRunEvents', ({ runs }, given) => {
    const absent = { ...page, runId: undefined, planUnitId: undefined, level: undefined };
    return runs.getRunEvents(given<RunEventFilter>(absent));
  }],
  ['upsertResourceState', ({ runs, runId }, given) => runs.upsertResourceState({
    resourceType: 'pkg', resourceName: 'x', state: 1, lastRunId: runId,
    ...given<NewResourceState>({ id: undefined, lastApplied: undefined }),
  })],
  ['listResourceStates', ({ runs }, given) => {
    return runs.listResourceStates(given<ResourceStateFilter>({ ...page, resourceType: undefined }));
  }],
  ['upsertFact', ({ facts }, given) => {
    const fact = { targetId: 't', namespace: 'n', key: 'k', value: 1 };
    return facts.upsertFact({ ...fact, ...given<FactInput>({ id: undefined, ttlSeconds: undefined }) });
  }],
  ['listFacts', ({ facts }, given) => {
    return facts.listFacts(given<FactFilter>({ ...page, targetId: undefined, namespace: undefined }));
  }],
  ['ProjectStore', ({ store }, given) => {
    type ProjectOptions = NonNullable<ConstructorParameters<typeof ProjectStore>[1]>;
    const projects = new ProjectStore(store, given<ProjectOptions>({ timeZone: undefined }));
    const claiming = given<Options<ProjectStore['claimProjectRun'], 1>>({ windowMs: undefined, force: undefined });
    const claims = [projects.claimProjectRun('/p', claiming), projects.claimProjectRun('/p', claiming)];
    return [claims, projects.listProjects()];
  }],
  ['addRunRecord', ({ projects }, given) => {
    const absent = given<NewRunRecord>({
      id: undefined, endedAt: undefined, provider: undefined, projects: undefined, tasks: undefined,
      tokensUsed: undefined, error: undefined, branch: undefined,
    });
    projects.addRunRecord({ startedAt: timestamp, status: 'success', ...absent });
    return projects.getRunRecords(5);
  }],
  ['backup', async ({ store, folder }, given) => {
    return backup(store, folder.file('backup.db'), given<BackupOptions>({ ...long, record: undefined }));
  }],
  ['renderReport', async (_, given) => {
    using store = SqliteStore.inMemory({ clock: () => timestamp });
    const page = await renderReport(store, given<ReportOptions>({
      from: undefined, to: undefined, entryIds: undefined, policy: undefined, title: undefined, timeZone: undefined,
      signal: undefined,
    }));
    return page.length; // only the UUID is another one
  }],
  ['restore', async ({ folder }, given) => {
    const options = given<RestoreOptions>({ ...long, ...reading });
    return restore(folder.file('backup.db'), folder.file('restored.db'), options);
  }],
  ['Outbox.read', ({ store }, given) => {
    const absent = given<Options<Outbox['read'], 0>>({ limit: undefined, maxBytes: undefined });
    const { text, ...batch } = new Outbox(store, 'centre').read(absent)!;
    return [batch, text.split('\n').length];
  }],
  ['importStore', async ({ folder }, given) => {
    const source = makeFrom(folder, 'nightshift-state.json');
    return importStore(source, folder.file('imported.db'), given<LongOperation>(long));
  }],
];

const ofLedgers: Row[] = [
  ['Ledger.open', ({ folder }, given) => {
    const absent = { signingKey: undefined, unsigned: undefined, recover: undefined, files: undefined };
    const ledger = Ledger.open(folder.file('audit.jsonl'), given<LedgerOptions>(absent));
    using store = SqliteStore.open(folder.file('mirrored.db'), { ...given<OpenOptions>(opening), ledger });
    const said = given<PolicyContribution>({ breakGlassAllowed: undefined });
    const policy: PolicyContribution[] = [{ ruleId: 'r', outcome: 'allow', reason: 'because', ...said }];
    return store.appendAudit({ type: 'service_started' }, { policy });
  }],
  ['mirrorEvent', ({ folder, ledger }, given) => {
    const [{ meta, blob, more, sig, ...line }] = [...ledger.iterate()] as [LedgerLine];
    assert.deepEqual([meta, blob, more, sig], [undefined, undefined, undefined, undefined]);
    const absent = given<LedgerLine>({ meta: undefined, blob: undefined, more: undefined, sig: undefined });
    using store = SqliteStore.open(folder.file('mirrored.db'), { ledger });
    return mirrorEvent(store, { ...line, ...absent });
  }],
  ['Ledger.verify', async ({ ledger }, given) => ledger.verify(given<VerifyOptions>(verifying))],
  ['replay, verifyParity, rebuildLedger, rebuildDatabase', async ({ folder, ledger }, given) => {
    using store = SqliteStore.open(folder.file('mirrored.db'), { ledger });
    const options = given<LongOperation>(long);
    return [
      await replay(store, ledger, options), await verifyParity(store, ledger, options),
      await rebuildLedger(store, folder.file('rebuilt.jsonl'), options),
      await rebuildDatabase(ledger, folder.file('rebuilt.db'), options),
    ];
  }],
  ['composePolicyOutcomes', (_, given) => {
    const said = given<PolicyContribution>({ breakGlassAllowed: undefined });
    return composePolicyOutcomes([{ ruleId: 'r', outcome: 'reject', reason: 'because', ...said }], { reason: 'fire' });
  }],
];

const measured: readonly string[] = ['durationMs', 'elapsedMs', 'bytes'];

/** A result without what two worlds cannot have in common: ids, hashes, times and the folder. */
function comparable(value: unknown, folder: string): unknown {
  if (value instanceof Date) return 'a time';
  if (typeof value === 'string') {
    return value.replaceAll(folder, 'the folder')
      .replaceAll(/[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/g, 'a UUID').replaceAll(/[\da-f]{64}/g, 'a hash')
      .replaceAll(/\d{4}-\d\d-\d\d(T[\d:.]+Z)?/g, 'a time');
  }
  if (Array.isArray(value)) return value.map((item) => comparable(item, folder));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => {
    return [key, measured.includes(key) ? typeof item : comparable(item, folder)];
  }));
}

test('undefined for an optional field comes to the same as leaving the field out', async (t) => {
  const asGiven: Given = (absent) => absent;
  const withGiven = new World(new TestFolder(t, { inMemory: true }), asGiven<OpenOptions>(opening));
  const without = new World(new TestFolder(t, { inMemory: true }), {});
  for (const [name, call] of [...ofStore, ...ofModules, ...ofLedgers]) {
    await t.test(name, async () => {
      const [left, right] = [await call(withGiven, asGiven), await call(without, () => ({}) as never)];
      assert.notEqual(right, undefined);
      const comparing = [comparable(left, withGiven.folder.path), comparable(right, without.folder.path)];
      assert.deepEqual(comparing[0], comparing[1]);
    });
  }
});
