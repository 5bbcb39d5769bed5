/** `examples/pytorch/save_for_unfold.py` by its own check, where a Python with torch is. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { MISSING, runPython } from "./support.ts";

const script = fileURLToPath(new URL("check_save_for_unfold.py", import.meta.url));

const hasTorch =
  runPython(["-c", "import importlib.util, sys; sys.exit(77 * (importlib.util.find_spec('torch') is None))"])
    .code !== MISSING;

Deno.test({
  name: "save_for_unfold.py says what torch's modules say, writes the format and leaves the model as it was" +
    (hasTorch ? "" : " (ignored: no Python with torch; name one in UNFOLD_TEST_PYTHON)"),
  ignore: !hasTorch,
  fn: () => {
    const { code, stdout, stderr } = runPython([script]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout.match(/^ok /gm)?.length, 5);
  },
});
