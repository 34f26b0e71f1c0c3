// What takes part in the commits of a connection.

/**
 * Something kept together with the database, which takes part in its outermost transactions; every method is optional.
 */
export interface CommitParticipant {
  /**
   * Runs after BEGIN where another connection has committed since this one last wrote; what it throws undoes the
   * transaction. Only for a participant that attends every transaction.
   */
  beginChanged?(): void;
  /** Runs before COMMIT; what it throws undoes the transaction. */
  prepare?(): void;
  /** Runs after COMMIT, and may not throw. */
  committed?(): void;
  /** Runs after a rollback of the whole transaction, or of a nested one where `isWhole` is false, and may not throw. */
  undone?(isWhole: boolean): void;
}

/** The participant that comes after all others in every transaction. */
export interface LastParticipant extends CommitParticipant {
  /** Runs after BEGIN; what it throws undoes the transaction. */
  begin(): void;
  /** Runs after a COMMIT that failed: takes back what was prepared, and says what became of the transaction. */
  takeBack(): Outcome;
}

/**
 * What became of a transaction whose COMMIT failed. `undone`: nothing of it is left. `done`: all of it is in the
 * database. `unknown`: the ledger may have its events, and the database may lack a part of it.
 */
export type Outcome = 'undone' | 'done' | 'unknown';
