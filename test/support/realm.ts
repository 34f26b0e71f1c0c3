// Another realm, as Jest and Vitest's vmThreads make one for each test file: built-ins of its own (Error, Array, Date,
// Uint8Array), and Node's modules and globals from outside.
import { readFileSync } from 'node:fs';
import { isBuiltin, stripTypeScriptTypes } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type Context, createContext, type Module, runInContext, SourceTextModule, SyntheticModule } from 'node:vm';

export class Realm {
  /** What `runInContext` takes: all of Node's globals, beside those of the language. */
  readonly context: Context = createContext();
  readonly #modules = new Map<string, Promise<Module>>();

  constructor() {
    const own = new Set(runInContext('Object.getOwnPropertyNames(globalThis)', this.context) as string[]);
    for (const name of Object.getOwnPropertyNames(globalThis).filter((each) => !own.has(each))) {
      // Some are made when they are asked for first.
      const get = (): unknown => globalThis[name as keyof typeof globalThis];
      Object.defineProperty(this.context, name, { get, configurable: true });
    }
  }

  /** Runs a TypeScript module and all that it imports. Needs Node's --experimental-vm-modules. */
  async import<T>(entry: URL): Promise<T> {
    const module = await this.#load(entry.href, import.meta.url);
    await module.link((specifier, { identifier }) => this.#load(specifier, identifier));
    await module.evaluate();
    return module.namespace as T;
  }

  #load(specifier: string, referrer: string): Promise<Module> {
    const isNodes = isBuiltin(specifier);
    const identifier = isNodes ? specifier : new URL(specifier, referrer).href;
    const loaded = this.#modules.get(identifier) ?? (isNodes ? this.#wrap(identifier) : this.#compile(identifier));
    this.#modules.set(identifier, loaded);
    return loaded;
  }

  async #compile(identifier: string): Promise<Module> {
    return new SourceTextModule(stripTypeScriptTypes(readFileSync(new URL(identifier), 'utf8')), {
      context: this.context,
      identifier,
      initializeImportMeta: (meta) => Object.assign(meta, { url: identifier, filename: fileURLToPath(identifier) }),
    });
  }

  /** Node's own modules are those from outside. */
  async #wrap(identifier: string): Promise<Module> {
    const exported = (await import(identifier)) as Record<string, unknown>;
    const names = Object.keys(exported);
    return new SyntheticModule(names, function setExports(): void {
      for (const name of names) this.setExport(name, exported[name]);
    }, { context: this.context, identifier });
  }
}
