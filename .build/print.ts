// The text of a statement without its blanks, with other names where they are to stand.
import { type Statement, SyntaxKind } from 'typescript/unstable/ast';
import type { Meaning, Place, Scanned } from './scan.ts';

/** Prints a statement of a file; `nameOf` says what is to stand for a name. */
export function print(scanned: Scanned, statement: Statement, nameOf: (meaning: Meaning) => string): string {
  const { text } = scanned.source;
  const output = new Output();
  let position = bodyOf(statement, scanned);
  for (const place of placesIn(scanned, position, statement.end)) {
    output.addCode(text.slice(position, place.start));
    position = place.end;
    if (place.isMember) output.addLineBreak();
    else output.add(textOf(place, text, nameOf));
  }
  output.addCode(text.slice(position, statement.end));
  return output.text;
}

/** Where a statement begins without the word `export`. */
function bodyOf(statement: Statement, { source }: Scanned): number {
  const { modifiers = [] } = statement as { modifiers?: readonly { kind: SyntaxKind; end: number }[] };
  return modifiers.find(({ kind }) => kind === SyntaxKind.ExportKeyword)?.end ?? statement.getStart(source);
}

function placesIn({ places }: Scanned, start: number, end: number): Place[] {
  return places.filter((place) => place.start >= start && place.end <= end);
}

function textOf(place: Place, text: string, nameOf: (meaning: Meaning) => string): string {
  const { start, end, meaning, isShorthand } = place;
  const written = text.slice(start, end);
  const name = meaning ? nameOf(meaning) : written;
  return isShorthand && name !== written ? `${written}:${name}` : name;
}

/** Puts words and signs together with a blank only where two of them would become another one. */
class Output {
  text = '';

  /** Adds what has blanks between words and signs, and no literal. */
  addCode(code: string): void {
    for (const word of code.split(/\s+/)) this.add(word);
  }

  add(word: string): void {
    if (word === '') return;
    // Before a brace that closes, neither a semicolon nor a comma says anything.
    if (word.startsWith('}') && /[;,]$/.test(this.text)) this.text = this.text.slice(0, -1);
    this.text += needsBlank(this.text.at(-1) ?? '', word[0]!) ? ` ${word}` : word;
  }

  addLineBreak(): void {
    this.text += '\n';
  }
}

function needsBlank(before: string, after: string): boolean {
  if (/[\w$]/.test(before)) return /[\w$]/.test(after) || (/\d/.test(before) && after === '.');
  return before === after && '+-/'.includes(before) && before !== '';
}
