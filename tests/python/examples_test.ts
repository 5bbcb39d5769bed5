/** The Python files of examples by their own checks, where a Python with what they need is. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { runPython } from "./support.ts";

interface Check {
  readonly script: string;
  /** Without these the check says nothing. */
  readonly modules: readonly string[];
  /** How many lines begin with `ok`. */
  readonly parts: number;
  readonly says: string;
}

const CHECKS: readonly Check[] = [
  {
    script: "check_save_for_unfold.py",
    modules: ["torch"],
    parts: 7,
    says:
      "save_for_unfold.py says what torch's modules say, writes the format and leaves the model as it was",
  },
  {
    script: "check_unified_norm.py",
    modules: ["torch"],
    parts: 10,
    says: "unified_norm.py does what the papers and UN's published code do, compiled, in halves and by two",
  },
  {
    script: "check_reproduce.py",
    modules: ["torch", "numpy", "safetensors"],
    parts: 7,
    says:
      "examples/reproduce measures what it says, its quick form runs and goes on, and its page follows from its results",
  },
  {
    script: "check_without_norm.py",
    modules: ["torch", "timm"],
    parts: 3,
    says: "without_norm.py replaces every normalization, and its intervals are of 95 %",
  },
];

const hasModules = (modules: readonly string[]) =>
  runPython([
    "-c",
    "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, sys.argv[1:])))",
    ...modules,
  ]).code === 0;

for (const { script, modules, parts, says } of CHECKS) {
  const isThere = hasModules(modules);
  const missing = ` (ignored: no Python with ${modules.join(" and ")}; name one in UNFOLD_TEST_PYTHON)`;
  Deno.test({
    name: isThere ? says : says + missing,
    ignore: !isThere,
    fn: () => {
      const { code, stdout, stderr } = runPython([fileURLToPath(new URL(script, import.meta.url))]);
      assert.equal(code, 0, stderr);
      assert.equal(stdout.match(/^ok /gm)?.length, parts);
    },
  });
}
