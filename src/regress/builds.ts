/** What saving a baseline and comparing with one share: building a model several times, and its engines. */
import { join } from "node:path";
import type { Watch } from "../compile/line.ts";
import type { Subject } from "../compile/order.ts";
import { UnfoldError } from "../errors.ts";
import { type Build, build, type Checked } from "./build.ts";
import type { Backend } from "./fingerprint.ts";
import type { StoreOptions } from "./store.ts";
import { type EngineFiles, type Loader, loaderFor } from "./time.ts";

/** Where baselines are kept unless said. */
export const DEFAULT_STORE = ".unfold/baselines";

/** What saving a baseline and comparing with one share. */
export interface BaselineOptions extends StoreOptions {
  /** A folder that can be committed or cached; `.unfold/baselines` unless given. */
  readonly store?: string | undefined;
  /** The baseline's name: letters, digits and any of . _ - */
  readonly name: string;
  /** How often each model is built; default 3. */
  readonly rebuilds?: number | undefined;
  /** CPU threads of ONNX Runtime; default: all cores. */
  readonly threads?: number | undefined;
  /** Whether TensorRT plans are built; without, there are no kernels to count. Default true. */
  readonly plans?: boolean | undefined;
  /** Path of the TensorRT library; found as `locateLibrary` does unless given. */
  readonly tensorrtLib?: string | undefined;
  /**
   * Hears of what is built, for a progress line.
   *
   * @internal
   */
  readonly onEvent?: Watch["onEvent"];
}

export interface Builds {
  readonly builds: readonly [Build, ...Build[]];
  readonly buildsMs: readonly number[];
  readonly checked: Checked;
}

/** Builds a model several times, and checks the first's outputs. */
export async function buildTimes(
  subject: Subject,
  { folder, rebuilds, plans = true, tensorrtLib, signal, onEvent }:
    & Pick<BaselineOptions, "plans" | "tensorrtLib" | "signal" | "onEvent">
    & { folder: string; rebuilds: number },
): Promise<Builds> {
  if (!Number.isInteger(rebuilds) || rebuilds < 1) {
    throw new UnfoldError(`the number of builds is a whole number from 1, not ${rebuilds}`);
  }
  const builds: Build[] = [];
  for (let i = 0; i < rebuilds; i++) {
    signal?.throwIfAborted();
    onEvent?.({ kind: "step", text: `building ${subject.model.name}, ${i + 1} of ${rebuilds}` });
    const checks = i === 0;
    const [first] = builds;
    builds.push(
      await build(subject, {
        folder: join(folder, `${i + 1}`),
        plans,
        checks,
        tensorrtLib,
        first,
        signal,
        onEvent,
      }),
    );
  }
  const [first, ...others] = builds as [Build, ...Build[]];
  return {
    builds: [first, ...others],
    buildsMs: builds.flatMap(({ buildMs }) => buildMs ?? []),
    // The first was checked.
    checked: first.checked!,
  };
}

export async function loaderOf(
  builds: readonly Build[],
  { threads = navigator.hardwareConcurrency, alsoLoads, onEvent, signal }:
    & Pick<BaselineOptions, "onEvent" | "signal">
    & {
      threads?: number | undefined;
      alsoLoads?: string | null;
    },
): Promise<Loader> {
  const { library, planPath } = builds[0]!;
  return await loaderFor({ library, probe: alsoLoads ?? planPath, threads, onEvent, signal });
}

/** What runs an engine here. */
export async function backendOf(loader: Loader, engine: EngineFiles): Promise<Backend> {
  await using session = await loader.load(engine);
  return { backend: session.backend, threads: session.threads ?? null, onGpu: loader.onGpu };
}

/** Refuses an empty list, and two models of one name. */
export function distinct(subjects: readonly Subject[]): void {
  const names = subjects.map(({ model }) => model.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new UnfoldError(`two of the models are called ${twice}; rename one`);
  if (names.length === 0) throw new UnfoldError("a baseline has at least one model");
}
