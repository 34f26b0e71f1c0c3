// The snapshot's row in the database, which is the other half of the pair: read and written.
import type { Connection } from './connection.ts';
import { decodeState, type StateSnapshot } from './state.ts';

/** The row in the database. Its text is decoded only where `state` is read: a save needs the generation alone. */
export class SnapshotRow {
  readonly text: string;
  readonly generation: number;
  #state: StateSnapshot | undefined;

  constructor(text: string, generation: number) {
    this.text = text;
    this.generation = generation;
  }

  get state(): StateSnapshot | undefined {
    return (this.#state ??= decodeState(this.text));
  }
}

/** The row, where a state was ever saved. A text that is none is read as a state that cannot be decoded. */
export function readRow(connection: Pick<Connection, 'get'>): SnapshotRow | undefined {
  const row = connection.get<[unknown, number]>('SELECT data, generation FROM snapshot WHERE id = 1');
  return row && new SnapshotRow(typeof row[0] === 'string' ? row[0] : '', row[1]);
}

/** Writes the row, inside a transaction. */
export function writeRow(connection: Connection, text: string, generation: number): void {
  const sql = `INSERT INTO snapshot (id, data, generation) VALUES (1, ?1, ?2)
    ON CONFLICT (id) DO UPDATE SET data = ?1, generation = ?2`;
  connection.run(sql, text, generation);
}
