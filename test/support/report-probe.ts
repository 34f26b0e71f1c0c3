// What a test asks of a report that a browser has drawn. The functions run in the page, so each stands by itself.

// The page's own globals. Their types are not loaded, because the types of a browser would hold for all of lib/.
declare const document: any;
declare const innerWidth: number;
declare const getComputedStyle: any;
declare const NodeFilter: any;
declare const SVGTextElement: any;
declare const SVGLineElement: any;
type Element = any;

/** An element or a text that is not as it should be, in words. */
type Faults = string[];

/** Elements that reach beyond the screen. */
function beyondScreen(): Faults {
  const width = document.documentElement.clientWidth;
  const faults = [...document.querySelectorAll('body *')].flatMap((element: Element) => {
    const { left, right } = element.getBoundingClientRect();
    if (right <= width + 0.5 && left >= -0.5) return [];
    const name = `${element.tagName}.${element.getAttribute('class')}`;
    return [`${name} from ${left} to ${right}: ${element.textContent.slice(0, 40)}`];
  });
  const { scrollWidth } = document.scrollingElement!;
  return scrollWidth > innerWidth ? [`the page is ${scrollWidth} wide`, ...faults] : faults;
}

/** Texts that have less than 4.5 : 1 to what lies behind them, and bars that have less than 3 : 1. */
function faint(): Faults {
  type Colour = [number, number, number, number];
  const colour = (text: string): Colour => {
    const [red = 0, green = 0, blue = 0, alpha = 1] = (text.match(/[\d.]+/g) ?? ['0', '0', '0', '0']).map(Number);
    return [red, green, blue, alpha];
  };
  const luminance = (parts: Colour): number => {
    const [red, green, blue] = parts.slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
  };
  const contrast = (one: Colour, other: Colour): number => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light! + 0.05) / (dark! + 0.05);
  };
  const behind = (element: Element): Colour => {
    for (let each = element; each; each = each.parentElement) {
      const found = colour(getComputedStyle(each).backgroundColor);
      if (found[3] === 1) return found;
      if (found[3] > 0) throw new Error('a background that lets something through');
    }
    throw new Error('no background');
  };
  const onRect = (text: Element): Colour | undefined => {
    const { left, right, top, bottom } = text.getBoundingClientRect();
    const [x, y] = [(left + right) / 2, (top + bottom) / 2];
    const under = [...text.parentElement!.querySelectorAll('rect')].filter((rect: Element) => {
      const box = rect.getBoundingClientRect();
      return box.left <= x && x <= box.right && box.top <= y && y <= box.bottom;
    });
    const last = under.at(-1);
    return last && colour(getComputedStyle(last).fill);
  };
  const faults: Faults = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement!;
    if (texts.currentNode.textContent!.trim() === '' || !element.checkVisibility()) continue;
    const isDrawn = element instanceof SVGTextElement;
    const { color, fill, opacity } = getComputedStyle(element);
    const ink = colour(isDrawn ? fill : color);
    const back = (isDrawn ? onRect(element) : undefined) ?? behind(element);
    if (contrast(ink, back) < 4.5 || ink[3] < 1 || opacity !== '1') {
      faults.push(`${element.textContent!.slice(0, 40)}: ${contrast(ink, back)}`);
    }
    seen++;
  }
  for (const rect of document.querySelectorAll('[data-ms], [data-mean], .key rect:not(.t), line.q, line.z')) {
    const { fill, stroke } = getComputedStyle(rect);
    const isTrack = rect.hasAttribute('data-mean');
    const back = isTrack ? colour(getComputedStyle(rect.parentElement!.querySelector('.t')!).fill) : behind(rect);
    const found = contrast(colour(rect instanceof SVGLineElement ? stroke : fill), back);
    if (found < 3) faults.push(`${rect.getAttribute('class')}: ${found}`);
  }
  return seen === 0 ? ['no text was seen'] : faults;
}

/** A bar as it is drawn: where it begins and how long it is, as parts of the picture's width, and in pixels. */
export interface DrawnBar {
  kind: string;
  left: number;
  width: number;
  height: number;
  /** The whole width that its picture has for bars. */
  whole: number;
}

/** The rows of the pictures in a part of the page: the bars of each. */
function barsOf(id: string): DrawnBar[][] {
  const rows = document.querySelectorAll(`section[aria-labelledby="${id}"] [role=img] svg > g`);
  return [...rows].map((row: Element) => {
    const svg = row.closest('svg')!.getBoundingClientRect();
    return [...row.querySelectorAll('rect[data-ms], rect[data-mean]')].map((rect: Element) => {
      const { left, width, height } = rect.getBoundingClientRect();
      return { kind: rect.getAttribute('class')!, left: left - svg.left, width, height, whole: svg.width };
    });
  });
}

/** What would run, or make a browser do something, if a text had become markup. */
function active(): Faults {
  return [...document.querySelectorAll('*')].flatMap((element: Element) => {
    const isActive = /^(script|iframe|object|embed|link|base|form|img|image|use|animate)$/i.test(element.tagName);
    const names: string[] = [...element.attributes].map(({ name }) => name);
    const attributes = names.filter((name) => /^(on|style$|src)/.test(name));
    return isActive ? [element.tagName] : attributes;
  });
}

function expression<A extends unknown[]>(fn: (...args: A) => unknown): (...args: A) => string {
  return (...args) => `(${fn.toString()})(${args.map((each) => JSON.stringify(each)).join(', ')})`;
}

/** The expressions that a page is asked. */
export const probes = {
  beyondScreen: expression(beyondScreen),
  faint: expression(faint),
  barsOf: expression(barsOf),
  active: expression(active),
  openDetails: () => 'document.querySelectorAll("details").forEach((each) => (each.open = true))',
  background: () => 'getComputedStyle(document.body).backgroundColor',
};
