// The command keygen, which makes a key that signs a ledger, and how other commands read the keys that they are given.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { attempt } from '../values/errors.ts';
import { syncFolder } from '../values/folders.ts';
import { likeFor, makeLike } from '../values/owner.ts';
import { existsAt } from '../values/place.ts';
import type { Args, Option } from './args.ts';
import { type Command, jsonOption, print, printJson } from './command.ts';
import { UsageError } from './failures.ts';
import { painter, plain } from './text.ts';

/** The option of the commands that may write events to a store whose events are signed. */
export const keyOption: Record<string, Option> = {
  key: { value: 'FILE', help: 'the private key, where the store signs its events' },
};

/** `keygen`: makes a pair of keys. */
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
    for (const file of [path, publicPath]) {
      if (existsAt(file)) throw new UsageError(`${file} is there already: a key is never overwritten`);
    }
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    writeNew(path, pem(privateKey), 0o600);
    try {
      writeNew(publicPath, pem(publicKey), 0o644);
    } catch (error) {
      rmSync(path); // the next attempt would be refused because of the private key left over
      throw error;
    }
    attempt(`make ${path} durable`, () => syncFolder(dirname(resolve(path))));
    if (args.flag('json')) printJson(io, { key: path, publicKey: publicPath });
    else {
      print(io, [
        `${painter(io.stdout)('green', 'made')}: ${plain(path)}, to sign with; keep it secret`,
        `      ${plain(publicPath)}, to verify with`,
      ]);
    }
    return 0;
  },
};

function pem(key: KeyObject): string {
  return key.export({ type: key.type === 'private' ? 'pkcs8' : 'spki', format: 'pem' }).toString();
}

/** Writes a new file with exactly this mode, durably, and leaves no file where that fails. */
function writeNew(path: string, text: string, mode: number): void {
  attempt(`make ${path}`, () => {
    const fd = openSync(path, 'wx', mode & 0o600); // nobody but the owner may open the file before its mode is set
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
  return readKey(args, 'key', 'private', (text) => createPrivateKey(text));
}

/** The public key in the file that `--public-key` names. Throws `UsageError` for a file that holds none. */
export function publicKeyOf(args: Args): KeyObject | undefined {
  return readKey(args, 'public-key', 'public', (text) => {
    // Node would derive the public key from a private one, but whoever verifies should not have the private key.
    if (text.includes('PRIVATE KEY')) {
      const path = args.text('public-key');
      throw new UsageError(`${path} holds a private key: --public-key takes the file beside it, .pub`);
    }
    return createPublicKey(text);
  });
}

function readKey(
  args: Args, option: string, kind: 'private' | 'public', parse: (text: string) => KeyObject,
): KeyObject | undefined {
  const path = args.text(option);
  if (path === undefined) return undefined;
  // The path may be a pipe, because a shell passes the output of another program as one.
  const text = attempt(`read the key ${path}`, () => (statSync(path).isDirectory() ? '' : readFileSync(path, 'utf8')));
  let key: KeyObject | undefined;
  try {
    key = parse(text);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    // The parser's message could show a part of the key on the terminal, so the error below names only the path.
  }
  if (key?.asymmetricKeyType === 'ed25519') return key;
  throw new UsageError(`--${option}: ${path} holds no Ed25519 ${kind} key in PEM form, as keygen makes it`);
}

/**
 * Throws `UsageError` where the key would make the store begin to sign or sign with another key, and where a store that
 * signs is given no key, because its event without a signature would look forged. `recorded` is the public key with
 * which the store last began to sign.
 */
export function checkKeyFits(key: KeyObject | undefined, recorded: string | undefined): void {
  if (recorded === undefined) {
    if (key) throw new UsageError('the store does not sign its events, and --key would begin it: leave it out');
    return;
  }
  if (!key) throw new UsageError('the store signs its events: give its private key by --key');
  if (pem(createPublicKey(key)) === recorded) return;
  throw new UsageError('--key is not the key that the store signs its events with');
}
