// What is built does what the sources do: tests of the public methods and of the command, run on the installed package.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { installed } from '../support/package.ts';
import { emptyFolder, entryPoints, manifest, node, root } from '../support/project.ts';

const { consumer } = installed();

const entries = [...entryPoints.map(({ conditions }) => conditions['default']!), './dist/cli/program.js'];

/** Gives the files of the package to whoever imports those of lib/, and notes down which. */
function hook(log: string): string {
  const built = pathToFileURL(join(consumer, 'node_modules', manifest.name, '/'));
  const redirected = Object.fromEntries(entries.map((path) => {
    const source = path.replace('./dist/', 'lib/').replace(/js$/, 'ts');
    return [pathToFileURL(join(root, source)).href, new URL(path, built).href];
  }));
  return `data:text/javascript,${encodeURIComponent(`
    import { appendFileSync } from 'node:fs';
    import { registerHooks } from 'node:module';
    const redirected = ${JSON.stringify(redirected)};
    registerHooks({
      resolve(specifier, context, next) {
        const resolved = next(specifier, context);
        const url = redirected[resolved.url];
        if (url) appendFileSync(${JSON.stringify(log)}, url + '\\n');
        return url ? { ...resolved, url, format: 'module' } : resolved;
      },
    });`)}`;
}

// None of them imports anything else of lib/: that would come from the sources, and know nothing of what is built.
const files: Record<string, string> = {
  'refusals.test.ts': 'index', 'core/audit.test.ts': 'index', 'core/usage.test.ts': 'index',
  'migrate/first-version.test.ts': 'index', 'modules/sessions.test.ts': 'modules/sessions/sessions',
  'modules/limits-refusals.test.ts': 'modules/limits/limits', 'modules/runs.test.ts': 'modules/runs/runs',
  'modules/facts.test.ts': 'modules/facts/facts', 'modules/project-plans.test.ts': 'modules/projects/projects',
  'modules/report-refusals.test.ts': 'modules/report/report',
  'ledger/cooldowns.test.ts': 'ledger/index', 'import/lunchbox.test.ts': 'import/index',
  'cli/audit.test.ts': 'cli/program', 'cli/backup.test.ts': 'cli/program',
};

for (const [file, entry] of Object.entries(files)) {
  test(`test/${file} passes with the installed package`, (t) => {
    const log = join(emptyFolder(t), 'log');
    const { status, stdout, stderr } = node(root, '--import', hook(log), join('test', file));
    assert.equal(status, 0, stdout.slice(-2_000) + stderr);
    assert.match(readFileSync(log, 'utf8'), new RegExp(`/dist/${entry}\\.js$`, 'm'));
  });
}
