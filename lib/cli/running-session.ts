// The session that runs by what a store has of it.
import type { SessionSnapshot } from '../core/state.ts';
import { connect, type SqliteStore } from '../store.ts';

/** The session, unless the log says that it has ended: an older copy of the snapshot may still hold it. */
export function runningSession(
  store: SqliteStore, session: SessionSnapshot | undefined,
): SessionSnapshot | undefined {
  if (!session) return undefined;
  const door = connect(store);
  const endId = `session_ended:${session.sessionId}`;
  const ended = door.read('look for the end of the session', () => door.parts.log.hasEvent(endId));
  return ended ? undefined : session;
}
