/** Shapes that the reference and ONNX allow and TensorRT takes only after a reshape. */
import { join } from "node:path";
import { float, linear, model } from "../../src/dsl/mod.ts";
import { buildEngine } from "../../src/emit/tensorrt.ts";
import { noNorm } from "../../src/norms/families.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { withFolder } from "../support.ts";
import { testWithLibrary } from "../tensorrt_library.ts";
import { add, matmul, softmax } from "../nodes.ts";

const range = { min: 1, opt: 4, max: 8 };
const weights = randomWeights({ seed: 0 });

testWithLibrary(
  "buildEngine() aligns a mask of two open sizes with logits of higher rank",
  (library) =>
    withFolder(async (folder) => {
      const masked = model({
        name: "masked",
        inputs: { x: float(["B", "T", 8]), mask: float(["T", "T"]) },
        norm: noNorm(),
        forward: ({ x, mask }) => softmax(add(matmul(x, x, { transposeB: true }), mask)),
      });
      const profiles = [{ B: range, T: range }];
      await buildEngine(masked.trace({ weights }), { path: join(folder, "a.plan"), library, profiles });
    }),
);

testWithLibrary(
  "buildEngine() takes vectors, and outputs named like what they are made of",
  (library) =>
    withFolder(async (folder) => {
      const vector = model({
        name: "vector",
        inputs: { x: float([8]) },
        norm: noNorm(),
        forward: ({ x }, p) => ({
          softmax: softmax(linear(x, p.at("fc"), { outputs: 4 })),
          pos: add(x, p.param("pos", [8])),
        }),
      });
      await buildEngine(vector.trace({ weights }), { path: join(folder, "a.plan"), library });
    }),
);
