// The hash chain over the audit log: pure functions, no I/O.
import { createPublicKey, hash, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { types } from 'node:util';
import { invalid } from './values.ts';

/** The columns of an audit row that its hash covers, exactly as they are stored. `meta` is null where there is none. */
export interface ChainedRow {
  id: number;
  timestamp: string | Uint8Array;
  type: string | Uint8Array;
  data: string | Uint8Array;
  meta: string | null;
}

/**
 * The predecessor of a store's first row, 64 hexadecimal digits: SHA-256 of the two lines
 *
 *     shepherd-store genesis v1\n
 *     <the store's UUID>\n
 *
 * so that a row of one store never fits into another's log.
 */
export function genesisHash(uuid: string): string {
  return hash('sha256', `shepherd-store genesis v1\n${uuid}\n`);
}

/**
 * The hash of a row, 64 hexadecimal digits: SHA-256 of the UTF-8 text of seven lines
 *
 *     shepherd-store audit v1\n
 *     <the previous row's hash>\n
 *     <id, decimal>\n
 *     <length>:<timestamp>\n
 *     <length>:<event_type>\n
 *     <length>:<event_data>\n
 *     <length>:<event_meta>\n       or  -\n  where event_meta is NULL
 *
 * with each length in bytes of UTF-8. The lengths make the framing unambiguous whatever the texts hold; the first line
 * separates it from every other use of SHA-256 and carries the version of this format. (A timestamp, event_type or
 * event_data that is a BLOB, which only an adopted file can hold, stands as `x<length>:` and its hexadecimal digits.)
 */
export function rowHash(previous: string, row: ChainedRow): string {
  const { id, timestamp, type, data, meta } = row;
  // toFixed: V8 keeps the texts of the numbers that templates make, and a million of them cost 20 to 50 MB.
  const digits = id.toFixed();
  return hash(
    'sha256',
    `shepherd-store audit v1\n${previous}\n${digits}\n${framed(timestamp)}${framed(type)}${framed(data)}${meta === null ? '-\n' : framed(meta)}`,
  );
}

function framed(value: string | Uint8Array): string {
  return typeof value === 'string' ? `${Buffer.byteLength(value)}:${value}\n` : `x${framed(Buffer.from(value).toString('hex'))}`;
}

/** Refuses anything but an Ed25519 public key, as a `KeyObject` or PEM text. A private key is refused: a verifier needs none. */
export function checkPublicKey(name: string, key: unknown): KeyObject {
  let parsed = key;
  if (typeof key === 'string' && !key.includes('PRIVATE')) {
    try {
      parsed = createPublicKey(key);
    } catch {
      // refused below
    }
  }
  // The text is not part of the message: it may be a private key after all.
  if (!types.isKeyObject(parsed) || parsed.type !== 'public' || parsed.asymmetricKeyType !== 'ed25519') {
    throw invalid(name, typeof key, 'an Ed25519 public key, as a KeyObject or PEM text');
  }
  return parsed;
}

/**
 * Whether a signature is this key's over this hash: Ed25519 (RFC 8032) over its 64 ASCII digits, in base64 exactly as it is
 * written. (A lenient reader of base64 would take several texts for one signature.)
 */
export function isSignedBy(hash: string, signature: string, publicKey: KeyObject): boolean {
  const bytes = Buffer.from(signature, 'base64');
  return bytes.toString('base64') === signature && verify(null, Buffer.from(hash), publicKey, bytes);
}

/** What is wrong with the signature of a row. */
export interface SignatureFault {
  kind: 'bad-signature' | 'missing-signature';
  message: string;
}

/**
 * Walks the signatures of a log: from the event `signing_started` with this key on, that event included, every row must be
 * signed by it. A log where signing never begins has nothing that this key proves, and that is a fault as well.
 */
export class SignatureWalk {
  readonly #publicKey: KeyObject;
  readonly #pem: string;
  #begun = false;
  #isOthers = false;

  constructor(publicKey: KeyObject) {
    this.#publicKey = publicKey;
    this.#pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  }

  /** What is wrong with the next row's signature. */
  step(type: string | Uint8Array, data: string | Uint8Array, hash: string, signature: string | null): SignatureFault | undefined {
    if (type === 'signing_started') {
      if (keyOf(data) !== this.#pem) {
        this.#isOthers = true;
        return { kind: 'bad-signature', message: 'signing with another key starts here' };
      }
      this.#begun = true;
    }
    if (signature === null) return this.#begun ? { kind: 'missing-signature', message: 'there is no signature, and signing had started' } : undefined;
    // What another key signed before this one began was told of where that began.
    if (this.#isOthers && !this.#begun) return undefined;
    return isSignedBy(hash, signature, this.#publicKey) ? undefined : { kind: 'bad-signature', message: 'the signature is not the one of this key over this hash' };
  }

  /** What is wrong with the log as a whole. */
  end(): SignatureFault | undefined {
    return this.#begun ? undefined : { kind: 'missing-signature', message: 'signing with this key never started' };
  }
}

function keyOf(data: string | Uint8Array): unknown {
  try {
    return (JSON.parse(String(data)) as { publicKey?: unknown } | null)?.publicKey;
  } catch {
    return undefined;
  }
}
