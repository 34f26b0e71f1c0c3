// What is given to systemd, Prometheus and Grafana beside the command, and a real exporter that reads the file.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SqliteStore } from '../../lib/index.ts';
import { backup } from '../../lib/modules/backup/backup.ts';
import { Outbox } from '../../lib/modules/outbox/outbox.ts';
import { type Said, shepherd } from '../support/command.ts';
import { documentAt } from '../support/documents.ts';
import { figureOf, figuresIn } from '../support/figures.ts';
import { TestFolder } from '../support/folder.ts';
import { hostileTexts } from '../support/hostile.ts';
import { root } from '../support/project.ts';
import { needs } from '../support/tools.ts';

process.env['TZ'] = 'UTC';
const today = '2026-11-21';
const clock = (): Date => new Date(`${today}T12:00:00Z`);
const call = (...argv: string[]): Promise<Said> => shepherd(argv, { clock });

const folderOfAll = join(root, 'lib/cli/monitoring');
const fileText = (name: string): string => readFileSync(join(folderOfAll, name), 'utf8');
const [service, timer] = ['service', 'timer'].map((kind) => fileText(`shepherd-store-metrics.${kind}`));
const rules = fileText('shepherd-store.rules.yml');
const dashboard = fileText('grafana-dashboard.json');

/** A store with every figure. */
async function fill(folder: TestFolder): Promise<string> {
  const store = SqliteStore.open(folder.file(), { clock });
  store.saveSnapshot({
    timestamp: clock(),
    activeSession: { sessionId: 's', entryId: 'a', startedAt: clock(), warningsIssued: [], elapsedMs: 1 },
  });
  const outbox = new Outbox(store, 'centre');
  store.appendAudit({ type: 'service_started' });
  outbox.acknowledge(store.auditHead()!);
  store.addUsage('minecraft', today, 1_000);
  await backup(store, folder.file('copy.db'), { record: true });
  store.close();
  assert.equal((await call('verify', '--record', folder.file())).code, 0);
  return folder.file();
}

/** The names of all figures that there can be, by their HELP. */
function namesIn(sources: readonly string[]): Set<string> {
  return new Set(sources.flatMap((text) => Array.from(text.matchAll(/family\('(\w+)'/g), ([, name]) => name!)));
}

test('dashboard, alerts and document name only figures that there are, and the document all of them', async (t) => {
  const names = namesIn([readFileSync(join(root, 'lib/cli/metrics-families.ts'), 'utf8')]);
  const { out } = await call('metrics', await fill(new TestFolder(t)));
  const printed = new Set(figuresIn(out).map(({ name }) => name));
  // Those in the source that this store has not.
  assert.deepEqual([...printed].filter((name) => !names.has(name)), []);
  assert.deepEqual([...names].filter((name) => !printed.has(name)), ['last_archive_timestamp_seconds']);
  for (const text of [dashboard, rules]) {
    const named = new Set(Array.from(text.matchAll(/\bshepherd_store_(\w+)/g), ([, name]) => name!));
    assert.ok(named.size >= 8);
    for (const name of named) assert.ok(names.has(name), name);
  }
  const { text } = documentAt('lib/cli/monitoring/README.md');
  const [, table = ''] = /\n\| figure \| \|\n(.*?)\n\n/s.exec(text) ?? [];
  const cells = table.split('\n').slice(1).map((row) => row.split('|')[1]!);
  const told = cells.flatMap((cell) => Array.from(cell.matchAll(/`(\w+)/g), ([, name]) => name!));
  assert.deepEqual(told.sort(), [...names].sort());
});

test('every expression of the dashboard, and every alert, is one that Prometheus takes', needs('promtool'), (t) => {
  const { panels } = JSON.parse(dashboard) as { panels: { title: string; targets: { expr: string }[] }[] };
  assert.ok(panels.length >= 10);
  const exprs = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr.replaceAll('$instance', '.+')));
  const folder = new TestFolder(t);
  const recorded = exprs.map((expr, index) => `      - { record: "panel:${index}", expr: ${JSON.stringify(expr)} }`);
  writeFileSync(folder.file('panels.yml'), `groups:\n  - name: panels\n    rules:\n${recorded.join('\n')}\n`);
  for (const path of [folder.file('panels.yml'), join(folderOfAll, 'shepherd-store.rules.yml')]) {
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', path], { encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
  }
});

test('two stores of one machine are told apart in the dashboard and in what an alert says', () => {
  const texts = Array.from(dashboard.matchAll(/"legendFormat": "(.*)"|by \((.*?)\)/g), ([, one, by]) => one ?? by!);
  const summaries = Array.from(rules.matchAll(/summary: (.*)/g), ([, text]) => text!);
  assert.ok(texts.length > 20 && summaries.length > 8);
  for (const text of [...texts, ...summaries]) {
    assert.equal(/\binstance\b/.test(text), /\bstore( ?\}|,)/.test(text), text);
  }
});

test('every alert fires where it should, and nowhere else', needs('promtool'), (t) => {
  const folder = new TestFolder(t);
  const series = (name: string, labels: string, values: string): string => (
    `      - { series: 'shepherd_store_${name}{${labels}}', values: '${values}' }\n`
  );
  /** All figures of a store that an alert asks for. Those that go on are the time of the sample, and so never old. */
  const machine = (name: string, well: boolean): string => {
    const instance = `instance="${name}",store="hall"`;
    const times = ['figures', 'last_backup', 'last_verification', 'outbox_oldest_unsent', 'snapshot'].map((each) => (
      series(`${each}_timestamp_seconds`, `${instance}${each.startsWith('outbox') ? ',outbox="centre"' : ''}`,
        well ? '0+60x13000' : '0x13000')
    ));
    const found = well ? '0x13000' : '1x13000';
    return [
      ...times, series('up', instance, '1x13000'), series('finding', `${instance},kind="behind"`, found),
      series('unreadable', `${instance},part="usage"`, found), series('session_running', instance, '1x13000'),
      series('filesystem_free_bytes', instance, well ? '1e9x13000' : '1e6x13000'),
      series('database_bytes', instance, '1e6x13000'),
    ].join('');
  };
  const others = series('up', 'instance="down"', '0x13000') + series('up', 'instance="bare"', '1x13000')
    + series('up', 'instance="gone"', '1x12900');
  const critical = ['ShepherdStoreDown', 'ShepherdStorePartUnreadable'];
  const ofPart: Record<string, string> = {
    ShepherdStorePartUnreadable: 'part: usage', ShepherdStoreFinding: 'kind: behind',
    ShepherdStoreNotSent: 'outbox: centre',
  };
  const ill: Record<string, string> = { instance: 'ill', store: 'hall' };
  const bare = { instance: 'bare' };
  const firing: Record<string, Record<string, string>[]> = {
    ShepherdStoreDown: [{ instance: 'down' }], ShepherdStoreNoFigures: [{ instance: 'gone' }],
    ShepherdStoreNoBackup: [ill, bare], ShepherdStoreNotVerified: [ill, bare],
  };
  const names = Array.from(rules.matchAll(/alert: (\w+)/g), ([, name]) => name!);
  for (const name of [...Object.keys(firing), ...Object.keys(ofPart)]) assert.ok(names.includes(name), name);
  const alert = (name: string, all: Record<string, string>[]): string => {
    const severity = critical.includes(name) ? 'critical' : 'warning';
    const labels = all.map((each) => Object.entries({ ...each, severity }).map((pair) => pair.join(': ')));
    const texts = labels.map((each) => `{ exp_labels: { ${[...each, ofPart[name]].filter(Boolean).join(', ')} } }`);
    return `      - { eval_time: 216h, alertname: ${name}, exp_alerts: [${texts.join(', ')}] }\n`;
  };
  writeFileSync(folder.file('rules.yml'), rules.replaceAll(/annotations:\n +summary: .*/g, 'annotations: {}'));
  writeFileSync(folder.file('test.yml'), `rule_files: [rules.yml]
evaluation_interval: 30m
tests:
  - interval: 1m
    input_series:
${machine('well', true)}${machine('ill', false)}${others}    alert_rule_test:
${names.map((name) => alert(name, firing[name] ?? [ill])).join('')}  - interval: 1m
    alert_rule_test:
${names.map((name) => alert(name, name === 'ShepherdStoreNoFigures' ? [{}] : [])).join('')}`);
  const args = ['test', 'rules', folder.file('test.yml')];
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
});

test('the unit calls the command with the options that it takes, and may write where the file goes', async () => {
  const [, command = ''] = /^ExecStart=((?:.*\\\n)*.*)$/m.exec(service!) ?? [];
  const [node, main, name, ...args] = command.replaceAll('\\\n', ' ').split(/ +/);
  assert.deepEqual([node, main!.endsWith('/dist/cli/main.js'), name], ['/usr/bin/node', true, 'metrics']);
  const help = (await call('metrics', '--help')).out;
  for (const option of args.filter((word) => word.startsWith('--'))) assert.ok(help.includes(`  ${option} `), option);
  const file = args[args.indexOf('--textfile') + 1]!;
  assert.match(service!, new RegExp(`^ReadWritePaths=${join(file, '..')}$`, 'm'));
  assert.match(basename(file), /\.prom$/);
  assert.match(timer!, /^OnUnitActiveSec=1min$/m);
});

test('systemd, where it is there, finds nothing wrong with the units', (t) => {
  if (spawnSync('systemd-analyze', ['--version']).status !== 0) {
    return t.diagnostic('without systemd-analyze, what is above has to do');
  }
  const folder = new TestFolder(t);
  const paths = ['service', 'timer'].map((kind) => folder.file(`shepherd-store-metrics.${kind}`));
  writeFileSync(paths[0]!, service!.replace('/usr/bin/node', process.execPath));
  writeFileSync(paths[1]!, timer!);
  const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', ...paths], { encoding: 'utf8' });
  assert.deepEqual((stdout + stderr).split('\n').filter((line) => line.includes('shepherd-store')), []);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

/** Starts an exporter of a folder's files, ended with the test. Gives what it serves. */
async function exporterOf(t: TestContext, folder: string): Promise<() => Promise<string>> {
  const port = await freePort();
  const options = ['--collector.disable-defaults', '--collector.textfile', '--web.disable-exporter-metrics',
    `--collector.textfile.directory=${folder}`, `--web.listen-address=127.0.0.1:${port}`];
  const exporter = spawn('prometheus-node-exporter', options, { stdio: ['ignore', 'ignore', 'pipe'] });
  t.signal.addEventListener('abort', () => exporter.kill('SIGKILL'));
  let said = '';
  exporter.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const scrape = async (): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(10_000) });
    assert.equal(response.status, 200, said);
    return response.text();
  };
  for (let tries = 0; tries < 200; tries++) {
    if (exporter.exitCode !== null) break;
    const isUp = await scrape().then(() => true, () => false);
    if (isUp) return scrape;
    await sleep(50);
  }
  throw new Error(`the exporter does not answer: ${said}`);
}

/** The lines of a text that have our figures: an exporter writes the labels in another order, and other numbers. */
function ours(text: string): string[] {
  const figures = figuresIn(text.split('\n').filter((line) => /^(# (HELP|TYPE) )?shepherd_store/.test(line))
    .map((line) => `${line}\n`).join(''));
  return figures.map(({ name, labels, value }) => JSON.stringify([name, Object.entries(labels).sort(), value])).sort();
}

test('node_exporter serves every figure of the file, whatever entries are called, and of two stores',
  needs('prometheus-node-exporter'), async (t) => {
    const folder = new TestFolder(t);
    const path = await fill(folder);
    const store = folder.open({ clock });
    const ids = hostileTexts.filter((text) => !text.includes('\0'));
    store.transaction(() => ids.forEach((id, n) => store.addUsage(id, today, n + 1)));
    store.close();
    mkdirSync(folder.file('out'));
    const scrape = await exporterOf(t, folder.file('out'));
    const textfile = (name: string): string[] => ['--textfile', folder.file(`out/${name}.prom`)];
    const isWhole = async (): Promise<void> => {
      assert.equal(/^node_textfile_scrape_error (\d)$/m.exec(await scrape())![1], '0');
    };

    assert.equal((await call('metrics', path, ...textfile('one'))).code, 0);
    await isWhole();
    const written = readFileSync(folder.file('out/one.prom'), 'utf8');
    assert.deepEqual(ours(await scrape()), ours(written));
    assert.ok(ours(written).length > 60);

    // Each of two stores has its label.
    await call('metrics', path, '--label', 'hall', ...textfile('one'));
    await call('metrics', folder.file('copy.db'), '--label', 'yard', ...textfile('two'));
    await isWhole();
    assert.equal(ours(await scrape()).filter((line) => line.startsWith('["up"')).length, 2);

    // A lost store is told at once.
    assert.equal((await call('metrics', folder.file('lost.db'), '--label', 'yard', ...textfile('two'))).code, 1);
    await isWhole();
    const ups = figuresIn((await scrape()).split('\n').filter((line) => /shepherd_store_up/.test(line))
      .map((line) => `${line}\n`).join(''));
    assert.deepEqual(['hall', 'yard'].map((name) => figureOf(ups, 'up', { store: name })), [1, 0]);
  });
