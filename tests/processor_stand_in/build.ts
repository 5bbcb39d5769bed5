/**
 * Compiles the processor stand-in with gcc, once per state of its source, and tells how a program is run on
 * it: on this machine, by code that is for processors without some of the instructions that this one has.
 */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";

const SOURCE = new URL("cpuid.c", import.meta.url);
const BUILT = new URL("../../build/processor_stand_in/", import.meta.url);

/** What the stand-in can be: `avx512` is without VNNI and AMX, `sse41` without any AVX. */
export const PROCESSORS = ["avx512", "avx2", "sse41"] as const;
export type Processor = (typeof PROCESSORS)[number];

/** The environment of a program that is to meet another processor. */
export type EnvironmentOf = (processor: Processor) => Record<string, string>;

/** The variables with which a program is started, or why it cannot be had. */
export const PROCESSOR_STAND_IN: EnvironmentOf | string = await build();

async function build(): Promise<EnvironmentOf | string> {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") return "it is for Linux on x86-64";
  const hash = createHash("sha256").update(Deno.readFileSync(SOURCE)).digest("hex");
  const library = fileURLToPath(new URL(`libprocessor-stand-in-${hash.slice(0, 16)}.so`, BUILT));
  const environment = (processor: Processor) => ({
    LD_PRELOAD: library,
    UNFOLD_STAND_IN_PROCESSOR: processor,
  });
  try {
    await Deno.stat(library);
  } catch {
    const part = `${library}.${crypto.randomUUID()}.part`;
    await Deno.mkdir(BUILT, { recursive: true });
    try {
      const args = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", part, fileURLToPath(SOURCE), "-ldl"];
      const { success, stderr } = await new Deno.Command("gcc", { args }).output();
      if (!success) throw new Error(new TextDecoder().decode(stderr));
      await Deno.rename(part, library);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "there is no gcc";
      throw error;
    }
  }
  const probe = new Deno.Command(Deno.execPath(), { args: ["--version"], env: environment("avx2") });
  return (await probe.output()).success
    ? environment
    : "this processor, or its kernel, cannot have CPUID answered by a program";
}
