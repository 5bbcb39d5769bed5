/** The shipped example, built as the README says, prints what the README shows. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ReportSchema } from "../../src/report/report.ts";
import { processOf } from "../cli/process.ts";
import { withFolder } from "../support.ts";
import { testWithLibrary } from "../tensorrt_library.ts";

/** The library whose plans the README's figures are of. */
const LIBRARY = "1.7.1";

const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));

testWithLibrary(
  "digits.ts builds, agrees with PyTorch and prints what the README shows",
  () =>
    withFolder(async (folder) => {
      const [, flags, shown] = /task build-engine (--precision fp16)\n([^`]*)```/.exec(readme) ?? [];
      const { code, stdout, stderr } = await processOf("build-engine").run(
        [...flags!.split(" "), "--no-time"],
        folder,
      );
      assert.deepEqual([code, stderr], [0, ""]);
      const report = JSON.parse(await Deno.readTextFile(join(folder, "build/digits/report.json")));
      assert.deepEqual([report.parity.agrees, report.parity.reference.agrees], [true, true]);
      const { version } = report.environment.tensorrt;
      const printed = comparable(stdout, version);
      const missing = comparable(shown!, version).filter((line) => line !== "..." && !printed.includes(line));
      assert.deepEqual(missing, [], `the README shows what is not printed:\n${stdout}`);
    }),
);

testWithLibrary(
  "the README's command for fp8 quantizes digits' free products, emulates what they cost and says so",
  () =>
    withFolder(async (folder) => {
      const [, flags] = /task build-engine (--precision fp8 [^`\n]*)\n/.exec(readme) ?? [];
      const samples = fileURLToPath(new URL("../../examples/digits/heldout.safetensors", import.meta.url));
      const { code, stdout } = await processOf("build-engine").run(
        [...flags!.replace("examples/digits/heldout.safetensors", samples).split(" "), "--no-time", "--json"],
        folder,
      );
      assert.equal(code, 0);
      const { precision, targets, quantization, notExecuted } = ReportSchema.parse(JSON.parse(stdout));
      assert.deepEqual([precision, targets, quantization!.to], ["fp16", ["8.9"], "fp8"]);
      // Of a network with LN also those whose sums the normalizations read: two in each of four blocks.
      for (const [network, free] of [["un", 3], ["ln", 11]] as const) {
        const { products, quantized, gate } = quantization!.networks[network]!;
        assert.deepEqual([products, quantized], [18, free]);
        assert.ok(100 * (gate!.accuracy!.fp32 - gate!.accuracy!.quantized) <= 0.5);
      }
      assert.ok(notExecuted!.some((line) => line.includes("fp8 was emulated on the CPU")));
    }),
);

/**
 * Lines without what differs from one processor to the next: rounding errors; the rest, where the library is
 * another.
 */
function comparable(text: string, version: string): string[] {
  return text.split("\n").map((line) => {
    const words = line.trim().replace(/ {2,}/g, " ").replace(/\d\.\de-\d/g, "#");
    return version === LIBRARY ? words : words.replace(/^((?:normalization )?kernels|plan) .*/, "$1");
  });
}
