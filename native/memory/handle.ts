/**
 * Who owns what on the other side. An `Owner` is disposed once, after all it owns; a `Handle` is an owner
 * with a C++ object behind it. An object in use by a running call is destroyed when that call has ended,
 * however early it was disposed. What is never disposed is reported, under UNFOLD_DEBUG, and never cleaned
 * up: a finalizer runs at a time of V8's choosing, which is no time to call a destructor that must precede or
 * follow another.
 */
import { NativeError } from "../error.ts";
import type { Pointer } from "./memory.ts";

/** `true` when the process may read UNFOLD_DEBUG and it is set to anything but "0" or "". */
function isDebug(): boolean {
  const query = { name: "env", variable: "UNFOLD_DEBUG" } as const;
  if (Deno.permissions.querySync(query).state !== "granted") return false;
  const value = Deno.env.get("UNFOLD_DEBUG");
  return value !== undefined && value !== "" && value !== "0";
}

const IS_DEBUG = isDebug();
const LEAKS = IS_DEBUG
  ? new FinalizationRegistry<string>((type) =>
    console.warn(`unfold: a ${type} was never disposed; declare it with \`using\``)
  )
  : undefined;

/**
 * Something that ends once, after everything it owns. `type` names it in errors ("Builder"). `using`
 * suffices; `await using` also waits until nothing is left of it, which matters where destruction takes
 * another thread or a running call.
 */
export abstract class Owner implements Disposable, AsyncDisposable {
  readonly type: string;
  readonly #parent: Owner | undefined;
  /** In order of creation; destroyed in reverse. */
  readonly #children = new Set<Owner>();
  #isDisposed = false;
  #isDestroying = false;
  #holds = 0;
  readonly #destroyed = Promise.withResolvers<void>();

  constructor(type: string, parent?: Owner) {
    parent?.assertAlive();
    this.type = type;
    this.#parent = parent;
    if (parent !== undefined) parent.#children.add(this);
    // Whoever disposed of this without waiting is no longer there to hear of a failure.
    this.#destroyed.promise.catch(() => {});
    LEAKS?.register(this, type, this);
  }

  get isDisposed(): boolean {
    return this.#isDisposed;
  }

  /** Throws NativeError naming the type when this was disposed before. */
  assertAlive(): void {
    if (this.#isDisposed) throw new NativeError(`${this.type} was used after it was disposed`);
  }

  /** Throws NativeError with the type's name while a call uses this: C++ may be reading what would change. */
  assertUnused(): void {
    this.assertAlive();
    if (this.#holds === 0) return;
    throw new NativeError(
      `${this.type} cannot be changed while a call that uses it is running; wait for that call to end`,
    );
  }

  /** Puts off the destruction of this, and so of its parents, until the returned value is disposed. */
  hold(): Disposable {
    this.assertAlive();
    this.#holds++;
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#holds--;
        this.#destroyIfUnused();
      },
    };
  }

  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    for (const child of [...this.#children].reverse()) child[Symbol.dispose]();
    this.#destroyIfUnused();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this[Symbol.dispose]();
    // Rejects with what `destroy` rejected with; parents end all the same.
    await this.#destroyed.promise;
  }

  /** Frees what is behind this. Called once, after the children's; parents wait for a promise. */
  protected abstract destroy(): void | Promise<void>;

  #destroyIfUnused(): void {
    if (!this.#isDisposed || this.#isDestroying || this.#holds > 0 || this.#children.size > 0) return;
    this.#isDestroying = true;
    LEAKS?.unregister(this);
    const destroying = this.destroy();
    if (destroying === undefined) this.#finish();
    else destroying.then(() => this.#finish(), (error: unknown) => this.#finish({ error }));
  }

  #finish(failure?: { readonly error: unknown }): void {
    if (failure === undefined) {
      this.#destroyed.resolve();
    } else {
      if (IS_DEBUG) console.warn(`unfold: a ${this.type} was not destroyed:`, failure.error);
      this.#destroyed.reject(failure.error);
    }
    const parent = this.#parent;
    if (parent === undefined) return;
    parent.#children.delete(this);
    parent.#destroyIfUnused();
  }
}

/** An owner of one C++ object. */
export abstract class Handle<Kind extends string> extends Owner {
  readonly #pointer: Pointer<Kind>;

  constructor(type: string, pointer: Pointer<Kind>, parent?: Owner) {
    super(type, parent);
    this.#pointer = pointer;
  }

  /** The object's address. Throws NativeError after disposal. */
  get pointer(): Pointer<Kind> {
    this.assertAlive();
    return this.#pointer;
  }

  /** The address for calls that change the object. Throws NativeError after disposal and during a call. */
  protected get pointerForChange(): Pointer<Kind> {
    this.assertUnused();
    return this.#pointer;
  }

  protected override destroy(): void | Promise<void> {
    return this.release(this.#pointer);
  }

  /** Calls the object's destructor. */
  protected abstract release(pointer: Pointer<Kind>): void | Promise<void>;
}
