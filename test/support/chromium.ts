// A Chromium without a screen, which a test drives by its remote debugging: over pipes, because the WebSocket of Node
// 24.15 does not give a message of megabytes, such as the tree of a page.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { TestContext } from 'node:test';

/** What the browser tells by itself. */
interface Notice {
  method: string;
  params: Record<string, unknown>;
}

/** Whatever a command of the browser gives. */
type Answer = any;

// The page is the tests' own, and a container refuses the sandbox, whoever runs the browser in it.
const options = [
  '--headless=new', '--no-sandbox', '--remote-debugging-pipe', '--no-first-run', '--no-default-browser-check',
  '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--disable-extensions', '--disable-breakpad', '--hide-scrollbars', '--lang=en-US',
];

const patience = 30_000;

/** Waits for something, but not for ever. */
async function bounded<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Chromium: no ${what} within ${patience} ms`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A page of a browser of its own, which ends with the test. */
export class Chromium {
  /** What the browser has told since it began. */
  readonly notices: Notice[] = [];
  readonly #process: ChildProcess;
  #session = '';
  #lastId = 0;
  readonly #waiting = new Map<number, { resolve: (value: Answer) => void; reject: (error: Error) => void }>();
  #onNotice: ((notice: Notice) => void) | undefined;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  /** Starts one, with a profile that is removed when the test ends. */
  static async start(t: TestContext): Promise<Chromium> {
    const profile = mkdtempSync(join(tmpdir(), 'shepherd-store-chromium-'));
    const child = spawn('chromium', [...options, `--user-data-dir=${profile}`, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], // it reads the fourth, and writes to the fifth
      env: { ...process.env, HOME: profile, XDG_CONFIG_HOME: profile },
    });
    const ended = once(child, 'exit');
    const end = async (): Promise<void> => {
      child.kill('SIGKILL');
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    };
    t.signal.addEventListener('abort', () => child.kill('SIGKILL'));
    t.after(end);
    const chromium = new Chromium(child);
    await chromium.#connect();
    return chromium;
  }

  async #connect(): Promise<void> {
    let parts: string[] = [];
    (this.#process.stdio[4] as Readable).setEncoding('utf8').on('data', (text: string) => {
      const [first, ...others] = text.split('\0'); // which ends each message
      parts.push(first!);
      for (const part of others) {
        this.#take(JSON.parse(parts.join('')));
        parts = [part];
      }
    });
    const { targetInfos } = await this.ask('Target.getTargets');
    const { targetId } = targetInfos.find(({ type }: { type: string }) => type === 'page');
    const { sessionId } = await this.ask('Target.attachToTarget', { targetId, flatten: true });
    this.#session = sessionId as string;
    for (const part of ['Page', 'Runtime', 'Log', 'Network', 'Accessibility', 'DOM']) await this.ask(`${part}.enable`);
  }

  #take(message: Answer): void {
    const waiting = this.#waiting.get(message.id as number);
    if (!waiting) {
      this.notices.push(message as Notice);
      this.#onNotice?.(message as Notice);
      return;
    }
    this.#waiting.delete(message.id as number);
    if (message.error) waiting.reject(new Error(`Chromium: ${message.error.message}`));
    else waiting.resolve(message.result);
  }

  /** Has the browser do something. */
  async ask(method: string, params: object = {}): Promise<Answer> {
    const id = ++this.#lastId;
    const answer = new Promise<Answer>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    const session = this.#session === '' ? {} : { sessionId: this.#session };
    (this.#process.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    return bounded(`answer to ${method}`, answer);
  }

  /** Opens a page, until it has been loaded. */
  async open(url: string): Promise<void> {
    const loaded = new Promise<void>((resolve) => {
      this.#onNotice = ({ method }) => method === 'Page.loadEventFired' && resolve();
    });
    await this.ask('Page.navigate', { url });
    await bounded('page', loaded);
    this.#onNotice = undefined;
  }

  /** The value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.ask('Runtime.evaluate', {
      expression, returnByValue: true, awaitPromise: true,
    });
    if (exceptionDetails) {
      throw new Error(`the page: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    }
    return result.value as T;
  }

  /** How wide the screen is, and whether it is set to dark. */
  async screen(width: number, scheme: 'light' | 'dark'): Promise<void> {
    await this.ask('Emulation.setDeviceMetricsOverride', { width, height: 800, deviceScaleFactor: 1, mobile: false });
    await this.ask('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
  }

  /** The page on paper, as it says itself how large. */
  async paper(): Promise<Buffer> {
    const { data } = await this.ask('Page.printToPDF', { preferCSSPageSize: true, printBackground: true });
    return Buffer.from(data as string, 'base64');
  }
}
