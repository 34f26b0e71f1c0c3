// The figures of the command metrics, read as a monitor reads them.
import assert from 'node:assert/strict';

/** A figure of one series. */
export interface Figure {
  name: string;
  labels: Record<string, string>;
  value: number;
}

const sample = /^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? (\S+)$/;

/**
 * The figures in a text of the exposition format. Throws for a line that is none, a series that is there twice, and a
 * figure that does not follow the HELP and TYPE of its name.
 */
export function figuresIn(text: string): Figure[] {
  assert.ok(text === '' || text.endsWith('\n'));
  const seen = new Set<string>();
  let [helped, typed] = ['', ''];
  return text.split('\n').slice(0, -1).flatMap((line): Figure[] => {
    const [, keyword, about = ''] = /^# (HELP|TYPE) ([a-z_]+) \S/.exec(line) ?? [];
    if (keyword !== undefined) {
      assert.ok(!seen.has(`${keyword} ${about}`), line);
      seen.add(`${keyword} ${about}`);
      if (keyword === 'HELP') helped = about;
      else typed = about;
      return [];
    }
    const [, name = '', labelsText = '', value] = sample.exec(line) ?? [];
    assert.deepEqual([helped, typed], [name, name], line);
    const labels = Object.fromEntries(Array.from(labelsText.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/gs), (match) => {
      return [match[1]!, match[2]!.replaceAll(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))];
    }));
    const series = `${name} ${JSON.stringify(labels)}`;
    assert.ok(!seen.has(series), line);
    seen.add(series);
    return [{ name: name.replace(/^shepherd_store_/, ''), labels, value: Number(value) }];
  });
}

/** The figure without labels, or with these; `undefined` where there is none. */
export function figureOf(figures: readonly Figure[], name: string, labels = {}): number | undefined {
  const isSame = (given: object): boolean => JSON.stringify(given) === JSON.stringify(labels);
  return figures.find((each) => each.name === name && isSame(each.labels))?.value;
}

/** The figures of a name by the value of their only label. */
export function byLabel(figures: readonly Figure[], name: string): Record<string, number> {
  const found = figures.filter((each) => each.name === name);
  return Object.fromEntries(found.map(({ labels, value }) => [Object.values(labels)[0]!, value]));
}
