// What the type tests ask with.

/** Whether two types are the same, and not only assignable to each other. */
export type Equal<A, B> = (<X>() => X extends A ? 1 : 2) extends (<X>() => X extends B ? 1 : 2) ? true : false;

/** Compiles where `Holds` is true. */
export function holds<Holds extends true>(): Holds | void {}

/** Compiles where there is nothing; the message of the compiler names what there is. */
export function nothing<Found extends never>(): Found | void {}
