// Reads markup as strictly as XML does, so that nothing in a page is left to a browser's guess.
import assert from 'node:assert/strict';

/** An element of a page. */
export interface Element {
  name: string;
  attributes: Map<string, string>;
  children: (Element | string)[];
}

const tag = /^<(\/?)([A-Za-z][A-Za-z0-9]*)((?:\s+[\w-]+="[^"<]*")*)\s*(\/?)>/;
const attribute = /([\w-]+)="([^"]*)"/g;
const entity = /&(?:amp|lt|gt|quot|#39);/g;
const decoded: Record<string, string> = { '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'" };

function decode(text: string): string {
  assert.doesNotMatch(text.replace(entity, ''), /[&<]/, `raw markup in: ${text.slice(0, 200)}`);
  assert.doesNotMatch(text, /(?!\n)[\p{Cc}\p{Cs}]/u, 'a control character');
  return text.replace(entity, (name) => decoded[name]!);
}

/** The element of the whole page. Fails where a tag is not closed, an attribute not quoted or a character raw. */
export function readMarkup(page: string): Element {
  assert.ok(page.startsWith('<!DOCTYPE html>\n'));
  const top: Element = { name: '', attributes: new Map(), children: [] };
  const open = [top];
  for (let at = '<!DOCTYPE html>\n'.length; at < page.length; ) {
    const next = page.indexOf('<', at);
    const text = page.slice(at, next === -1 ? page.length : next);
    if (text !== '') open.at(-1)!.children.push(decode(text));
    at += text.length;
    if (next === -1) break;
    const found = tag.exec(page.slice(at, at + 4_000));
    assert.ok(found, `no tag: ${page.slice(at, at + 100)}`);
    const [whole, end, name, attributes, isEmpty] = found;
    at += whole.length;
    if (end !== '') assert.equal(open.pop()!.name, name, `closed at: ${page.slice(at, at + 100)}`);
    else {
      const element = { name: name!, attributes: attributesOf(attributes!), children: [] };
      open.at(-1)!.children.push(element);
      if (isEmpty === '') open.push(element);
    }
  }
  assert.deepEqual(open.map((element) => element.name), ['']);
  const [page_, ...others] = top.children.filter((child) => typeof child !== 'string');
  assert.deepEqual(others, []);
  return page_!;
}

function attributesOf(text: string): Map<string, string> {
  const attributes = new Map<string, string>();
  for (const [, name, value] of text.matchAll(attribute)) {
    assert.ok(!attributes.has(name!), `twice: ${name}`);
    attributes.set(name!, decode(value!));
  }
  return attributes;
}

/** All elements of a page, in their order. */
export function elementsOf(element: Element, name?: string): Element[] {
  const inner = element.children.flatMap((child) => (typeof child === 'string' ? [] : elementsOf(child, name)));
  return name === undefined || element.name === name ? [element, ...inner] : inner;
}

/** The text of an element, as a reader sees it. */
export function textOf(element: Element): string {
  return element.children.map((child) => (typeof child === 'string' ? child : textOf(child))).join('');
}
