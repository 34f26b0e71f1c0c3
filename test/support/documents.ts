// The documents of the project and their example blocks, as the tests run them. Three kinds of blocks are known: `ts`
// is a program, `sh` are commands, `text` is what the block before it prints. A block under a sentence that ends with
// "save this as `NAME`:" is not run but saved, whatever it is, for the block after it to use. The blocks of a section
// build on each other; a section stands alone.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './project.ts';

/** A document, with its lines. */
export interface Document {
  /** From the project's folder. */
  path: string;
  text: string;
  lines: string[];
}

export const documents: Document[] = globSync('{*.md,{lib,test}/**/*.md}', { cwd: root }).sort().map((path) => {
  const text = readFileSync(join(root, path), 'utf8');
  return { path, text, lines: text.split('\n') };
});

/** The document at this path. Throws where there is none. */
export function documentAt(path: string): Document {
  const found = documents.find((document) => document.path === path);
  if (!found) throw new Error(`there is no document ${path}`);
  return found;
}

/** A fenced block of a document. */
interface Block {
  /** The document, and the line on which the block begins. */
  place: string;
  section: string;
  language: string;
  text: string;
  /** The name to save it under, where it is not to be run. */
  savedAs?: string;
}

/** All fenced blocks of a document, in order. */
function blocksOf({ path, lines }: Document): Block[] {
  const blocks: Block[] = [];
  let section = '';
  let before = '';
  let open: Block | undefined;
  for (const [index, line] of lines.entries()) {
    if (open && line === '```') open = undefined;
    else if (open) open.text += `${line}\n`;
    else if (line.startsWith('```')) {
      const [, savedAs] = /save this as `([^`]+)`:$/i.exec(before) ?? [];
      open = { place: `${path}:${index + 1}`, section, language: line.slice(3), text: '' };
      if (savedAs !== undefined) open.savedAs = savedAs;
      blocks.push(open);
      before = '';
    } else if (/^#{1,3} /.test(line)) section = line.replace(/^#+ /, '');
    else if (line !== '') before = line;
  }
  return blocks;
}

/** A block to run, and what its document says that it prints. */
export interface Example extends Block {
  shown?: string;
}

/** The blocks of a document that are run or saved, by their sections. Throws for a block that nobody would run. */
export function examplesOf(document: Document): Map<string, Example[]> {
  const sections = new Map<string, Example[]>();
  let last: Example | undefined;
  for (const block of blocksOf(document)) {
    const { place, section, language, text } = block;
    if (language === 'text') {
      const isOutput = last && last.shown === undefined && last.section === section;
      if (!isOutput) throw new Error(`${place} shows the output of no block`);
      last!.shown = text;
      continue;
    }
    const isKnown = language === 'ts' || language === 'sh' || block.savedAs !== undefined;
    if (!isKnown) throw new Error(`${place} is of no known kind`);
    last = { ...block };
    sections.set(section, [...(sections.get(section) ?? []), last]);
  }
  return sections;
}

/** What differs from run to run, in the order in which it is looked for. */
const changing: readonly [RegExp, string][] = [
  [/\b\d{4}-\d\d-\d\dT[\d:.-]+(Z|[+-]\d\d:\d\d)/g, 'INSTANT'],
  [/\b[A-Z][a-z]{2} \d{4}-\d\d-\d\d\b/g, 'DAY'],
  [/\b\d{4}-\d\d-\d\d\b/g, 'DAY'],
  [/\b[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}\b/g, 'UUID'],
  [/\b[\da-f]{64}\b/g, 'HASH'],
  [/\bprocess \d+\b/g, 'PROCESS'],
];

/** A text as a part of a regular expression that matches the text alone. */
function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

/**
 * Whether a program printed what its document shows. Days, instants, UUIDs, hashes and process ids may be others; `…`
 * stands for anything within a line, and for any lines where it is a line by itself.
 */
export function isShown(printed: string, shown: string): boolean {
  const settle = (text: string): string => changing.reduce((all, [each, name]) => all.replace(each, name), text);
  const patternOf = (line: string): string =>
    line === '…' ? '(?:.*\n)*?' : `${line.split('…').map(escaped).join('.*')}\n`;
  const pattern = settle(shown).split('\n').slice(0, -1).map(patternOf);
  return new RegExp(`^${pattern.join('')}$`).test(settle(printed));
}
