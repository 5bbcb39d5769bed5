/** `examples/pytorch/without_norm.py` by its own check, where a Python with torch and timm is. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { runPython } from "./support.ts";

const FIND = "import importlib.util as u, sys; sys.exit(not (u.find_spec('timm') and u.find_spec('torch')))";
const modules = runPython(["-c", FIND]);

Deno.test({
  name: "without_norm.py replaces every normalization, and its intervals are of 95 %" +
    (modules.code === 0 ? "" : " (ignored: no Python with torch and timm; name one in UNFOLD_TEST_PYTHON)"),
  ignore: modules.code !== 0,
  fn: () => {
    const { code, stdout, stderr } = runPython([
      fileURLToPath(new URL("check_without_norm.py", import.meta.url)),
    ]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout.match(/^ok /gm)?.length, 3);
  },
});
