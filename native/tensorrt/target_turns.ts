/**
 * Whose turn it is to build: TensorRT for RTX (1.7.1) keeps one list of GPUs for all builds of a process, and
 * of two at once with different lists one fails ("Target SM 80 is not found in the accelerator list"). Builds
 * of one list go side by side, another list waits for them, whichever Workers they are in: a process has one
 * set of Web Locks. A Worker that ends lets go of its turn; one terminated amid a build does, too, though the
 * library goes on.
 */

/** The Web Locks API, which Deno 2.9.6 has and does not declare. */
interface Locks {
  request<T>(name: string, options: { mode: "exclusive" | "shared" }, run: () => Promise<T>): Promise<T>;
  query(): Promise<{ readonly held: readonly { readonly name: string }[] }>;
}

/** Where a Deno has no locks, nobody waits. */
const NONE: Locks = { request: (_name, _options, run) => run(), query: () => Promise.resolve({ held: [] }) };
const { locks = NONE } = navigator as unknown as { readonly locks?: Locks };

const BUILDING = "unfold: TensorRT builds for ";

/** Resolves when a build for `targets` may begin; it ends with the disposal of what is returned. */
export function turnToBuild(targets: string): Promise<Disposable> {
  const own = BUILDING + targets;
  // All who come later wait for this one, so more of the present list keep no other from its turn.
  return locks.request("unfold: next to build with TensorRT", { mode: "exclusive" }, async () => {
    const { held } = await locks.query();
    const other = held.find(({ name }) => name.startsWith(BUILDING) && name !== own);
    if (other !== undefined) await locks.request(other.name, { mode: "exclusive" }, () => Promise.resolve());
    return await begun(own);
  });
}

/** The beginning of a build, beside which others of its name may go on. */
function begun(name: string): Promise<Disposable> {
  return new Promise((begin, fail) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    locks.request(name, { mode: "shared" }, () => {
      begin({ [Symbol.dispose]: resolve });
      return promise;
    }).catch(fail);
  });
}
