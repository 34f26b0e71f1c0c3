// Markup, and texts that become part of it: a text is escaped wherever it is put in, so that none can be forgotten.
import { plain } from '../../values/plain.ts';

/** Markup, in which every text is escaped already. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** What can be put into markup: a text is escaped, and nothing becomes of `undefined` and `false`. */
export type Content = Html | string | number | undefined | false | readonly Content[];

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** A text in which nothing is markup, neither between tags nor in a quoted attribute. */
export function escaped(text: string): string {
  return /[&<>"']/.test(text) ? text.replace(/[&<>"']/g, (character) => entities[character]!) : text;
}

/** Content as the text of markup. */
export function written(content: Content): string {
  if (content instanceof Html) return content.text;
  if (typeof content === 'number') return String(content);
  if (typeof content === 'string') return escaped(content);
  if (!content) return '';
  let text = '';
  for (const part of content) text += written(part);
  return text;
}

/** Markup with contents in it. */
export function html(strings: TemplateStringsArray, ...contents: readonly Content[]): Html {
  let text = strings[0]!;
  for (let index = 0; index < contents.length; index++) text += written(contents[index]) + strings[index + 1]!;
  return new Html(text);
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** The beginning of a text that anybody may have given, with an ellipsis where it is cut, and harmless. */
export function shortened(text: string, length: number): string {
  if (text.length <= length && /^[\x20-\x7e]*$/.test(text)) return text;
  // A character can be made of any number of marks, so that what is kept of a text is limited by its units as well.
  const most = 8 * length;
  const whole = plain(text.length > most ? text.slice(0, most) : text);
  let kept = '';
  let count = 0;
  for (const { segment } of graphemes.segment(whole)) {
    if (++count > length || kept.length + segment.length > most) return `${kept}…`;
    kept += segment;
  }
  return text.length > most ? `${kept}…` : kept;
}

/** A text that anybody may have given, whose direction of writing does not reach what stands beside it. */
export function given(text: string, length = 200): Html {
  return html`<bdi>${shortened(text, length)}</bdi>`;
}
