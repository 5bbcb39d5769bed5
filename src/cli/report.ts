/** `deno task report`: builds as one HTML page for people. Options, reading and writing; the page is `report/html`. */
import { basename, dirname, join } from "node:path";
import { systemReason, UnfoldError, writeFailure } from "../errors.ts";
import type { NormFamily } from "../norms/mod.ts";
import { inspectPlanFile, type PlanReport } from "../report/plan.ts";
import { type Report, ReportSchema } from "../report/schema.ts";
import { bytes } from "../report/summary.ts";
import { parseOptions } from "./options.ts";
import { EXIT, print, runCommand, UsageError } from "./terminal.ts";

const HELP =
  `Makes one HTML page of builds: latency, kernels, folds, agreement. It needs no network and no server.

  deno task report [REPORT.json ...] [options]

REPORT.json is what deno task build-engine writes, or the folder it is in; the plans beside it give the kernels. Without
one, every build/*/report.json is taken.

Examples
  deno task report                                 all builds in build/, into build/report.html
  deno task report build/digits                    one build
  deno task report old/report.json new/report.json --out compare.html
                                                   several: a comparison first, then each of them

Options
  --out FILE            where the page goes; build/report.html unless given
  --help                this text

Exits with 0, or 1 where a file cannot be read or written, 2 for a mistake in the command.`;

const OPTIONS = {
  out: { type: "string", default: "build/report.html" },
  help: { type: "boolean", default: false, short: "h" },
  cwd: { type: "string" },
} as const;

/**
 * Runs the command; resolves to its exit code.
 *
 * @throws {UsageError} unknown flags
 * @throws {UnfoldError} a report that cannot be read or is none, a page that cannot be written
 */
export async function reportCommand(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseOptions(args, {
    options: OPTIONS,
    positionals: [0, Infinity],
    command: "report",
  });
  if (values.help) {
    await print(HELP);
    return EXIT.ok;
  }
  if (values.cwd) Deno.chdir(values.cwd);
  if (values.out === "") throw new UsageError("--out: give a file");
  const paths = positionals.length > 0 ? positionals : await builtReports();
  const builds = [];
  for (const given of paths) {
    const path = await reportPath(given);
    const report = await readReport(path);
    builds.push({ path, report, plans: await plansBeside(path, report) });
  }
  const { buildPage } = await import("../report/html/mod.ts");
  const written = await writeWhole(values.out, buildPage(builds));
  await print(
    `${values.out}  ${bytes(written)}, ${builds.length === 1 ? "1 build" : `${builds.length} builds`}`,
  );
  return EXIT.ok;
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

async function reportPath(given: string): Promise<string> {
  const inside = join(given, "report.json");
  return await isFile(inside) ? inside : given;
}

async function readReport(path: string): Promise<Report> {
  let content: unknown;
  try {
    content = JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new UnfoldError(`${path}: there is no such file`);
    if (error instanceof SyntaxError) throw new UnfoldError(`${path} is not JSON: ${error.message}`);
    const reason = systemReason(error);
    throw reason === null ? error : new UnfoldError(`${path} cannot be read: ${reason}`, { cause: error });
  }
  const parsed = ReportSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue!.path.length === 0 ? "" : ` at ${issue!.path.join(".")}`;
  throw new UnfoldError(
    `${path} is not a build's report.json${where}: ${issue!.message}; build again with this UNfold`,
  );
}

/** The plans of a report: a folder may have been moved, so they are looked for beside it. */
async function plansBeside(path: string, { engines }: Report) {
  const plans: Partial<Record<NormFamily, PlanReport | { readonly missing: string }>> = {};
  for (const [family, engine] of Object.entries(engines) as [NormFamily, { path: string; bytes: number }][]) {
    const beside = join(dirname(path), basename(engine.path));
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

/** Writes beside, then renames: a reader never sees half a page. */
async function writeWhole(path: string, text: string): Promise<number> {
  const content = new TextEncoder().encode(text);
  const part = `${path}.${crypto.randomUUID()}.part`;
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    await Deno.writeFile(part, content);
    await Deno.rename(part, path);
  } catch (error) {
    await Deno.remove(part).catch(() => {});
    throw writeFailure(path, error);
  }
  return content.length;
}

if (import.meta.main) await runCommand(reportCommand);
