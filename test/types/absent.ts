// Every public function and method takes undefined for what may be left out. Only type-checked, as a project does that
// sets exactOptionalPropertyTypes: see test/package/declarations.test.ts. What is done with it is asked by
// test/absent-options.test.ts.
import type { KeyObject } from 'node:crypto';
import * as imports from '../../lib/import/index.ts';
import * as core from '../../lib/index.ts';
import * as ledgers from '../../lib/ledger/index.ts';
import * as archives from '../../lib/modules/archive/archive.ts';
import * as backups from '../../lib/modules/backup/backup.ts';
import * as facts from '../../lib/modules/facts/facts.ts';
import * as identity from '../../lib/modules/identity/identity.ts';
import * as limits from '../../lib/modules/limits/limits.ts';
import * as outboxes from '../../lib/modules/outbox/outbox.ts';
import * as projects from '../../lib/modules/projects/projects.ts';
import * as reports from '../../lib/modules/report/report.ts';
import * as runs from '../../lib/modules/runs/runs.ts';
import * as sessions from '../../lib/modules/sessions/sessions.ts';
import { nothing } from './equal.ts';

// What is given as it is: not an object with options. The store's own events are in CoreEvent and are never given.
type Whole = core.SqliteStore | core.StoreEvent | ledgers.Ledger | Date | AbortSignal | KeyObject | Error | Function;
type Callable = ((...args: never) => unknown) | (abstract new (...args: never) => unknown);

/** The optional fields in a type, at any depth, that do not accept undefined. */
type Refusing<T> = core.JsonValue extends T ? never : RefusingEach<T>;
type RefusingEach<T> = T extends Whole | Callable ? never
  : T extends readonly (infer Item)[] ? Refusing<Item>
  : T extends object ? { [Name in keyof T]-?: RefusingField<T, Name> }[keyof T]
  : never;
type RefusingField<T, Name extends keyof T> = object extends Pick<T, Name>
  ? ({ [_ in Name]: undefined } extends Pick<T, Name> ? Refusing<NonNullable<T[Name]>> : Name)
  : Refusing<T[Name]>;

type RefusingCall<F> = F extends (...args: infer Args) => unknown ? Refusing<Args[number]> : never;
type RefusingNew<F> = F extends abstract new (...args: infer Args) => unknown ? Refusing<Args[number]> : never;
type RefusingMember<T> = { [Name in keyof T]-?: RefusingCall<T[Name]> }[keyof T];
type Prototype<T> = T extends { prototype: infer Instance } ? Omit<Instance, 'forStore'> : never;

/** What a function or class refuses: its call or its constructor, its static methods and the others. */
type RefusedByOne<F> = F extends Callable | { prototype: unknown } // a class whose constructor is private
  ? RefusingCall<F> | RefusingNew<F> | RefusingMember<F> | RefusingMember<Prototype<F>> : never;
type RefusedBy<Module> = { [Name in keyof Module]: RefusedByOne<Module[Name]> }[keyof Module];

export function takesUndefined(): void {
  nothing<RefusedBy<typeof core>>();
  nothing<RefusingMember<core.SqliteStore>>(); // what it takes of the core's events
  nothing<RefusedBy<typeof sessions>>();
  nothing<RefusedBy<typeof limits>>();
  nothing<RefusedBy<typeof reports>>();
  nothing<RefusedBy<typeof runs>>();
  nothing<RefusedBy<typeof facts>>();
  nothing<RefusedBy<typeof projects>>();
  nothing<RefusedBy<typeof backups>>();
  nothing<RefusedBy<typeof archives>>();
  nothing<RefusedBy<typeof outboxes>>();
  nothing<RefusedBy<typeof identity>>();
  nothing<RefusedBy<typeof ledgers>>();
  nothing<RefusedBy<typeof imports>>();
}

declare function inCall(options?: { limit?: number }): void;
declare function inItems(items: readonly { attributes: { source?: string } }[]): void;
declare function accepts(options?: { limit?: number | undefined }): void;
declare class Faulty {
  constructor(options?: { clock?: () => Date });
}
declare class FaultyMethods {
  private constructor();
  static open(options?: { recover?: boolean }): void;
  detach(options?: { force?: boolean }): void;
}

/** The check above finds what it looks for, wherever it is. */
export function findsWhatRefuses(): void {
  nothing<RefusedByOne<typeof accepts>>();
  // @ts-expect-error: limit
  nothing<RefusedByOne<typeof inCall>>();
  // @ts-expect-error: source
  nothing<RefusedByOne<typeof inItems>>();
  // @ts-expect-error: clock
  nothing<RefusedByOne<typeof Faulty>>();
  // @ts-expect-error: force
  nothing<Exclude<RefusedByOne<typeof FaultyMethods>, 'recover'>>();
  // @ts-expect-error: recover
  nothing<Exclude<RefusedByOne<typeof FaultyMethods>, 'force'>>();
}

/** As it is written by a service whose settings may be absent. */
export async function options(store: core.SqliteStore, anchor: core.Anchor | undefined): Promise<void> {
  const [label, deadline]: (string | undefined)[] = [];
  const started = { type: 'session_started', sessionId: 's', entryId: 'minecraft', label, deadline } as const;
  store.appendAudit(started, { source: label });
  await store.verifyAudit({ anchor, publicKey: undefined, signal: undefined });
  store.saveSnapshot({ timestamp: new Date(), activeSession: store.loadSnapshot()?.activeSession });
  new sessions.SessionTracker(store, { timeZone: label }).start({ entryId: 'minecraft', label });
  // @ts-expect-error: what must be there may not be undefined
  new sessions.SessionTracker(store).start({ entryId: label });
}
