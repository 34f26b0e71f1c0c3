// Programs that a machine may not have: a test that needs one is left out there, and says so. CI installs them all and
// counts a test that was left out as a failure.
import { spawnSync } from 'node:child_process';
import { type Fetched, fetchTool } from './fetched.ts';
import { unsharing } from './process.ts';

/**
 * What can be needed, and how it is asked for; `mount` stands for a mount namespace of one's own in which mounting
 * works, `users` for a user namespace, `root` for the right to be two users.
 */
const tools = {
  strace: ['strace', '--version'],
  jq: ['jq', '--version'],
  openssl: ['openssl', 'version'],
  perl: ['perl', '--version'],
  bash: ['bash', '--version'],
  zsh: ['zsh', '--version'],
  fish: ['fish', '--version'],
  mandoc: ['sh', '-c', 'command -v mandoc'], // it has no option for its version
  groff: ['groff', '--version'],
  script: ['script', '--version'], // gives a command a terminal
  chromium: ['chromium', '--version'],
  'mkfs.vfat': ['sh', '-c', 'command -v mkfs.vfat'],
  'mkfs.exfat': ['sh', '-c', 'command -v mkfs.exfat'], // it ends with 1 whatever it is asked
  promtool: ['promtool', '--version'], // of Debian's package prometheus
  'prometheus-node-exporter': ['prometheus-node-exporter', '--version'],
  postgres: ['sh', '-c', 'ls /usr/lib/postgresql/*/bin/postgres || command -v postgres'], // 15 or later, with psql
  users: ['unshare', '-Ur', 'true'],
  root: ['sh', '-c', 'test "$(id -u)" = 0'],
  mount: undefined,
} as const;

type Tool = keyof typeof tools | Fetched;

const found = new Map<Tool, boolean>();

function isThere(name: Tool): boolean {
  if (!(name in tools)) return fetchTool(name as Fetched) !== undefined;
  const [command, ...args] = tools[name as keyof typeof tools] ?? mounting();
  return spawnSync(command!, args).status === 0;
}

function mounting(): string[] {
  return [...unsharing(), 'mount', '-t', 'tmpfs', 'none', '/mnt'];
}

/** The options of a test that needs these programs. */
export function needs(...names: readonly Tool[]): { skip: string | false } {
  for (const name of names) if (!found.has(name)) found.set(name, isThere(name));
  const missing = names.filter((name) => !found.get(name));
  return { skip: missing.length > 0 && `left out for want of ${missing.join(', ')}` };
}
