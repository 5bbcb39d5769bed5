/**
 * Whose turn it is to build: TensorRT for RTX (1.7.1) keeps one list of GPUs for all builds of a process, and
 * of two at once with different lists one fails ("Target SM 80 is not found in the accelerator list"). Builds
 * of one list go side by side, another list waits for them. Leaves out builds of other workers, which know
 * nothing of each other: whoever builds in several (`deno test --parallel` does) has to take turns there.
 */
export class TargetTurns {
  #targets = "";
  #building = 0;
  readonly #waiting: { readonly targets: string; readonly begin: () => void }[] = [];

  /** Resolves when a build for `targets` may begin; it ends with the disposal of what is returned. */
  async enter(targets: string): Promise<Disposable> {
    const isFree = this.#building === 0 || (this.#targets === targets && this.#waiting.length === 0);
    if (isFree) this.#begin(targets);
    else await new Promise<void>((begin) => this.#waiting.push({ targets, begin }));
    return { [Symbol.dispose]: () => this.#leave() };
  }

  #begin(targets: string): void {
    this.#targets = targets;
    this.#building++;
  }

  #leave(): void {
    if (--this.#building > 0) return;
    const [first] = this.#waiting;
    while (first !== undefined && this.#waiting[0]?.targets === first.targets) {
      const { targets, begin } = this.#waiting.shift()!;
      this.#begin(targets);
      begin();
    }
  }
}
