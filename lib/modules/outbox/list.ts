// The outboxes that a store has, for whoever looks at a store without knowing their names.
import { connect, type SqliteStore } from '../../store.ts';
import { type Lag, Outbox, type Position } from './outbox.ts';

/** An outbox as it stands. */
export interface OutboxState {
  name: string;
  position: Position;
  lag: Lag;
}

/** The names of the outboxes of a store, in their order. */
export function outboxNames(store: SqliteStore): string[] {
  const door = connect(store);
  const rows = door.read('list the outboxes', () => door.all<[string]>('SELECT name FROM outboxes ORDER BY name'));
  return rows.map(([name]) => name);
}

/** Every outbox of a store: how far the log was sent, and what is still to be sent. */
export function listOutboxes(store: SqliteStore): OutboxState[] {
  return connect(store).readTogether('list the outboxes', () => {
    return outboxNames(store).map((name) => {
      const outbox = new Outbox(store, name);
      return { name, position: outbox.position, lag: outbox.lag };
    });
  });
}
