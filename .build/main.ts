// `npm run build` (`node build/main.ts [FOLDER]`, dist/ by default): compiles lib/ to what is shipped.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { writeBundles } from './bundle.ts';
import { writeDeclarations } from './declarations.ts';
import { withProgram } from './program.ts';
import { sqlFilesModule } from './sql-files.ts';

interface Manifest {
  exports: Record<string, string | { default: string }>;
}

const root = resolve(import.meta.dirname, '..');

/** Compiles lib/ into a folder. */
function compile(folder: string, ...options: string[]): void {
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const args = [compiler, '-p', root, '--outDir', folder, ...options];
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) throw new Error('the compiler has found faults (npm ci installs it)');
}

/** The files that other packages import, by their paths in dist/, without the ending. */
function entryPoints(): string[] {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;
  return Object.values(manifest.exports).flatMap((entry) => {
    return typeof entry === 'string' ? [] : [entry.default.replace(/^\.\/dist\/(.*)\.js$/, '$1')];
  });
}

/** What systemd, Prometheus and Grafana are given beside the command. */
const monitoring = 'cli/monitoring';

function build(folder: string): void {
  const work = mkdtempSync(join(tmpdir(), 'shepherd-store-build-'));
  try {
    rmSync(folder, { recursive: true, force: true });
    const [scripts, declarations] = [join(work, 'scripts'), join(work, 'declarations')];
    compile(scripts, '--declaration', 'false', '--isolatedDeclarations', 'false', '--removeComments');
    compile(declarations, '--emitDeclarationOnly', '--stripInternal');
    writeFileSync(join(scripts, 'core/sql-files.js'), sqlFilesModule());
    const entries = entryPoints();
    cpSync(join(root, 'lib/package.json'), join(folder, 'package.json')); // the command says which version it is
    const centre = 'fleet/postgresql.sql'; // the command prints it
    cpSync(join(root, 'lib', centre), join(folder, centre));
    for (const file of readdirSync(join(root, 'lib', monitoring)).filter((name) => !name.endsWith('.md'))) {
      cpSync(join(root, 'lib', monitoring, file), join(folder, monitoring, file));
    }
    withProgram(scripts, '.js', (program) => writeBundles(program, entries, folder));
    withProgram(declarations, '.d.ts', (program) => writeDeclarations(program, entries, folder));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

build(resolve(process.argv[2] ?? join(root, 'dist')));
