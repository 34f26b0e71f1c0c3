// Prometheus' text exposition format, version 0.0.4.
import { hash } from 'node:crypto';
import { plain } from './text.ts';

/** One figure, or several that differ in their labels. */
export interface Family {
  name: string;
  type: 'gauge' | 'counter';
  help: string;
  samples: Sample[];
}

/** A value with the labels that tell it from the others of its family. */
export interface Sample {
  labels: Record<string, string>;
  value: number;
}

/** The families with one label more on every sample. */
export function withLabel(families: readonly Family[], name: string, value: string): Family[] {
  const labelled = ({ labels, ...sample }: Sample): Sample => ({ ...sample, labels: { [name]: value, ...labels } });
  return families.map((family) => ({ ...family, samples: family.samples.map(labelled) }));
}

/** The text of families, which have different names; one without a sample is left out. */
export function exposition(families: readonly Family[]): string {
  return families.filter(({ samples }) => samples.length > 0).map(familyText).join('');
}

function familyText({ name, type, help, samples }: Family): string {
  const helpText = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  const lines = samples.map(({ labels, value }) => `${name}${labelsText(labels)} ${valueText(value)}\n`);
  return `# HELP ${name} ${helpText}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

function labelsText(labels: Record<string, string>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function valueText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

// A label is in every sample of a monitor's index, and a graph shows it: what is longer is cut.
const longestLabel = 200;
const keptOfLong = 128;
const changedEnding = /…[0-9a-f]{64}$/;

/**
 * A stored text as a label's value. One that is too long, or has characters that a terminal obeys or a screen hides, is
 * changed and ends with the hash of the text, so that no two texts have the same label: two equal series would have all
 * figures of the file refused. For that reason a text that ends like a changed one is changed as well.
 */
export function labelOf(text: string): string {
  if (text.length <= longestLabel && plain(text) === text && !changedEnding.test(text)) return text;
  const beginning = wholeBeginning(plain(wholeBeginning(text, keptOfLong)), longestLabel);
  return `${beginning}…${hash('sha256', text)}`;
}

/** The beginning of a text, without the half of a character at its end. */
function wholeBeginning(text: string, length: number): string {
  return text.slice(0, length).replace(/[\ud800-\udbff]$/, '');
}
