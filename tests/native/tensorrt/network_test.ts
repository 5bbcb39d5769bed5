import assert from "node:assert/strict";
import { NativeError } from "../../../native/error.ts";
import type { Network, Tensor, TensorRt } from "../../../native/tensorrt/mod.ts";
import { constant, refusal, testWithTensorRt, wave } from "../support.ts";

/** Runs `describe` on a new network, disposed afterwards. */
function withNetwork<T>(trt: TensorRt, describe: (network: Network) => T): T {
  using builder = trt.createBuilder();
  using network = builder.createNetwork();
  return describe(network);
}

/** Every layer, on operands made for it, and the shape it must infer. */
const LAYERS: Readonly<
  Record<string, { make(net: Network, x: Tensor, name: string): Tensor; dims: number[] }>
> = {
  constant: { make: (net, _, name) => net.constant([2, 3], "fp32", wave(6, "fp32"), name), dims: [2, 3] },
  "matmul transposed": { make: (net, x, name) => net.matmul(x, x, { transposeB: true }, name), dims: [4, 4] },
  elementwise: { make: (net, x, name) => net.elementwise("sum", x, x, name), dims: [4, 6] },
  activation: { make: (net, x, name) => net.activation("gelu_erf", x, name), dims: [4, 6] },
  "activation with parameters": {
    make: (net, x, name) => net.activation({ kind: "leaky_relu", alpha: 0.1 }, x, name),
    dims: [4, 6],
  },
  unary: { make: (net, x, name) => net.unary("erf", x, name), dims: [4, 6] },
  softmax: { make: (net, x, name) => net.softmax(x, 2, name), dims: [4, 6] },
  shuffle: {
    make: (net, x, name) => net.shuffle(x, { first: [1, 0], reshape: [2, 3, -1], second: [2, 0, 1] }, name),
    dims: [4, 2, 3],
  },
  "shuffle with a placeholder": {
    make: (net, x, name) => net.shuffle(x, { reshape: [0, 2, 3] }, name),
    dims: [4, 2, 3],
  },
  slice: {
    make: (net, x, name) => net.slice(x, { start: [1, 0], size: [2, 3], stride: [1, 2] }, name),
    dims: [2, 3],
  },
  "slice wrapping": {
    make: (net, x, name) => net.slice(x, { start: [3, 5], size: [4, 6], mode: "wrap" }, name),
    dims: [4, 6],
  },
  concat: { make: (net, x, name) => net.concat([x, x, x], 1, name), dims: [4, 18] },
  gather: {
    make: (net, x, name) => {
      const indices = new Uint8Array(Int32Array.of(3, 0, 1).buffer);
      return net.gather(x, net.constant([3], "int32", indices, "indices"), 1, name);
    },
    dims: [4, 3],
  },
  "quantize and dequantize": {
    make: (net, x, name) => {
      const scale = net.constant([], "fp32", constant(1, 0.5, "fp32"), "scale");
      return net.dequantize(net.quantize(x, scale, "fp8", `${name}/quantize`), scale, undefined, name);
    },
    dims: [4, 6],
  },
  "dynamic quantize": {
    make: (net, _, name) => {
      const unit = net.constant([], "fp32", constant(1, 0.5, "fp32"), "unit");
      const x = net.constant([2, 32], "fp32", constant(64, 0.5, "fp32"), "wide");
      const { q, scales } = net.dynamicQuantize(x, unit, name);
      assert.deepEqual([q.dtype, scales.dtype, scales.dims()], ["fp4", "fp8", [2, 2]]);
      return q;
    },
    dims: [2, 32],
  },
  "dequantize by rows": {
    make: (net, _, name) => {
      const q = net.constant([3, 2], "int8", Uint8Array.of(1, 2, 3, 4, 255, 128), "q");
      return net.dequantize(q, net.constant([3], "fp32", constant(3, 0.5, "fp32"), "scale"), 0, name);
    },
    dims: [3, 2],
  },
  "dequantize by blocks": {
    make: (net, _, name) => {
      const q = net.constant([2, 64], "int4", new Uint8Array(64), "q");
      return net.dequantize(
        q,
        net.constant([2, 2], "fp32", constant(4, 0.5, "fp32"), "scale"),
        undefined,
        name,
      );
    },
    dims: [2, 64],
  },
  reduce: { make: (net, x, name) => net.reduce("avg", x, 2, true, name), dims: [4, 1] },
  "reduce dropping the axis": { make: (net, x, name) => net.reduce("max", x, 1, false, name), dims: [6] },
  normalization: {
    make: (net, x, name) => {
      const scale = net.constant([1, 6], "fp32", constant(6, 1, "fp32"), "scale");
      const bias = net.constant([1, 6], "fp32", constant(6, 0, "fp32"), "bias");
      return net.normalization(x, scale, bias, { axesMask: 2, epsilon: 1e-6 }, name);
    },
    dims: [4, 6],
  },
  attention: {
    make: (net, x, name) => {
      const heads = net.shuffle(x, { reshape: [1, 2, 4, 3] }, "heads");
      return net.causalAttention(heads, heads, heads, name);
    },
    dims: [1, 2, 4, 3],
  },
  convolution: {
    make: (net, x, name) => {
      const image = net.shuffle(x, { reshape: [1, 1, 4, 6] }, "image");
      const options = {
        maps: 5,
        kernel: [2, 2],
        stride: [2, 2],
        weights: { dtype: "fp32", bytes: wave(20, "fp32") },
        bias: { dtype: "fp32", bytes: wave(5, "fp32") },
      } as const;
      return net.convolution(image, options, name);
    },
    dims: [1, 5, 2, 3],
  },
  cast: { make: (net, x, name) => net.cast(x, "fp16", name), dims: [4, 6] },
  shape: { make: (net, x, name) => net.shape(x, name), dims: [2] },
  select: {
    make: (net, x, name) => net.select(net.elementwise("less", x, x, "less"), x, x, name),
    dims: [4, 6],
  },
  identity: { make: (net, x, name) => net.identity(x, name), dims: [4, 6] },
  einsum: { make: (net, x, name) => net.einsum("ab,cb->ac", [x, x], name), dims: [4, 4] },
};

for (const [name, { make, dims }] of Object.entries(LAYERS)) {
  testWithTensorRt(`Network infers the shape of ${name}`, (trt) => {
    withNetwork(trt, (network) => {
      const x = network.input("x", "fp32", [4, 6]);
      const y = make(network, x, `block.${name}`);
      assert.deepEqual(y.dims(), dims);
      assert.equal(y.name, `block.${name}`);
      assert.ok(network.layerCount > 0);
    });
  });
}

testWithTensorRt("Network takes sizes of the run from shape tensors", (trt) => {
  withNetwork(trt, (network) => {
    const x = network.input("x", "fp32", [-1, 6], ["B", undefined]);
    const sizes = network.shape(x, "sizes");
    assert.equal(sizes.dtype, "int64");
    assert.deepEqual(network.slice(x, { start: [0, 0], size: sizes }, "slice").dims(), [-1, 6]);
    const doubled = new Uint8Array(BigInt64Array.of(-1n, 3n).buffer);
    const reshape = network.constant([2], "int64", doubled, "doubled");
    assert.deepEqual(network.shuffle(x, { reshape }, "reshape").dims(), [-1, 3]);
  });
});

testWithTensorRt("Network refuses a layer with its name, its operands and the library's words", (trt) => {
  withNetwork(trt, (network) => {
    const x = network.input("x", "fp32", [4, 64]);
    const w = network.constant([32, 32], "fp32", wave(1024, "fp32"), "w");
    assert.throws(
      () => network.matmul(x, w, {}, "blocks.0.qkv"),
      refusal(
        /^layer blocks\.0\.qkv \(fp32 \[4, 64\], fp32 \[32, 32\]\) was refused by INetworkDefinition::addMatrixMultiply; TensorRT says:\n/,
        /last dimension of input0 = 64/,
        /^((?!cudaError|_src).)*$/s,
      ),
    );
  });
}, { reports: true });

testWithTensorRt("Network refuses operands of different types, as strong typing does", (trt) => {
  withNetwork(trt, (network) => {
    const x = network.input("x", "fp32", [1, 4]);
    const half = network.constant([1, 4], "fp16", wave(4, "fp16"), "half");
    assert.throws(() => network.elementwise("sum", x, half, "add"), /layer add .*same input types/s);
  });
}, { reports: true });

testWithTensorRt("Network.constant() refuses bytes that are not the shape's", (trt) => {
  withNetwork(trt, (network) => {
    assert.throws(
      () => network.constant([2, 3], "fp32", new Uint8Array(20), "w"),
      new NativeError("w: 20 bytes for 6 values of fp32, which take 24"),
    );
  });
});

testWithTensorRt("Network refuses tensors of another network and shapes that are none", (trt) => {
  using builder = trt.createBuilder();
  using one = builder.createNetwork();
  using two = builder.createNetwork();
  const x = one.input("x", "fp32", [4]);
  assert.throws(
    () => two.unary("exp", x, "exp"),
    new NativeError("exp: an operand belongs to another network"),
  );
  assert.throws(
    () => one.input("y", "fp32", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    /9 dimensions; TensorRT takes up to 8/,
  );
  assert.throws(() => one.input("y", "fp32", [1.5]), /1\.5 is not an integer/);
  assert.throws(() => one.shuffle(x, { first: [1] }, "s"), /not an order of the axes/);
});

testWithTensorRt("Tensor throws once its network is disposed", (trt) => {
  using builder = trt.createBuilder();
  const network = builder.createNetwork();
  const x = network.input("x", "fp32", [4]);
  network[Symbol.dispose]();
  assert.throws(() => x.dims(), new NativeError("Network was used after it was disposed"));
  assert.throws(
    () => network.unary("exp", x, "exp"),
    new NativeError("Network was used after it was disposed"),
  );
});
