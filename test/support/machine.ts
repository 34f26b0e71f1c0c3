// A person's machine, on which the project was cloned and the examples of its documents are tried.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { plainEnvironment } from './child.ts';
import { type Outcome, root, topLevel } from './project.ts';

/** Copies what a clone of the project has. */
export function cloneProject(to: string): void {
  for (const name of topLevel()) cpSync(join(root, name), join(to, name), { recursive: true });
}

// The machine has fetched Node 26 before: `npx` takes the Node that runs the tests for it, which may be of line 24.
const npx = `#!/bin/sh
case "$*" in
  '-y node@26 '*) shift 2; exec node "$@" ;;
  '-y -p node@26 '*) shift 3; exec "$@" ;;
esac
PATH=\${PATH#*:} exec npx "$@"
`;

/** A machine with a home folder, in which the project was cloned, and with this Node first on the PATH. */
export class Machine {
  readonly #env: NodeJS.ProcessEnv;

  /** `folder` is a new one for the machine's files; the clone is `~/shepherd-store`. */
  constructor(folder: string) {
    const [home, bin, temporary] = ['home', 'bin', 'tmp'].map((name) => join(folder, name)) as [string, string, string];
    for (const path of [home, bin, temporary]) mkdirSync(path);
    cloneProject(join(home, 'shepherd-store'));
    writeFileSync(join(bin, 'npx'), npx);
    chmodSync(join(bin, 'npx'), 0o755);
    const { npm_config_cache: cache = join(homedir(), '.npm'), PATH: path } = process.env;
    // Nothing of the npm that runs the tests, and nothing that would lead the examples to this user's own data.
    const plain = Object.entries(plainEnvironment()).filter(([name]) => !/^(npm|XDG|SHEPHERD)_/.test(name));
    this.#env = {
      ...Object.fromEntries(plain), HOME: home, TMPDIR: temporary, TZ: 'UTC',
      PATH: [bin, dirname(process.execPath), path].join(delimiter),
      npm_config_cache: cache, npm_config_prefer_offline: 'true', npm_config_update_notifier: 'false',
    };
  }

  /** Whether npm gets what the project is built with, from its cache or from the registry. */
  canInstall(): boolean {
    const folder = join(this.#env['TMPDIR']!, 'install');
    for (const name of ['package.json', 'package-lock.json']) cpSync(join(root, name), join(folder, name));
    return this.paste(folder, 'npm ci --fetch-retries=0').status === 0;
  }

  /**
   * Runs commands as if they were pasted into a shell, but that none comes after one that has failed. `env` is what
   * else the person has set there.
   */
  paste(cwd: string, commands: string, env: NodeJS.ProcessEnv = {}): Outcome {
    const { status, stdout, stderr, error } = spawnSync('sh', ['-ec', commands], {
      cwd, env: { ...this.#env, ...env }, encoding: 'utf8',
    });
    if (error) throw error;
    return { status, stdout, stderr };
  }
}
