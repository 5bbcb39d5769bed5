/**
 * The whole conversion: look at every normalization, take them out one by one for the curve, then as many as
 * the limits allow in the order in which they are computed, write the file. Figures of a converted network
 * are of samples that nothing was fitted to.
 */
import { join } from "node:path";
import type { Converted } from "../checkpoints/converted.ts";
import { replaceFile } from "../emit/kept_file.ts";
import { UnfoldError } from "../errors.ts";
import { withoutHome } from "../report/home.ts";
import { Runner } from "./gather.ts";
import { greedily, only } from "./greedy.ts";
import { labelsFrom, outputsOf, type Verdict, verdictOf } from "./judge.ts";
import { look, type Looked } from "./look.ts";
import { type Subject, traced } from "./network.ts";
import { type Done, Saved } from "./saved.ts";
import type { Samples } from "./samples.ts";
import {
  type Conversion,
  convertNetwork,
  NOTHING,
  type Refit,
  requireNormalizations,
  type Step,
} from "./walk.ts";
import type { ConvertReport, LookedAt, Point } from "./report.ts";
import { type Original, writable, writeConverted } from "./write.ts";

export interface ConvertOptions {
  readonly samples: Samples;
  /** Samples to judge by; the last quarter of `samples` where there are none of their own. */
  readonly judge: Samples | null;
  /** Normalizations that stay at least. */
  readonly leave: number;
  /** In points; needs labels. */
  readonly maxAccuracyDrop?: number | undefined;
  /** Of 1. */
  readonly maxOutputError?: number | undefined;
  readonly refit: Refit;
  readonly batch: number;
  readonly out: string;
  readonly original: Original;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((text: string, fraction: number) => void) | undefined;
  /** What tells this conversion from others, for going on where one was cut off. */
  readonly key: string;
}

/** @throws {UnfoldError} nothing to convert, samples that do not do, or a folder that cannot be written */
export async function convert(subject: Subject, options: ConvertOptions): Promise<ConvertReport> {
  const began = performance.now();
  const { samples, refit, batch, leave, signal, original: file } = options;
  const scopes = [...new Set(traced(subject, NOTHING).places.map(({ scope }) => scope))];
  requireNormalizations(subject, scopes.length);
  if (leave >= scopes.length) {
    throw new UnfoldError(
      `--leave ${leave}: ${subject.model.name} has ${scopes.length} normalizations; nothing would go`,
    );
  }
  const fitted = options.judge === null ? Math.ceil(samples.count * 3 / 4) : samples.count;
  const judged = options.judge ?? samples;
  const start = options.judge === null ? fitted : 0;
  if (judged.count - start < 1) {
    throw new UnfoldError(
      `${samples.count} sample: too few to fit to some and judge by others; give more, or --judge`,
    );
  }
  const labels = labelsFrom(judged, start);
  if (labels === null && options.maxAccuracyDrop !== undefined) {
    throw new UnfoldError(
      "--max-accuracy-drop needs labels: give --labels NAME, the tensor of the samples that has them, or --max-output-error",
    );
  }
  await using runner = await Runner.open();
  const walk = { runner, samples, fitted, batch, signal, refit, writable: writable(file) };
  const judging = { runner, samples: judged, start, batch, signal };
  const tell = (text: string, fraction: number) => options.onProgress?.(text, fraction);

  tell(`looking at ${scopes.length} normalizations`, 0);
  const truth = await outputsOf(subject, NOTHING, judging);
  const verdict = async (conversion: Conversion) =>
    verdictOf(await outputsOf(subject, conversion, judging), truth, labels);
  const original = await verdict(NOTHING);
  const { looked, changes } = await look(subject, { runner, samples, fitted, batch, signal });
  const normalizations: LookedAt[] = [];
  for (const [i, one] of looked.entries()) {
    tell(`taking out ${one.scope} alone`, i / looked.length);
    normalizations.push({ ...one, alone: await verdict(only(changes, [one.scope])) });
  }
  const saved = await Saved.open(options.out, options.key);
  const most = scopes.length - leave;
  const { order, curve } = await curveOf(subject, {
    ...walk,
    most,
    alone: changes,
    costs: new Map(normalizations.map(({ scope, alone }) => [scope, alone.outputError])),
    saved,
    verdict,
    tell,
  });
  const made = new Map<number, Done>();
  const at = async (removed: number): Promise<Point> => {
    const wanted = new Set(order.slice(0, removed));
    const before = saved.of(removed);
    const taken: Step[] = [...before?.steps ?? []];
    const conversion = await convertNetwork(subject, wanted, {
      ...walk,
      from: before?.conversion,
      onStep: (step, sofar) => {
        taken.push(step);
        tell(`taking out ${removed} in order: ${step.scope}`, taken.length / removed);
        saved.keep(removed, { conversion: sofar, steps: taken });
      },
    });
    made.set(removed, { conversion, steps: taken });
    return { removed, kept: scopes.length - removed, ...await verdict(conversion) };
  };
  const isGood = (point: Verdict) =>
    (options.maxAccuracyDrop === undefined ||
      100 * (original.accuracy! - point.accuracy!) <= options.maxAccuracyDrop + 1e-9) &&
    (options.maxOutputError === undefined || point.outputError <= options.maxOutputError);
  // In order it is mostly better than one by one: from the curve's best upwards, while that is good enough.
  const likely = Math.max(1, 1 + curve.findLastIndex(isGood));
  let chosen: Point | null = null;
  for (let removed = likely; removed <= most; removed++) {
    const point = await at(removed);
    if (!isGood(point)) break;
    chosen = point;
  }
  for (let removed = likely - 1; chosen === null && removed > 0; removed--) {
    const point = await at(removed);
    if (isGood(point)) chosen = point;
  }
  const done = chosen === null ? null : made.get(chosen.removed)!;
  const written = done === null ? [] : await writeConverted(options.out, done.conversion, {
    original: file,
    from: subject.norm.family as Converted["from"],
    kept: scopes.filter((scope) => !done.conversion.scopes.has(scope)),
  });
  const report: ConvertReport = {
    model: subject.model.name,
    weights: subject.weights.origin,
    family: subject.norm.family as Converted["from"],
    samples: {
      fitted,
      judged: judged.count - start,
      judgedBy: options.judge === null
        ? "the last quarter of the samples, not fitted to"
        : "samples of their own",
    },
    refit,
    original,
    normalizations,
    order,
    curve,
    chosen,
    steps: done?.steps ?? [],
    notes: notesOf(looked),
    files: chosen === null ? [] : [...written, join(options.out, "convert.html")],
    seconds: (performance.now() - began) / 1000,
  };
  if (chosen !== null) {
    const { conversionPage } = await import("./page.ts");
    await replaceFile(join(options.out, "convert.json"), JSON.stringify(report, null, 2) + "\n");
    await replaceFile(join(options.out, "convert.html"), conversionPage(withoutHome(report)));
  }
  await saved.remove();
  return report;
}

/** The curve, gone on with where an earlier run was cut off. */
async function curveOf(
  subject: Subject,
  { saved, verdict, tell, most, ...options }: Omit<Parameters<typeof greedily>[1], "from"> & {
    readonly saved: Saved;
    verdict(conversion: Conversion): Promise<Verdict>;
    tell(text: string, fraction: number): void;
  },
): Promise<{ readonly order: readonly string[]; readonly curve: readonly Point[] }> {
  const before = saved.of("curve");
  const [steps, verdicts] = [[...before?.steps ?? []], [...before?.verdicts ?? []]];
  const say = () => tell(`taking out one by one, ${steps.length} so far`, steps.length / most);
  say();
  for await (
    const { step, conversion } of greedily(subject, { ...options, most, from: before?.conversion })
  ) {
    steps.push(step);
    verdicts.push(await verdict(conversion));
    saved.keep("curve", { conversion, steps, verdicts });
    say();
  }
  const kept = (removed: number) => options.costs.size - removed;
  return {
    order: steps.map(({ scope }) => scope),
    curve: verdicts.map((verdict, i) => ({ removed: i + 1, kept: kept(i + 1), ...verdict })),
  };
}

/** What the samples could not tell. */
function notesOf(looked: readonly Looked[]): string[] {
  const constant = looked.filter(({ constantChannels }) => constantChannels > 0);
  const rows = Math.min(...looked.map(({ rows }) => rows));
  return [
    ...constant.length > 0
      ? [
        `${constant.length} normalizations read channels that are constant on all samples (first: ${
          constant[0]!.scope
        }, ${constant[0]!.constantChannels}); these keep a shift alone`,
      ]
      : [],
    ...rows < 2000
      ? [
        `only ${rows} rows of some normalization were seen; what they do not tell is left as it was (the ridge)`,
      ]
      : [],
  ];
}
