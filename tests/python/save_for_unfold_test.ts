/**
 * `examples/pytorch/save_for_unfold.py` by its own check, where a Python with torch is: UNFOLD_TEST_PYTHON,
 * else python3.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const NO_TORCH = 77;
const script = fileURLToPath(new URL("check_save_for_unfold.py", import.meta.url));

const python = (args: readonly string[]) => {
  try {
    return new Deno.Command(Deno.env.get("UNFOLD_TEST_PYTHON") ?? "python3", { args: [...args] })
      .outputSync();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      return { code: NO_TORCH, stdout: new Uint8Array(), stderr: error };
    }
    throw error;
  }
};

const hasTorch =
  python(["-c", "import importlib.util, sys; sys.exit(77 * (importlib.util.find_spec('torch') is None))"])
    .code !==
    NO_TORCH;

Deno.test({
  name: "save_for_unfold.py says what torch's modules say, writes the format and leaves the model as it was" +
    (hasTorch ? "" : " (ignored: no Python with torch; name one in UNFOLD_TEST_PYTHON)"),
  ignore: !hasTorch,
  fn: () => {
    const { code, stdout, stderr } = python([script]);
    assert.equal(code, 0, new TextDecoder().decode(stderr as Uint8Array));
    assert.equal(new TextDecoder().decode(stdout).match(/^ok /gm)?.length, 5);
  },
});
