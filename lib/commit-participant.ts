// What is kept together with the database, and must begin and end with its transactions.

/**
 * Takes part in every outermost transaction: `begin` runs after BEGIN and `prepare` before COMMIT; both may throw (then
 * all is rolled back). `committed` or `abandoned` runs after and may not.
 */
export interface CommitParticipant {
  begin(): void;
  prepare(): void;
  committed(): void;
  abandoned(): void;
}
