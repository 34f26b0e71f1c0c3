// A PostgreSQL of the tests' own, in a temporary folder and on a socket there, and what is asked of it by psql.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { nobody } from './process.ts';

/** The file that makes the centre. */
export const centreSql: string = readFileSync(new URL('../../lib/fleet/postgresql.sql', import.meta.url), 'utf8');

const unquoted = String.raw`with (format csv, quote e'\x01', delimiter e'\x02')`;

/** The command of psql that takes a ledger's text from the standard input. */
export const copyCommand: string = `\\copy shepherd.inbox(line) from pstdin ${unquoted}`;

/** How psql has ended. `code`: the SQLSTATE of the error, `ok` without one. */
export interface Answer {
  code: string;
  /** The rows, each as its columns with | between them. */
  rows: string[];
  message: string;
}

/**
 * A program of the newest server of this machine. Debian has it where no PATH leads; its psql in the PATH is a script
 * that takes longer than what it calls.
 */
function program(name: string): string {
  const [newest] = globSync('/usr/lib/postgresql/*/bin/postgres').sort().reverse();
  return newest === undefined ? name : join(dirname(newest), name);
}

const psql = program('psql');

/** A server, which starts when the first database is asked for. It refuses to run as root, and so runs as nobody. */
export class PostgreSql {
  readonly #settings: string[];
  #folder = '';
  #server: ChildProcess | undefined;
  #started: Promise<void> | undefined;
  #databases = 0;

  /** `fsync`: as in earnest, where a test kills the server or measures it. */
  constructor({ fsync = false, settings = [] }: { fsync?: boolean; settings?: string[] } = {}) {
    const careless = ['fsync=off', 'full_page_writes=off', 'synchronous_commit=off'];
    this.#settings = [...(fsync ? [] : careless), ...settings];
    process.once('exit', () => this.#server?.kill('SIGQUIT'));
  }

  /** A database with the centre in it, or `empty`. */
  async database({ empty = false } = {}): Promise<Database> {
    this.#started ??= this.#make();
    await this.#started;
    const name = `fleet_${++this.#databases}`;
    await this.#on('postgres').must(`CREATE DATABASE ${name} TEMPLATE ${empty ? 'template0' : 'centre'}`);
    return this.#on(name);
  }

  #on(name: string): Database {
    return new Database(this.#folder, name);
  }

  async #make(): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), 'shepherd-store-postgresql-'));
    const isRoot = process.getuid?.() === 0;
    if (isRoot) chownSync(this.#folder, nobody, nobody);
    const data = join(this.#folder, 'data');
    const made = spawnSync(program('initdb'), [
      '-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync',
    ], { encoding: 'utf8', cwd: this.#folder, ...(isRoot ? { uid: nobody, gid: nobody } : undefined) });
    if (made.status !== 0) throw new Error(`initdb has failed: ${made.stderr}${made.error ?? ''}`);
    await this.start();
    await this.#on('postgres').must('CREATE DATABASE centre TEMPLATE template0');
    await this.#on('centre').must(centreSql);
  }

  /** Starts the server, again after `kill`. */
  async start(): Promise<void> {
    const isRoot = process.getuid?.() === 0;
    // A statement that waits for what never comes fails after ten minutes, and does not hang the run.
    const always = ['listen_addresses=', `unix_socket_directories=${this.#folder}`, 'statement_timeout=10min'];
    const settings = [...always, ...this.#settings];
    const args = ['-D', join(this.#folder, 'data'), ...settings.flatMap((each) => ['-c', each])];
    this.#server = spawn(program('postgres'), args, {
      stdio: 'ignore', cwd: this.#folder, ...(isRoot ? { uid: nobody, gid: nobody } : undefined),
    });
    for (;;) {
      if (this.#server.exitCode !== null) throw new Error(`postgres has ended with ${this.#server.exitCode}`);
      if ((await this.#on('postgres').ask('SELECT 1')).code === 'ok') return;
      await pause(50);
    }
  }

  /** Ends all of its processes at once, as a power cut does; `SIGINT` disconnects everybody and writes all down. */
  async kill(signal: NodeJS.Signals = 'SIGQUIT'): Promise<void> {
    const server = this.#server;
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    server.kill(signal);
    await ended;
  }

  /** Stops the server and removes all that it had. */
  async stop(): Promise<void> {
    await this.#started?.catch(() => {});
    await this.kill('SIGINT');
    if (this.#folder !== '' && existsSync(this.#folder)) rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A database of such a server. */
export class Database {
  readonly socket: string;
  readonly name: string;

  constructor(socket: string, name: string) {
    this.socket = socket;
    this.name = name;
  }

  /** What psql needs to reach it, as a role. */
  arguments(role = 'postgres'): string[] {
    return ['-X', '-q', '-At', '-h', this.socket, '-U', role, '-d', this.name, '-v', 'ON_ERROR_STOP=1'];
  }

  /** Runs statements. */
  async ask(sql: string, { role }: { role?: string } = {}): Promise<Answer> {
    return this.#psql(['-f', '-'], sql, role);
  }

  /** Runs statements that must not fail, and gives the rows. */
  async must(sql: string, as?: { role?: string }): Promise<string[]> {
    const { code, rows, message } = await this.ask(sql, as);
    if (code !== 'ok') throw new Error(`${code}: ${message}`);
    return rows;
  }

  /** The ledger of a store, as the centre gives it back. */
  async ledger(store: string, { role }: { role?: string } = {}): Promise<string> {
    const command = `\\copy (SELECT shepherd.ledger('${store}')) to pstdout ${unquoted}`;
    const { code, rows, message } = await this.#psql(['-c', command], '', role);
    if (code !== 'ok') throw new Error(`${code}: ${message}`);
    return rows.map((row) => `${row}\n`).join('');
  }

  /** Sends a text into the inbox, as a kiosk does. */
  async send(text: string | Uint8Array, { role }: { role?: string } = {}): Promise<Answer> {
    return this.#psql(['-c', copyCommand], text, role);
  }

  async #psql(args: string[], input: string | Uint8Array, role?: string): Promise<Answer> {
    const child = spawn(psql, [...this.arguments(role), '-v', 'VERBOSITY=verbose', ...args], {
      env: { ...process.env, PGCLIENTENCODING: 'UTF8', PGOPTIONS: '-c client_min_messages=warning' },
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.stdin.on('error', () => {}); // psql stops reading where the server has refused what it read
    child.stdin.end(input);
    const [status] = (await once(child, 'close')) as [number | null];
    const [, code = `exit ${status}`, message = stderr] = /(?:ERROR|FATAL): +([0-9A-Z]{5}): (.*)/.exec(stderr) ?? [];
    const rows = stdout === '' ? [] : stdout.replace(/\n$/, '').split('\n');
    return status === 0 ? { code: 'ok', rows, message: '' } : { code, rows, message };
  }
}
