/** `deno task report`: builds as one HTML page. Options, reading and writing; the page is `report/html`. */
import { dirname, join } from "node:path";
import { replaceFile } from "../emit/kept_file.ts";
import { systemReason, UnfoldError } from "../errors.ts";
import type { NormFamily } from "../norms/families.ts";
import { inspectPlanFile, type PlanReport } from "../report/plan.ts";
import { withoutHome } from "../report/home.ts";
import { type EngineReport, type Report, ReportSchema } from "../report/report.ts";
import { bytes } from "../report/phrases.ts";
import { parseOptions, requireWritable } from "./options.ts";
import { EXIT, print, runCommand, UsageError } from "./terminal.ts";

const HELP =
  `Makes one HTML page of builds, a benchmark or a history, for people. It needs no network and no server.

  deno task report [FILE ...] [options]

FILE is what deno task build-engine wrote (report.json), or deno task bench --out (bench.json), or the folder it is in;
the plans beside a report give the kernels. Without one, every build/*/report.json is taken.

Examples
  deno task report                                 all builds in build/, into build/report.html
  deno task report build/digits                    one build
  deno task report old/report.json new/report.json --out compare.html
                                                   several: a comparison first, then each of them
  deno task report build/bench --out bench.html    a benchmark
  deno task history main --json > history.json
  deno task report build/digits --history history.json
                                                   and how figures changed over runs

Options
  --out FILE            where the page goes; build/report.html unless given
  --history FILE        series as deno task history NAME --json prints them
  --help                this text

Exits with 0, or 1 where a file cannot be read or written, 2 for a mistake in the command,
130 after Ctrl-C.`;

const OPTIONS = {
  out: { type: "string", default: "build/report.html" },
  history: { type: "string", file: "read" },
} as const;

/** What a file may be, by its name in a folder. */
const NAMES = ["report.json", "bench.json"] as const;

/**
 * Runs the command; resolves to its exit code.
 *
 * @throws {UsageError} unknown flags, files of two kinds
 * @throws {UnfoldError} a file that cannot be read or is none of these, a page that cannot be written
 */
export async function reportCommand(args: readonly string[]): Promise<number> {
  const parsed = await parseOptions(args, {
    command: "report",
    options: OPTIONS,
    most: Infinity,
    files: true,
    help: HELP,
  });
  if (parsed === null) return EXIT.ok;
  const { values, positionals } = parsed;
  await parsed.checkFiles();
  const paths = positionals.length === 0 && values.history === undefined
    ? await builtReports()
    : await Promise.all(positionals.map(inFolder));
  await requireWritable("out", values.out, [...paths, values.history]);
  const files = [];
  for (const path of paths) files.push({ path, content: await readJson(path) });
  const benchmark = files.find(({ content }) => isBenchmark(content));
  if (benchmark !== undefined && (files.length > 1 || values.history !== undefined)) {
    throw new UsageError(`${benchmark.path} is a benchmark, which has a page of its own; give it alone`);
  }
  const text = benchmark === undefined
    ? await pageOfBuilds(files, values.history)
    : await pageOfBenchmark(benchmark);
  await replaceFile(values.out, text);
  await print(`${values.out}  ${bytes((await Deno.stat(values.out)).size)}`);
  return EXIT.ok;
}

interface JsonFile {
  readonly path: string;
  readonly content: unknown;
}

const isBenchmark = (content: unknown) =>
  typeof content === "object" && content !== null && "cases" in content;

async function pageOfBuilds(files: readonly JsonFile[], historyPath: string | undefined): Promise<string> {
  const { buildPage, HistorySchema } = await import("../report/html/mod.ts");
  const builds = [];
  for (const { path, content } of files) {
    const report = checked(
      path,
      ReportSchema.safeParse(content),
      "a build's report.json; build again with this UNfold",
    );
    builds.push(withoutHome({ path, report, plans: await plansBeside(path, report) }));
  }
  const history = historyPath === undefined ? undefined : checked(
    historyPath,
    HistorySchema.safeParse(await readJson(historyPath)),
    "what `deno task history NAME --json` prints",
  );
  return buildPage(builds, { history });
}

async function pageOfBenchmark({ path, content }: JsonFile): Promise<string> {
  const { BenchReportSchema } = await import("../bench/schema.ts");
  const { benchPage } = await import("../bench/page.ts");
  return benchPage(
    withoutHome(checked(
      path,
      BenchReportSchema.safeParse(content),
      "a benchmark's bench.json; run it again with this UNfold",
    )),
  );
}

/** Every build in `build/`, by name. */
async function builtReports(): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir("build")) {
      const path = join("build", name, "report.json");
      if (isDirectory && await isFile(path)) found.push(path);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  if (found.length === 0) {
    throw new UnfoldError(
      "there is no build/*/report.json; run `deno task build-engine` first, or name a report",
    );
  }
  return found.sort();
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}

/** A folder stands for the file in it. */
async function inFolder(given: string): Promise<string> {
  for (const name of NAMES) {
    const path = join(given, name);
    if (await isFile(path)) return path;
  }
  return given;
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new UnfoldError(`${path}: there is no such file`);
    if (error instanceof SyntaxError) throw new UnfoldError(`${path} is not JSON: ${error.message}`);
    const reason = systemReason(error);
    if (reason === null) throw error;
    const hint = (await Deno.stat(path).catch(() => null))?.isDirectory
      ? `; it holds no ${NAMES.join(" or ")}`
      : "";
    throw new UnfoldError(`${path} cannot be read: ${reason}${hint}`, { cause: error });
  }
}

type Parsed<Value> =
  | { readonly success: true; readonly data: Value }
  | {
    readonly success: false;
    readonly error: {
      readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[];
    };
  };

/** What a schema accepts; else an error with the place. */
function checked<Value>(path: string, parsed: Parsed<Value>, what: string): Value {
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue!.path.length === 0 ? "" : ` (${issue!.path.join(".")})`;
  throw new UnfoldError(`${path}: ${issue!.message}${where}; it is not ${what}`);
}

/** The plans of a report: a folder may have been moved, so they are looked for beside it. */
async function plansBeside(path: string, { engines }: Report) {
  const plans: Partial<Record<NormFamily, PlanReport | { readonly missing: string }>> = {};
  for (const [family, engine] of Object.entries(engines) as [NormFamily, EngineReport][]) {
    if (engine.path === null || engine.bytes === null) {
      plans[family] = { missing: "no engine was built (--no-engine)" };
      continue;
    }
    // Windows' separator too: a folder may have been moved between systems.
    const beside = join(dirname(path), engine.path.split(/[\\/]/).at(-1)!);
    plans[family] = await isFile(beside)
      ? await planOf(beside, engine.bytes)
      : { missing: `${beside} is not there` };
  }
  return plans;
}

/** A plan that is another build's would be shown under this one's name. */
async function planOf(path: string, byteLength: number): Promise<PlanReport | { readonly missing: string }> {
  try {
    const plan = await inspectPlanFile(path);
    return plan.byteLength === byteLength ? plan : {
      missing:
        `${path} has ${plan.byteLength} bytes, the report's plan had ${byteLength}: it is of another build`,
    };
  } catch (error) {
    if (!(error instanceof UnfoldError)) throw error;
    return { missing: error.message };
  }
}

if (import.meta.main) await runCommand(reportCommand);
