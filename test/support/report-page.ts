// A page of a report, as a test reads it.
import assert from 'node:assert/strict';
import type { Contents } from '../../lib/modules/report/contents.ts';
import { renderPage } from '../../lib/modules/report/page.ts';
import { type Element, elementsOf, readMarkup, textOf } from './markup.ts';

/** The page of contents, as elements. */
export function pageOf(contents: Contents, title?: string): Element {
  return readMarkup(renderPage(contents, { title }));
}

/** A part of the page. */
export function section(page: Element, id: string): Element {
  const found = elementsOf(page, 'section').find((each) => each.attributes.get('aria-labelledby') === id);
  assert.ok(found, id);
  return found;
}

/** The cells of a table, row by row; a row's heading is the first. */
function rowsOf(table: Element): string[][] {
  return elementsOf(table, 'tr').map((row) => row.children.filter((cell) => typeof cell !== 'string').map(textOf));
}

/** The tables of a part of the page, as cells. */
export function tablesOf(page: Element, id: string): string[][][] {
  return elementsOf(section(page, id), 'table').map(rowsOf);
}

/** The texts of a class in a picture. */
export function textsOf(element: Element, kind: string): string[] {
  return elementsOf(element, 'text').filter(({ attributes }) => attributes.get('class') === kind).map(textOf);
}
