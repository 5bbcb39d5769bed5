/** `deno task compare`: which tensor of a network is the first to go wrong. Options and printing. */
import { PRECISIONS } from "../ir/dtype.ts";
import type { ComparedTensor, TensorsComparison } from "../compile/tensors/compare.ts";
import type { Region } from "../compile/tensors/bisect.ts";
import type { FormChoice, Libraries, NetworkForm } from "../compile/tensors/forms.ts";
import { replaceFile } from "../emit/kept_file.ts";
import { UnfoldError } from "../errors.ts";
import { libraryOfDevice } from "./device_library.ts";
import { examplesText } from "../report/phrases.ts";
import { withoutHome } from "../report/home.ts";
import { table } from "../report/table.ts";
import { SUBJECT_HELP, SUBJECT_OPTIONS, subjectOf } from "./model_argument.ts";
import { oneOf, parseOptions } from "./options.ts";
import { complain, EXIT, print, Progress, runCommand, styled, UsageError } from "./terminal.ts";

const HELP =
  `Compares every tensor that a network names, in the order in which they are computed: which is the first
that is wrong, and where does the error grow most?

  deno task compare MODEL [options]
  deno task compare --checkpoint FILE [options]

MODEL is as for build-engine. One form of it is compared with another, or with PyTorch's own tensors; what folding and
lowering did to a tensor is undone first, so that both have the values that MODEL describes.

Examples
  deno task compare vit-b16 --norm un              the folded network against the one described
  deno task compare vit-b16 --norm ln --precision fp16
                                                   fp16 against fp32: what overflows, what loses digits
  deno task compare my_model.ts --weights un.safetensors --tensors hooks.safetensors --form openvino
                                                   OpenVINO against PyTorch's tensors, as forward hooks wrote them
  deno task compare --checkpoint vit.safetensors --form described
                                                   is the network the one that save_for_unfold(tensors=True) saw?
  deno task compare my_model.ts --form onnxruntime --bisect
                                                   which fused region is wrong
  deno task compare my_model.ts --precision bf16 --json
                                                   for scripts
  deno task compare my_model.ts --precision bf16 --html compare.html
                                                   with a plot of the errors

Options
  --form FORM           what is looked at: described (as MODEL says it, each operator by itself), folded (default),
                        onnxruntime or openvino (as the CPU library is given it and fuses it), tensorrt (on a GPU)
  --precision TYPE      fp32 (default), fp16 or bf16; of described and folded every result is rounded on the CPU as an
                        engine rounds it, tensorrt computes in it; onnxruntime and openvino are given the file in fp16
                        and compute in fp32 on a CPU
  --against FORM        what it is compared with, in fp32; described unless given
  --tensors FILE        PyTorch's tensors in FILE (safetensors or PyTorch's) in place of that, on the inputs in it;
                        those in --checkpoint or --weights, where they are there, unless --against is given
  --tolerance N         the largest error accepted, of a tensor's largest value; 1e-4 for fp32, 3e-2 for fp16, 2e-1
                        for bf16 unless given
  --openvino-lib PATH   OpenVINO's library or its folder (also UNFOLD_OPENVINO_LIB)
  --lib PATH            TensorRT's library or its folder (also UNFOLD_TENSORRT_LIB)
  --bisect              run the form again and again with one tensor at a time as an output, everything else fused as it
                        is deployed, and name the two neighbours that the fault is between
  --html FILE           the comparison as a page besides: every error in a plot and a table
  --all                 list every tensor in place of those that matter, and why others cannot be compared
  --json                everything as JSON on stdout, nothing else
  --help                this text
${SUBJECT_HELP}

Names in FILE: inputs as MODEL calls them; tensors as the modules that gave them (blocks.0.attn.qkv), by the names of
their weights in MODEL's scopes or in the checkpoint, or as compare --all lists them (blocks.0.mlp.fc1/gelu). Of a file
of save_for_unfold they are unfold.inputs.NAME and unfold.tensors.NAME. Other tensors in it are counted, not compared.

Every tensor that is compared is an output of the network that runs, across which nothing is fused: where that hides a
fault, --bisect finds it.

Exits with 0, or 1 where a tensor leaves the tolerance or something failed, 2 for a mistake in the command,
130 after Ctrl-C.`;

const OPTIONS = {
  ...SUBJECT_OPTIONS,
  form: { type: "string", default: "folded" },
  against: { type: "string" },
  tensors: { type: "string", file: "read" },
  "openvino-lib": { type: "string" },
  lib: { type: "string" },
  bisect: { type: "boolean", default: false },
  html: { type: "string", file: "written" },
  precision: { type: "string", default: "fp32" },
  tolerance: { type: "string" },
  all: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** Runs the command; resolves to its exit code. */
export async function compareCommand(args: readonly string[], signal: AbortSignal): Promise<number> {
  const parsed = await parseOptions(args, { command: "compare", options: OPTIONS, most: 1, help: HELP });
  if (parsed === null) return EXIT.ok;
  const { values, positionals } = parsed;
  if (positionals.length === 0 && values.checkpoint === undefined) {
    throw new UsageError(
      "give a MODEL or --checkpoint FILE, as in `deno task compare vit-b16 --precision fp16`",
    );
  }
  const precision = oneOf("precision", values.precision, PRECISIONS);
  const { NETWORKS } = await import("../compile/tensors/forms.ts");
  const form: FormChoice = { network: oneOf("form", values.form, NETWORKS), precision };
  if (values.against !== undefined && values.tensors !== undefined) {
    throw new UsageError("--against and --tensors: give one of them");
  }
  const other: FormChoice = {
    network: oneOf("against", values.against ?? "described", NETWORKS),
    precision: "fp32",
  };
  const tolerance = values.tolerance === undefined ? undefined : Number(values.tolerance);
  if (tolerance !== undefined && !(tolerance > 0 && tolerance < 1)) {
    throw new UsageError(`--tolerance ${values.tolerance}: give a number between 0 and 1, as 1e-3`);
  }
  await parsed.checkFiles();
  const { model, norm, layerNorm, weights } = await subjectOf(positionals[0], values);
  const file = values.tensors ??
    (values.against === undefined ? await tensorsBeside(values.checkpoint ?? values.weights) : undefined);
  if (file === undefined && other.network === form.network && precision === "fp32") {
    throw new UsageError(
      `the form ${form.network} in fp32 is compared with itself: give another --form, --tensors FILE, or --precision fp16`,
    );
  }
  const forms = [form, ...file === undefined ? [other] : []].map(({ network }) => network);
  const libraries = await librariesFor(forms, values);
  const { compareNetworks } = await import("../compile/tensors/compare.ts");
  using progress = new Progress();
  progress.show(`comparing the tensors of ${model.name}`, 0);
  const compared = await compareNetworks(model, {
    norm,
    layerNorm,
    form,
    against: file === undefined ? other : { file },
    libraries,
    bisect: values.bisect,
    tolerance,
    signal,
    ...weights,
  });
  progress.clear();
  if (values.html !== undefined) {
    const { comparisonPage } = await import("../compile/tensors/page.ts");
    await replaceFile(values.html, comparisonPage(withoutHome(compared)));
  }
  await print(
    values.json ? JSON.stringify(withoutHome(compared), null, 2) : describeComparison(compared, values.all),
  );
  if (compared.firstBad === null && (compared.region?.bad ?? null) === null) return EXIT.ok;
  complain(
    `${
      compared.firstBad ?? compared.region!.bad
    } is the first tensor that leaves the tolerance of ${compared.tolerance}`,
  );
  return EXIT.failed;
}

/**
 * The libraries that forms run in.
 *
 * @throws {UnfoldError} one that is not found, with the places that were looked at
 */
async function librariesFor(
  forms: readonly NetworkForm[],
  values: { readonly "openvino-lib"?: string | undefined; readonly lib?: string | undefined },
): Promise<Libraries> {
  let libraries: Libraries = {};
  if (forms.includes("openvino")) {
    const { findOpenVino } = await import("../run/openvino.ts");
    const found = await findOpenVino({ flag: values["openvino-lib"] });
    if ("unavailable" in found) throw new UnfoldError(`the form openvino: ${found.unavailable}`);
    libraries = { openvino: found.library };
  }
  if (!forms.includes("tensorrt")) return libraries;
  return { ...libraries, tensorrt: (await libraryOfDevice(values.lib)).path };
}

/** The checkpoint, where it has PyTorch's tensors beside the weights. */
async function tensorsBeside(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const { hasTensors } = await import("../compile/tensors/given.ts");
  const { openWeights } = await import("../import/weights.ts");
  return hasTensors(openWeights(path)) ? path : undefined;
}

/** Bad tensors that are listed, and good ones in front of the first. */
const LISTED = { bad: 8, before: 2 };

/** The comparison for people: what is not finite first, then what matters, in the order of execution. */
function describeComparison(compared: TensorsComparison, all = false): string {
  const { model, family, weights, form, against, samples, tensors, left, unknown, notExecuted } = compared;
  const at = tensors.findIndex(({ isBad }) => isBad);
  const marks = (tensor: ComparedTensor) => [
    ...tensor.tensor === compared.firstNotFinite ? ["first not finite"] : [],
    ...tensor.tensor === compared.firstBad ? ["first bad"] : tensor.isBad ? ["bad"] : [],
    ...tensor.tensor === compared.growsMost ? [`grows most, ${factor(tensor.growth!)}`] : [],
    ...tensor.note === null ? [] : [tensor.note],
  ];
  const listed = tensors.filter((tensor, i) =>
    all || tensor.tensor === compared.growsMost || tensor.tensor === compared.firstNotFinite ||
    i === tensors.length - 1 || (at >= 0 && i >= at - LISTED.before && i < at + LISTED.bad)
  );
  const inOrder = all ? listed : listed.toSorted((a, b) => Number(b.notFinite > 0) - Number(a.notFinite > 0));
  const number = (value: number | null) => value === null ? "-" : value.toExponential(1);
  const rows = inOrder.map((tensor) => [
    tensor.tensor,
    tensor.notFinite > 0 ? `${tensor.notFinite} not finite` : number(tensor.maxAbsError),
    number(tensor.maxRelError),
    styled(marks(tensor).join(", "), tensor.isBad ? "yellow" : "dim"),
  ]);
  const bad = tensors.filter(({ isBad }) => isBad).length;
  const counts = `${tensors.length} tensors compared, ${bad} beyond ${compared.tolerance}`;
  return [
    `${styled(model, "bold")}  ${family}, ${weights}`,
    `${form}, against ${against}`,
    examplesText(samples),
    "",
    styled(counts, bad > 0 ? "yellow" : "green"),
    table([["", "largest error", "relative", ""], ...rows], {
      align: ["left", "right", "right", "left"],
      indent: 2,
    }),
    ...compared.region === null ? [] : [regionLine(compared.region)],
    ...listed.length < tensors.length
      ? [styled(`  ${tensors.length - listed.length} more compared; --all lists them`, "dim")]
      : [],
    ...left.length > 0
      ? [styled(`  ${left.length} not compared${all ? ":" : "; --all says why"}`, "dim")]
      : [],
    ...all ? left.map(({ tensor, reason }) => styled(`    ${tensor} ${reason}`, "dim")) : [],
    ...unknown.length > 0
      ? [styled(`  ${unknown.length} tensors of the file are none of the network's`, "dim")]
      : [],
    ...all ? unknown.map((name) => styled(`    ${name}`, "dim")) : [],
    ...notExecuted.map((words) => styled(`  ${words}.`, "dim")),
  ].join("\n");
}

function regionLine({ behind, bad, runs }: Region): string {
  const where = bad === null
    ? "no tensor leaves the tolerance"
    : `the fault is between ${behind ?? "the inputs"} and ${bad}`;
  return styled(
    `  fused, one tensor at a time an output: ${where} (${runs} ${runs === 1 ? "run" : "runs"})`,
    bad === null ? "green" : "yellow",
  );
}

const factor = (growth: number) => `${growth >= 100 ? growth.toExponential(1) : growth.toFixed(1)} times`;

if (import.meta.main) await runCommand(compareCommand, { cleansUp: true });
