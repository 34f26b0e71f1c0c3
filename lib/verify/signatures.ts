// Ed25519 signatures over the hashes of the log: public keys, one signature, and the signatures of a whole walk.
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { types } from 'node:util';
import { invalid } from '../values/checks.ts';

/** Refuses anything but an Ed25519 public key (`KeyObject` or PEM text); a verifier must not hold a private key. */
export function checkPublicKey(name: string, key: unknown): KeyObject {
  let parsed = key;
  if (typeof key === 'string' && !key.includes('PRIVATE')) {
    try {
      parsed = createPublicKey(key);
    } catch {
      // refused below
    }
  }
  // The message leaves the text out, because it may be a private key.
  if (!types.isKeyObject(parsed) || parsed.type !== 'public' || parsed.asymmetricKeyType !== 'ed25519') {
    throw invalid(name, typeof key, 'an Ed25519 public key, as a KeyObject or PEM text');
  }
  return parsed;
}

/**
 * Whether a signature is this key's over this hash: Ed25519 (RFC 8032) over the hash's 64 ASCII digits, in canonical
 * base64. (A lenient base64 decoder would accept several texts for one signature.)
 */
export function isSignedBy(hash: string, signature: string, publicKey: KeyObject): boolean {
  const bytes = Buffer.from(signature, 'base64');
  return bytes.toString('base64') === signature && verify(null, Buffer.from(hash), publicKey, bytes);
}

/** A fault in the signature of a row. */
export interface SignatureFault {
  kind: 'bad-signature' | 'missing-signature';
  message: string;
}

/**
 * Checks the signatures of a log: every row from the event `signing_started` with this key on, that event included,
 * must be signed by this key. A log where signing never started is a fault too, because the key proves nothing in it.
 */
export class SignatureWalk {
  readonly #publicKey: KeyObject;
  readonly #pem: string;
  #begun = false;
  /** The last row without a signature before the key was found to sign. */
  #lastUnsigned = 0;
  #isOthers = false;

  constructor(publicKey: KeyObject) {
    this.#publicKey = publicKey;
    this.#pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  }

  /** Checks the signature of the next row. */
  step(
    id: number, type: string | Uint8Array, data: string | Uint8Array, hash: string, signature: string | null,
  ): SignatureFault | undefined {
    if (type === 'signing_started') {
      const { publicKey, since = id } = startOf(data);
      if (publicKey !== this.#pem) {
        this.#isOthers = true;
        return { kind: 'bad-signature', message: 'signing with another key starts here' };
      }
      this.#begun = true;
      // The event that began it went into an archive, and this one tells that again.
      if (this.#lastUnsigned >= since) {
        const message = `row ${this.#lastUnsigned} before it has no signature, and signing had started at row ${since}`;
        return { kind: 'missing-signature', message };
      }
    }
    if (signature === null) {
      this.#lastUnsigned = id;
      const message = 'there is no signature, and signing had started';
      return this.#begun ? { kind: 'missing-signature', message } : undefined;
    }
    // Rows that another key signed before this one belong to the fault already reported where that key started.
    if (this.#isOthers && !this.#begun) return undefined;
    if (isSignedBy(hash, signature, this.#publicKey)) return undefined;
    return { kind: 'bad-signature', message: 'the signature is not the one of this key over this hash' };
  }

  /** Reports a log where signing with this key never started. */
  end(): SignatureFault | undefined {
    return this.#begun ? undefined : { kind: 'missing-signature', message: 'signing with this key never started' };
  }
}

function startOf(data: string | Uint8Array): { publicKey?: unknown; since?: number } {
  try {
    return (JSON.parse(String(data)) as { publicKey?: unknown; since?: number } | null) ?? {};
  } catch {
    return {};
  }
}
