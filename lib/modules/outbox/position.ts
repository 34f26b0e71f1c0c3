// Where an outbox stands: the row of the log that its place has, found again after a backup was restored.
import type { Anchor } from '../../core/chain.ts';
import type { ModuleConnection } from '../../core/door.ts';
import { invalid, parseInstant } from '../../values/checks.ts';

/** The last row that a place has acknowledged; for the id 0, none. */
export interface Position extends Anchor {
  /** When it was acknowledged; absent where nothing was. */
  acknowledgedAt?: Date;
  /**
   * The last row that the place has of another state of the log: a backup was restored that is behind it. The position
   * is then the last row that both are known to have, and what follows it is sent again.
   */
  rewound?: number;
}

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Checks the name of an outbox, which is a part of the name of a lock file as well. */
export function checkName(name: unknown): string {
  if (typeof name === 'string' && namePattern.test(name)) return name;
  throw invalid('name', name, 'up to 64 letters, digits, dots, hyphens and underscores, a letter or digit first');
}

type Row = [id: number, hash: string, acknowledgedAt: string | null, sharedId: number | null];

/** Where an outbox of this name begins: where the log does, or behind the last renewal of the store's identity. */
export function startOf({ parts: { log } }: ModuleConnection): Anchor {
  const beginning = log.beginning();
  const renewed = log.formerIdentities().at(-1)?.until ?? 0;
  const hash = renewed > beginning.id ? log.hashAt(renewed) : undefined;
  return hash === undefined ? beginning : { id: renewed, hash };
}

/** The position of an outbox; `undefined` where there is none of this name. */
export function readPosition(connection: ModuleConnection, name: string): Position | undefined {
  const sql = 'SELECT id, hash, acknowledged_at, shared_id FROM outboxes WHERE name = ?';
  const [id, hash, acknowledgedAt, sharedId] = connection.get<Row>(sql, name) ?? [];
  if (id === undefined || hash === undefined || sharedId === undefined) return undefined;
  const at = parseInstant(acknowledgedAt);
  const told = at ? { acknowledgedAt: at } : undefined;
  const { log } = connection.parts;
  const isArchived = (row: number): boolean => row < log.beginning().id;
  if (id === 0 || log.hashAt(id) === hash) return { id, hash, ...told };
  const from = sharedId ?? id;
  if (isArchived(from)) return { id: from, hash, ...told, ...(from === id ? undefined : { rewound: id }) };
  const shared = sharedId === null ? undefined : log.hashAt(sharedId);
  return { ...(shared === undefined ? startOf(connection) : { id: from, hash: shared }), ...told, rewound: id };
}
