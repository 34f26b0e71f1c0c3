// Keys that sign a ledger: the command that makes one, and reading those that other commands are given.
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { attempt } from '../errors.ts';
import { existsAt } from '../files.ts';
import { likeFor, makeLike } from '../owner.ts';
import { syncFolder } from '../snapshot-file.ts';
import type { Args } from './args.ts';
import { jsonOption, print, printJson } from './command.ts';
import type { Command, Option } from './command.ts';
import { UsageError } from './failures.ts';
import { painter, plain } from './text.ts';

/** The option of commands that may write to a store that signs. */
export const keyOption: Record<string, Option> = { key: { value: 'FILE', help: 'the private key, where the store signs its events' } };

/** `keygen`: makes a key. */
export const keygen: Command = {
  name: 'keygen',
  summary: 'Makes a key that signs a ledger',
  takes: [],
  options: { key: { value: 'FILE', help: 'the private key to make; required', required: true }, ...jsonOption },
  notes: [
    'An Ed25519 key in two PEM files: FILE, which only this user may read and the',
    'service signs with, and FILE.pub, which verify takes as --public-key. Keep',
    'FILE.pub also where nobody who reaches the store can change it.',
    'A file that is there already is never overwritten.',
  ],
  examples: ['keygen --key /etc/kiosk/ledger.key'],
  run: (args, io) => {
    const path = args.required('key');
    const publicPath = `${path}.pub`;
    for (const file of [path, publicPath]) if (existsAt(file)) throw new UsageError(`${file} is there already: a key is never overwritten`);
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    writeNew(path, pem(privateKey), 0o600);
    try {
      writeNew(publicPath, pem(publicKey), 0o644);
    } catch (error) {
      rmSync(path); // half a pair would stand in the way of the next attempt
      throw error;
    }
    attempt(`make ${path} durable`, () => syncFolder(dirname(resolve(path))));
    if (args.flag('json')) printJson(io, { key: path, publicKey: publicPath });
    else print(io, [`${painter(io.stdout)('green', 'made')}: ${plain(path)}, to sign with; keep it secret`, `      ${plain(publicPath)}, to verify with`]);
    return 0;
  },
};

function pem(key: KeyObject): string {
  return key.export({ type: key.type === 'private' ? 'pkcs8' : 'spki', format: 'pem' }).toString();
}

/** A whole file with exactly this mode, or none. */
function writeNew(path: string, text: string, mode: number): void {
  attempt(`make ${path}`, () => {
    const fd = openSync(path, 'wx', mode & 0o600); // never more than the owner's, not even for a moment
    try {
      makeLike(fd, { ...likeFor(path), mode });
      writeFileSync(fd, text);
      fsyncSync(fd);
    } catch (error) {
      rmSync(path);
      throw error;
    } finally {
      closeSync(fd);
    }
  });
}

/** The private key in the file that `--key` names. Throws `UsageError` for a file that holds none. */
export function signingKeyOf(args: Args): KeyObject | undefined {
  return keyIn(args, 'key', 'private', (text) => createPrivateKey(text));
}

/** The public key in the file that `--public-key` names. Throws `UsageError` for a file that holds none. */
export function publicKeyOf(args: Args): KeyObject | undefined {
  return keyIn(args, 'public-key', 'public', (text) => {
    // Node would derive the public half; whoever verifies should not have the other one.
    if (text.includes('PRIVATE KEY')) throw new UsageError(`${args.text('public-key')} holds a private key: --public-key takes the file beside it, .pub`);
    return createPublicKey(text);
  });
}

function keyIn(args: Args, option: string, kind: 'private' | 'public', parse: (text: string) => KeyObject): KeyObject | undefined {
  const path = args.text(option);
  if (path === undefined) return undefined;
  // A pipe is fine: a shell gives a key from elsewhere as one.
  const text = attempt(`read the key ${path}`, () => (statSync(path).isDirectory() ? '' : readFileSync(path, 'utf8')));
  let key: KeyObject | undefined;
  try {
    key = parse(text);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    // What the parser says of its input is no business of a terminal; the path is enough.
  }
  if (key?.asymmetricKeyType !== 'ed25519') throw new UsageError(`--${option}: ${path} holds no Ed25519 ${kind} key in PEM form, as keygen makes it`);
  return key;
}

/**
 * Refuses a key that would begin to sign or to sign otherwise, and none where an event without a signature would look like
 * a forged one. `recorded`: the public key that the store began to sign with last. Throws `UsageError`.
 */
export function checkKeyFits(key: KeyObject | undefined, recorded: string | undefined): void {
  if (recorded === undefined && key) throw new UsageError('the store does not sign its events, and --key would begin it: leave it out');
  if (recorded !== undefined && !key) throw new UsageError('the store signs its events: give its private key by --key');
  if (recorded !== undefined && key && pem(createPublicKey(key)) !== recorded) throw new UsageError('--key is not the key that the store signs its events with');
}
