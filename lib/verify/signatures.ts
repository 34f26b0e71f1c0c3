// Ed25519 signatures over the hashes of the log: public keys, one signature, and the signatures of a whole walk.
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { types } from 'node:util';
import { invalid } from '../values/checks.ts';

/**
 * Refuses anything but an Ed25519 public key, as a `KeyObject` or PEM text. A private key is refused: a verifier needs
 * none.
 */
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
 * Whether a signature is this key's over this hash: Ed25519 (RFC 8032) over its 64 ASCII digits, in base64 exactly as
 * it is written. (A lenient reader of base64 would take several texts for one signature.)
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
 * Walks the signatures of a log: from the event `signing_started` with this key on, that event included, every row must
 * be signed by it. A log where signing never begins has nothing that this key proves, and that is a fault as well.
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
  step(
    type: string | Uint8Array, data: string | Uint8Array, hash: string, signature: string | null,
  ): SignatureFault | undefined {
    if (type === 'signing_started') {
      if (keyOf(data) !== this.#pem) {
        this.#isOthers = true;
        return { kind: 'bad-signature', message: 'signing with another key starts here' };
      }
      this.#begun = true;
    }
    if (signature === null) {
      const message = 'there is no signature, and signing had started';
      return this.#begun ? { kind: 'missing-signature', message } : undefined;
    }
    // What another key signed before this one began was told of where that began.
    if (this.#isOthers && !this.#begun) return undefined;
    if (isSignedBy(hash, signature, this.#publicKey)) return undefined;
    return { kind: 'bad-signature', message: 'the signature is not the one of this key over this hash' };
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
