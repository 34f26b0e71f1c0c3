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
  readonly #private = new Map<string, string>();
  readonly #privateNames = this.#shortNames(lower);

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

  /** A short name for the private members of a name, which no other members in the file have. */
  private(name: string): string {
    const short = this.#private.get(name) ?? `#${this.#privateNames.next().value}`;
    this.#private.set(name, short);
    return short;
  }

  /**
   * Short names for what is declared inside of the functions of a file, in the order in which it comes: so functions
   * look alike, and are packed better.
   */
  shorten({ places }: Scanned): Map<Key, string> {
    const short = new Map<Key, string>();
    const left = new Map<Node, Iterator<string, never>>();
    for (const { meaning } of places) {
      if (meaning?.kind !== 'local' || short.has(meaning.key)) continue;
      const names = left.get(meaning.unit) ?? this.#shortNames(lower);
      left.set(meaning.unit, names);
      short.set(meaning.key, names.next().value);
    }
    return short;
  }

  /** The free ones of some names, and of longer ones after them. */
  *#shortNames(first: readonly string[]): Generator<string, never> {
    for (let names = first; ; names = names.flatMap((name) => lower.map((letter) => name + letter))) {
      for (const name of names) if (!this.#taken.has(name)) yield name;
    }
  }
}

/** How a list of imports or exports names something that has one name here and another one there. */
export function aliased(name: string, other: string): string {
  return name === other ? name : `${name} as ${other}`;
}
