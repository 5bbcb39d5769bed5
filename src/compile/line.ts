/**
 * The line that a build passes through: stages, each a function from what the ones before have made to what
 * it makes. What a stage takes is in its type, so that one that stands too early does not compile. The line
 * reports progress, meters time and memory, stops between two stages on request, and closes what stages
 * opened, however it ends.
 */
import type { NormFamily } from "../norms/families.ts";
import { pause } from "../pause.ts";
import { type PhaseName, PHASES } from "../report/phases.ts";
import { Meter } from "./meter.ts";

/** What a build tells while it works. */
export type BuildEvent =
  | { readonly kind: "step"; readonly text: string }
  /** `total` is 0 where the whole is not known. */
  | { readonly kind: "progress"; readonly text: string; readonly done: number; readonly total: number };

/** Who follows a build. */
export interface Watch {
  readonly onEvent?: ((event: BuildEvent) => void) | undefined;
  /** Called when there begins to be something to clean up; until then a process can be ended as it is. */
  readonly onWork?: (() => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a stage has besides what the ones before have made. */
export interface StageContext extends Pick<Watch, "onEvent" | "signal"> {
  readonly meter: Meter;
  /** The network that it works on; null for all. */
  readonly network: NormFamily | null;
  /** Opens what is to be put away at the end of the line. */
  keep<Resource extends AsyncDisposable>(open: () => Promise<Resource>): Promise<Resource>;
}

/** Where `when` says no, nothing runs and `otherwise` is what was made. */
export type Stage<In, Out> =
  & {
    /** A stage that is called as a phase of the report is metered as that phase. */
    readonly name: string;
    /** What is told when it begins; a stage without words goes unnoticed. */
    readonly says?: (made: In) => string;
    readonly run: (made: In, context: StageContext) => Out | Promise<Out>;
  }
  & (
    | { readonly when?: undefined; readonly otherwise?: undefined }
    | { readonly when: (made: In) => boolean; readonly otherwise: NoInfer<Out> }
  );

/** Stages in their order, from what is `Given` to all that is then `Made`. */
export class Line<Given extends object, Made extends object> {
  readonly #stages: readonly Stage<never, object>[];

  constructor(stages: readonly Stage<never, object>[]) {
    this.#stages = stages;
  }

  /** The same line with one more stage at its end, which may take anything that is made by then. */
  add<Out extends object>(stage: Stage<Made, Out>): Line<Given, Made & Out> {
    return new Line([...this.#stages, stage]);
  }

  /** @throws whatever a stage throws; the signal's reason */
  async run(given: Given, { onEvent, onWork, signal }: Watch = {}): Promise<Made> {
    await using kept = new AsyncDisposableStack();
    using meter = new Meter();
    return await this.within(given, {
      onEvent,
      signal,
      meter,
      network: null,
      keep: async (open) => {
        onWork?.();
        return kept.use(await open());
      },
    });
  }

  /** The line as a part of another one. */
  async within(given: Given, context: StageContext): Promise<Made> {
    const { onEvent, signal, meter, network } = context;
    let made: object = given;
    for (const { name, says, when, otherwise, run } of this.#stages as readonly Stage<object, object>[]) {
      if (when?.(made) === false) {
        made = { ...made, ...otherwise };
        continue;
      }
      await pause(signal);
      if (says !== undefined) onEvent?.({ kind: "step", text: says(made) });
      if (isPhase(name)) meter.begin(name, network);
      made = { ...made, ...await run(made, context) };
    }
    return made as Made;
  }
}

/** A line that has no stage yet. */
export const line = <Given extends object>(): Line<Given, Given> => new Line([]);

const isPhase = (name: string): name is PhaseName => PHASES.some((phase) => phase === name);
