/** Whole numbers from below. */
import { pointwise } from "../pointwise.ts";

export const floor = pointwise({
  name: "floor",
  doc: "the largest whole number that is not above x",
  meaning: Math.floor,
  tensorrt: (net, x) => net.unary("floor", x),
  onnx: "Floor",
  keepsZero: true,
});
