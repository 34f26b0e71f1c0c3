// Tables: of figures behind a picture, and lists. Each has a caption, and headings for its columns and rows.
import { exact, type Frame } from './frame.ts';
import { type Content, Html, html, written } from './html.ts';

/** A row: its cells, behind a heading where it has one. A year of 40 entries has 30,000 cells, so it is one text. */
export function row(heading: Content, cells: readonly Content[]): Html {
  let text = heading === undefined ? '<tr>' : `<tr><th scope="row">${written(heading)}</th>`;
  for (const each of cells) text += `<td>${written(each)}</td>`;
  return new Html(`${text}</tr>\n`);
}

/** A table with one body of rows. */
export function table(kind: string, caption: string, columns: readonly Content[], rows: readonly Html[]): Html {
  return tableOf(kind, caption, columns, html`<tbody>
${rows}</tbody>`);
}

/** A table with bodies of its own. */
export function tableOf(kind: string, caption: string, columns: readonly Content[], bodies: Content): Html {
  const head = columns.map((column) => html`<th scope="col">${column}</th>`);
  return html`<table class="${kind}"><caption>${caption}</caption><thead><tr>${head}</tr></thead>${bodies}</table>`;
}

/** So many columns of figures find room beside the days on the narrowest screen. */
const columnsAbreast = 3;

/** Tables of columns that are too many for one: each has the days again. */
export function abreast<T>(
  columns: readonly T[], draw: (columns: readonly T[], part: number, parts: number) => Html,
): Html[] {
  const parts = Math.ceil(columns.length / columnsAbreast);
  return Array.from({ length: parts }, (_, part) => {
    return draw(columns.slice(part * columnsAbreast, (part + 1) * columnsAbreast), part + 1, parts);
  });
}

/** A figure of a day, short where it is none, so that those that are some can be seen; a dash where it is not known. */
export function cell({ contents, texts }: Frame, ms: number | undefined, index: number): string {
  if (ms === undefined) return texts.cannotBeRead;
  if (ms > 0) return exact(ms);
  const state = contents.history.value?.recorded[index];
  return state === 'silent' || state === 'future' ? texts.notKnown : '0';
}

/** The tables behind a picture, which are closed until somebody asks for them, and printed. */
export function behind(frame: Frame, heading: string, tables: Content): Html {
  return html`<details><summary>${frame.texts.figures(heading)}</summary><div class="tables">${tables}</div></details>`;
}

/** The newest of some rows, and a note about those before them: how many they are, and which command has all. */
export function latest<T>(
  all: readonly T[], most: number, earlier: (more: number) => string, command: string,
): { shown: readonly T[]; note: Content } {
  const more = all.length - most;
  if (more <= 0) return { shown: all, note: undefined };
  return { shown: all.slice(more), note: html`<p>${earlier(more)} <code>${command}</code></p>` };
}
