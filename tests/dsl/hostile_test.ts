/**
 * Options that nobody should give: every function of the DSL and of the normalizations answers with one
 * `UnfoldError` that says where and what, whatever it is given. A table of known mistakes, then a seeded
 * thousand of others.
 */
import assert from "node:assert/strict";
import * as dsl from "../../src/dsl/mod.ts";
import { TENSOR } from "../../src/dsl/tensor.ts";
import { UnfoldError } from "../../src/errors.ts";
import * as norms from "../../src/norms/families.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { Random, refuses } from "../support.ts";

type Given = Record<string, unknown>;

/** What a hostile caller has to work with: tensors and a scope, as inside `forward`. */
function inside<Result>(run: (tools: { x: dsl.Tensor; image: dsl.Tensor; p: dsl.Scope }) => Result): Result {
  let result: { value: Result } | undefined;
  dsl.model({
    name: "hostile",
    inputs: { x: dsl.float(["B", 4, 8]), image: dsl.float(["B", 3, 16, 16]) },
    norm: norms.unifiedNorm(),
    forward: ({ x, image }, p) => {
      result = { value: run({ x, image, p: p.at("blocks", 0) }) };
      return x;
    },
  }).trace({ weights: randomWeights({ seed: 1 }) });
  return result!.value;
}

Deno.test("the DSL's options are validated where they are given, with the scope's name", () => {
  const huge = 2 ** 31;
  const table: [(tools: { x: dsl.Tensor; image: dsl.Tensor; p: dsl.Scope }) => unknown, ...string[]][] = [
    [
      ({ x, p }) => dsl.linear(x, p, { outputs: 0 }),
      "blocks.0: linear: outputs must be a whole number from 1",
      "not 0",
    ],
    [({ x, p }) => dsl.linear(x, p, { outputs: huge }), "blocks.0", "to 2147483647, not 2147483648"],
    [
      ({ x, p }) => dsl.linear(x, p, { outputs: 2 ** 30 }),
      "blocks.0.weight: its shape",
      "2147483647 elements",
    ],
    [({ x, p }) => dsl.linear(x, p, {} as never), "blocks.0: linear: outputs is missing"],
    [({ x, p }) => dsl.linear(x, p, { outputs: 3, biass: false } as never), 'no option "biass"', "bias"],
    [({ x, p }) => dsl.mlp(x, p, { hidden: 0 }), "blocks.0: mlp: hidden must be", "not 0"],
    [({ x, p }) => dsl.mlp(x, p, { hidden: NaN }), "not NaN"],
    [({ x, p }) => dsl.mlp(x, p, { hidden: "16" as never }), 'not "16"'],
    [({ x, p }) => dsl.mlp(x, p, null as never), "options must be an object, not null"],
    [
      ({ x, p }) => dsl.mlp(x, p, { hidden: 4, activation: () => 3 as never }),
      "what the activation returns must be a tensor",
    ],
    [({ x, p }) => dsl.attention(x, p, { heads: -2 }), "blocks.0: attention: heads must be"],
    [({ x, p }) => dsl.attention(x, p, { heads: 3 }), "blocks.0: 8 channels do not divide among 3 heads"],
    [({ x, p }) => dsl.attention(x, p, { heads: 2, qkv: ["q"] as never }), "3 of a name"],
    [
      ({ p }) => dsl.linear(undefined as never, p, { outputs: 3 }),
      "blocks.0: linear: x is missing: give a tensor",
    ],
    [({ x }) => dsl.linear(x, {} as never, { outputs: 3 }), "the scope must be a scope", "not an object"],
    [({ x, p }) => dsl.norm(x, p, { scale: Infinity }), "blocks.0: norm: scale must be a finite number"],
    [({ image, p }) => dsl.patchEmbedding(image, p, { patch: 0, channels: 8 }), "patch must be"],
    [({ image, p }) => dsl.convolution(image, p, { outputs: 4, kernel: 3, groups: 0 }), "groups must be"],
    [({ x, p }) => dsl.block(x, p, { heads: 2, mlp: { hidden: 0 } }), "blocks.0.mlp: mlp: hidden must be"],
    [
      ({ x, p }) => dsl.mlp(x, p, { hidden: 4, activation: "swish" as never }),
      "activation must be one of gelu",
    ],
    [({ x, p }) => dsl.attention(x, p, { heads: 2, memory: x }), "blocks.0: attention to a memory has names"],
    [
      ({ x, p }) => dsl.attention(x, p, { heads: 2, memory: x, qkv: ["q", "kv"], causal: true }),
      "blocks.0: attention to a memory is not causal",
    ],
    [
      ({ x, p }) => dsl.attention(x, p, { heads: 2, qkvBias: [true, false, true] }),
      "blocks.0: biases of three products",
    ],
    [({ x }) => x.add(NaN), "add: the other must be a tensor, or a finite number, not NaN"],
    [({ x }) => x.cast("int32").mul(0.5), "constant: 0.5 is no int32"],
    [({ x }) => x.sizes(2), "x: 2 axes are needed, not [B, 4, 8]"],
    [({ x }) => x.split(3), "x: 8 channels do not divide into 3 parts"],
    [
      ({ x }) => x.transpose([0, 2, 1]).reshape([8, 4, "B"]).channels,
      "the channel axis must have a fixed size",
    ],
    [({ p }) => p.at(null as never), "blocks.0: a part of its path must be", "not null"],
    [({ p }) => p.param("w", [2, 0]), "blocks.0.w: its shape must be"],
    [({ x }) => x.reshape([-1, Symbol() as never]), "reshape: the shape must be"],
    [
      () => dsl.sinusoids({ length: 2 ** 30, channels: 2 ** 20 }),
      "a table of 1073741824 by 1048576",
    ],
    [() => dsl.relativePositions(1e6), "entries are more than"],
    [() => dsl.rowMajor({ height: 1e9, width: 1e9 }), "rowMajor", "more than"],
    [() => dsl.constant([1, 2], { shape: [3], dtype: "fp32" }), "constant: 2 values for the shape [3]"],
    [
      () => norms.unifiedNorm({ epsilon: NaN }),
      "unifiedNorm: epsilon must be a finite number from 0, not NaN",
    ],
    [() => norms.batchNorm({ epsilon: -1 }), "batchNorm: epsilon must be", "not -1"],
    [() => norms.groupNorm({ groups: 0 }), "groupNorm: groups must be"],
    [() => norms.layerNorm({ eps: 1e-6 } as never), 'layerNorm: there is no option "eps"; it has epsilon'],
  ];
  for (const [call, ...fragments] of table) refuses(() => inside(call), ...fragments);
});

Deno.test("model() refuses what no network can be described by", () => {
  const good = {
    name: "tiny",
    inputs: { x: dsl.float(["B", 4]) },
    norm: norms.unifiedNorm(),
    forward: ({ x }: { x: dsl.Tensor }) => x.relu(),
  };
  const trace = (change: Given) =>
    dsl.model({ ...good, ...change } as typeof good).trace({ weights: randomWeights({ seed: 1 }) });
  const returning = (result: unknown) => ({ forward: () => result });
  const table: [Given, ...string[]][] = [
    [{ norm: undefined }, "model: norm is missing: give a normalization, as unifiedNorm()"],
    [{ norm: { family: "xn" } }, "model: norm must be a normalization"],
    [{ inputs: {} }, "tiny: inputs must name at least one input"],
    [{ inputs: { x: 3 } }, "tiny: inputs: x must be an object, not 3"],
    [{ inputs: { "\x1b[31m": dsl.float([1]) } }, "the name of an input must be letters", "\\u001b"],
    [{ inputs: { x: { dtype: "fp4", shape: [1] } } }, "tiny: the input x: dtype must be one of float"],
    [{ inputs: { x: dsl.float([2 ** 31]) } }, "input: the size 2147483648"],
    [{ batch: 0 }, "model: batch must be a whole number from 1"],
    [{ dims: { T: { min: 4, opt: 2, max: 8 } } }, "tiny: dims: T: min, opt and max must not fall"],
    [{ weights: { un: 3 } }, "tiny: weights: un must be a path or a URL"],
    [{ unused: ["x"] }, "model: unused must be a list of regular expressions"],
    [{ evaluation: { file: "a" } }, "tiny: evaluation: inputs is missing"],
    [{ forward: undefined }, "model: forward is missing: give a function"],
    [{ forwards: 1 }, 'model: there is no option "forwards"'],
    [
      { forward: async ({ x }: { x: dsl.Tensor }) => await Promise.resolve(x) },
      "tiny: forward is asynchronous",
    ],
    [{ forward: () => Promise.reject(new Error("no")) }, "tiny: forward is asynchronous"],
    [
      {
        forward: () => {
          throw null;
        },
      },
      "tiny: null was thrown",
    ],
    [{ forward: ({ x }: { x: dsl.Tensor }) => ({ x: x.relu() }) }, 'tiny: "x" is an input\'s name'],
    [returning({ "": 1 }), 'not 1 as ""'],
    [returning({ op: "relu", type: { dtype: "fp32", shape: [1] } }), 'not "relu" as "op"'],
  ];
  for (const [change, ...fragments] of table) refuses(() => trace(change), ...fragments);
});

Deno.test("a network that grows without end is refused before memory is", () => {
  const grow = ({ x }: { x: dsl.Tensor }) => {
    for (;;) x = x.relu();
  };
  refuses(() => inside(grow), "hostile: more than 262144 operators are described");
});

/** Values that crash what trusts them. */
function hostileValues(): unknown[] {
  const throwing = {
    get heads() {
      throw new Error("ha");
    },
    get epsilon(): number {
      throw null;
    },
  };
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const trap = new Proxy({}, {
    get: () => {
      throw new RangeError("trap");
    },
    ownKeys: () => {
      throw 1;
    },
  });
  const cycle: Given = {};
  cycle.self = cycle;
  return [
    undefined,
    null,
    NaN,
    Infinity,
    -Infinity,
    -1,
    0,
    -0,
    0.5,
    1,
    2,
    3,
    8,
    2 ** 31,
    2 ** 53,
    1e308,
    -1e308,
    1n,
    true,
    false,
    "",
    "heads",
    "__proto__",
    "constructor",
    "\x1b[2J",
    "x".repeat(1e6),
    "B",
    "1+T",
    Symbol("s"),
    [],
    [1],
    [0, -1],
    [NaN],
    new Array(5),
    new Array(2 ** 20),
    [[[]]],
    {},
    { length: 2 ** 40 },
    throwing,
    revoked.proxy,
    trap,
    cycle,
    Object.create(null),
    Object.create({ heads: 4, outputs: 4 }),
    JSON.parse('{"__proto__": {"heads": 2}}'),
    () => 1,
    () => {
      throw null;
    },
    class {},
    new Date(NaN),
    new Map(),
    /x/g,
    new Float64Array(4),
    Promise.resolve(1),
    { op: "relu", inputs: [], attrs: {}, name: "x", type: { dtype: "fp32", shape: [1, 4, 8] } },
  ];
}

const OPTION_NAMES = [
  "heads",
  "qkv",
  "out",
  "qkvBias",
  "outBias",
  "outCentred",
  "causal",
  "mask",
  "window",
  "outputs",
  "hidden",
  "bias",
  "activation",
  "names",
  "centred",
  "tied",
  "kernel",
  "stride",
  "padding",
  "groups",
  "patch",
  "channels",
  "entries",
  "length",
  "first",
  "precision",
  "size",
  "theta",
  "scaling",
  "axis",
  "axes",
  "keepDims",
  "start",
  "end",
  "step",
  "index",
  "shape",
  "dtype",
  "name",
  "height",
  "width",
  "shift",
  "from",
  "to",
  "merged",
  "within",
  "placement",
  "norm",
  "outNorm",
  "normScale",
  "layerScale",
  "mlp",
  "past",
  "scale",
  "approximate",
  "epsilon",
  "gainFromOne",
  "gain",
  "running",
  "groupEpsilon",
  "inputs",
  "forward",
  "q",
  "k",
  "v",
  "cosines",
  "sines",
  "x",
  "memory",
  "transposeA",
  "of",
  "mode",
  "alignCorners",
  "before",
  "after",
  "value",
  "alpha",
  "beta",
];

Deno.test("a thousand hostile calls of every function: refusals, no crash, none that takes long", () => {
  const random = new Random(12);
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random.uniform() * items.length)]!;
  const { Scope: _, Tensor, ...functions } = dsl;
  const { constructor: _made, ...methods } = Object.getOwnPropertyDescriptors(Tensor.prototype);
  const onTensors = Object.entries(methods).flatMap(([name, { value: method }]) =>
    method === undefined ? [] : [[name, (...args: unknown[]) => {
      const [x, ...rest] = TENSOR.is(args[0]) ? args : [constant, ...args];
      return method.apply(x, rest);
    }]]
  );
  const constant = dsl.constant([1, 2, 3, 4], { shape: [2, 2] });
  const all = [...Object.entries({ ...functions, ...norms }), ...onTensors]
    .filter(([, value]) => typeof value === "function");
  assert.ok(all.length > 60, `${all.length} functions`);
  let refused = 0;
  const slow: string[] = [];
  const calls = 1000;
  inside(({ x, image, p }) => {
    const values = hostileValues();
    const known = [x, image, p, 1, 2, 4, [1, 2], "name", { heads: 2 }, { outputs: 4 }, { axis: 1 }, {
      hidden: 8,
    }];
    for (let call = 0; call < calls; call++) {
      const [name, run] = all[call % all.length]! as [string, (...args: unknown[]) => unknown];
      const args = Array.from({ length: 1 + Math.floor(random.uniform() * 4) }, (_, i) => {
        if (i === 0 && random.uniform() < 0.6) return pick([x, image]);
        if (i === 1 && random.uniform() < 0.6) return p;
        const kind = random.uniform();
        if (kind < 0.4) return pick(values);
        if (kind < 0.5) return pick(known);
        return Object.fromEntries(
          Array.from(
            { length: Math.floor(random.uniform() * 6) },
            () => [pick(OPTION_NAMES), pick([...values, ...known])],
          ),
        );
      });
      const started = performance.now();
      try {
        run(...args);
      } catch (error) {
        if (!(error instanceof UnfoldError)) {
          assert.fail(`call ${call}, ${name}: ${error instanceof Error ? error.stack : String(error)}`);
        }
        assert.ok(
          error.message.length < 2000 && !error.message.includes("\x1b"),
          `${name}: ${error.message.slice(0, 200)}`,
        );
        refused++;
      }
      if (performance.now() - started > 5000) slow.push(name);
    }
  });
  assert.deepEqual(slow, []);
  assert.ok(refused > calls / 2 && refused < calls, `${refused} of ${calls} were refused`);
});
