// Names of a built file that nothing else in it has. Most of them become short, which makes the JavaScript a fifth
// smaller; those of the top level begin with other letters than those inside of functions, so that none hides another.
import type { Node } from 'typescript/unstable/ast';
import type { Key, Scanned } from './scan.ts';

const keywords = ['as', 'do', 'if', 'in', 'is', 'of', 'for', 'get', 'let', 'new', 'set', 'try', 'var'];
const lower = [...'etnrioascldpumhfgbwvykxzjq'];
const upper = [...'ETNRIOASCLDPUMHFGBWVYKXZJQ'];

/** Gives out the names of one built file. */
export class Names {
  readonly #taken: Set<string>;
  readonly #topLevel = this.#shortNames(upper.flatMap((first) => [...lower, ...upper].map((second) => first + second)));

  /** `taken`: what the names must not hide. */
  constructor(taken: Iterable<string>) {
    this.#taken = new Set([...keywords, ...taken]);
  }

  /** The name, or one like it that is free. */
  take(wanted: string): string {
    let name = wanted;
    for (let number = 2; this.#taken.has(name); number++) name = `${wanted}$${number}`;
    this.#taken.add(name);
    return name;
  }

  /** A short name for something of the top level. */
  takeShort(): string {
    return this.take(this.#topLevel.next().value);
  }

  /** Short names for what is declared inside of the functions of a file, the shortest for the most used. */
  shorten({ places }: Scanned): Map<Key, string> {
    const units = new Map<Node, Map<Key, number>>();
    for (const { meaning } of places) {
      if (meaning?.kind !== 'local') continue;
      const counts = units.get(meaning.unit) ?? new Map<Key, number>();
      units.set(meaning.unit, counts.set(meaning.key, (counts.get(meaning.key) ?? 0) + 1));
    }
    return new Map([...units.values()].flatMap((counts) => {
      const keys = [...counts].sort(([, first], [, second]) => second - first).map(([key]) => key);
      const names = this.#shortNames(lower);
      return keys.map((key) => [key, names.next().value] as const);
    }));
  }

  /** The free ones of some names, and of longer ones after them. */
  *#shortNames(first: readonly string[]): Generator<string, never> {
    for (let names = first; ; names = names.flatMap((name) => lower.map((letter) => name + letter))) {
      for (const name of names) if (!this.#taken.has(name)) yield name;
    }
  }
}
