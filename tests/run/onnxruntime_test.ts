/**
 * ONNX Runtime on tiny models, written once with onnx 1.23 and kept as base64:
 *
 *     V, N = helper.make_tensor_value_info, helper.make_node
 *     def model(name, nodes, ins, outs, inits=()):
 *         graph = helper.make_graph(nodes, name, ins, outs, list(inits))
 *         opsets = [helper.make_opsetid("", 17)]
 *         m = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="")
 *         print(base64.b64encode(m.SerializeToString()))
 *     model("lin", [N("Gemm", ["x", "w", "b"], ["y"])], [V("x", 1, ["B", 2])], [V("y", 1, ["B", 3])],
 *           [from_array(np.float32([[1, 2, 3], [4, 5, 6]]), "w"), from_array(np.float32([.5, -.5, 0]), "b")])
 *     model("f16", [N("Add", ["x", "x"], ["y"])], [V("x", 10, ["B", 2])], [V("y", 10, ["B", 2])])
 *     model("i64", [N("Add", ["x", "x"], ["y"]), N("Equal", ["x", "x"], ["e"]), N("Not", ["m"], ["n"]),
 *                   N("Cast", ["x"], ["i"], to=6)], [V("x", 7, ["B"]), V("m", 9, ["B"])],
 *           [V("y", 7, ["B"]), V("e", 9, ["B"]), V("n", 9, ["B"]), V("i", 6, ["B"])])
 *     model("bfin", [N("Cast", ["x"], ["a"], to=16), N("Add", ["a", "a"], ["b"]),
 *                    N("Cast", ["b"], ["y"], to=1)], [V("x", 1, ["B", 2])], [V("y", 1, ["B", 2])])
 *     model("u8", [N("Identity", ["x"], ["y"])], [V("x", 2, ["B", 2])], [V("y", 2, ["B", 2])])
 */
import assert from "node:assert/strict";
import { UnfoldError } from "../../src/errors.ts";
import { sessionFromOnnx } from "../../src/run/onnxruntime.ts";
import { numbersOf, type Session, tensorValue } from "../../src/run/session.ts";

const LIN =
  "CAgSADqBAQoSCgF4CgF3CgFiEgF5IgRHZW1tEgNsaW4qIwgCCAMQAUIBd0oYAACAPwAAAEAAAEBAAACAQAAAoEAAAMBAKhUIAxABQgFiSgwA" +
  "AAA/AAAAvwAAAABaFAoBeBIPCg0IARIJCgMSAUIKAggCYhQKAXkSDwoNCAESCQoDEgFCCgIIA0IECgAQEQ==";
const F16 =
  "CAgSADpBCg4KAXgKAXgSAXkiA0FkZBIDZjE2WhQKAXgSDwoNCAoSCQoDEgFCCgIIAmIUCgF5Eg8KDQgKEgkKAxIBQgoCCAJCBAoAEBE=";
const I64 =
  "CAgSADq5AQoOCgF4CgF4EgF5IgNBZGQKEAoBeAoBeBIBZSIFRXF1YWwKCwoBbRIBbiIDTm90ChcKAXgSAWkiBENhc3QqCQoCdG8YBqABAhID" +
  "aTY0WhAKAXgSCwoJCAcSBQoDEgFCWhAKAW0SCwoJCAkSBQoDEgFCYhAKAXkSCwoJCAcSBQoDEgFCYhAKAWUSCwoJCAkSBQoDEgFCYhAKAW4SCwoJ" +
  "CAkSBQoDEgFCYhAKAWkSCwoJCAYSBQoDEgFCQgQKABAR";
const BFIN =
  "CAgSADp0ChcKAXgSAWEiBENhc3QqCQoCdG8YEKABAgoOCgFhCgFhEgFiIgNBZGQKFwoBYhIBeSIEQ2FzdCoJCgJ0bxgBoAECEgRiZmluWhQK" +
  "AXgSDwoNCAESCQoDEgFCCgIIAmIUCgF5Eg8KDQgBEgkKAxIBQgoCCAJCBAoAEBE=";
const U8 =
  "CAgSADpCChAKAXgSAXkiCElkZW50aXR5EgJ1OFoUCgF4Eg8KDQgCEgkKAxIBQgoCCAJiFAoBeRIPCg0IAhIJCgMSAUIKAggCQgQKABAR";
const F64 =
  "CAgSADpCChAKAXgSAXkiCElkZW50aXR5EgJ1OFoUCgF4Eg8KDQgLEgkKAxIBQgoCCAJiFAoBeRIPCg0ICxIJCgMSAUIKAggCQgQKABAR";

function open(model: string): Promise<Session> {
  return sessionFromOnnx(Uint8Array.fromBase64(model), { threads: 1 });
}

function refused(message: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof UnfoldError && message.test(error.message);
}

Deno.test("sessionFromOnnx() describes what it opened", async () => {
  await using session = await open(LIN);
  assert.match(session.backend, /^onnxruntime \d+\.\d+\.\d+, CPU, 1 thread$/);
  assert.equal(session.threads, 1);
  assert.deepEqual(session.inputs, [{ name: "x", dtype: "fp32", shape: ["B", 2] }]);
  assert.deepEqual(session.outputs, [{ name: "y", dtype: "fp32", shape: ["B", 3] }]);
});

Deno.test("sessionFromOnnx() keeps ONNX Runtime's telemetry off", async () => {
  await using _session = await open(LIN);
  assert.equal(Deno.env.get("ORT_DISABLE_TELEMETRY"), "1");
});

Deno.test("Session.run() computes, for every size of a named dimension", async () => {
  await using session = await open(LIN);
  for (
    const [rows, expected] of [[[1, 1], [5.5, 6.5, 9]], [[1, 0, 0, 1], [1.5, 1.5, 3, 4.5, 4.5, 6]], [[], []]]
  ) {
    const batch = rows!.length / 2;
    const { y } = await session.run({ x: tensorValue("fp32", [batch, 2], rows!) });
    assert.deepEqual(y!.shape, [batch, 3]);
    assert.deepEqual([...numbersOf(y!)], expected);
  }
});

Deno.test("Session.run() takes bytes at any address", async () => {
  await using session = await open(LIN);
  const bytes = new Uint8Array(9);
  bytes.set(tensorValue("fp32", [1, 2], [1, 1]).bytes, 1);
  const { y } = await session.run({ x: { dtype: "fp32", shape: [1, 2], bytes: bytes.subarray(1) } });
  assert.deepEqual([...numbersOf(y!)], [5.5, 6.5, 9]);
});

Deno.test("Session.run() passes fp16, int32, int64 and bool", async () => {
  await using half = await open(F16);
  const { y } = await half.run({ x: tensorValue("fp16", [1, 2], [0.1, -2]) });
  assert.equal(y!.dtype, "fp16");
  assert.deepEqual([...numbersOf(y!)], [0.199951171875, -4]);

  await using whole = await open(I64);
  const outputs = await whole.run({
    x: tensorValue("int64", [2], [-3, 4]),
    m: tensorValue("bool", [2], [1, 0]),
  });
  assert.deepEqual(Object.keys(outputs), ["y", "e", "n", "i"]);
  const seen = Object.values(outputs).map((value) => [value.dtype, ...numbersOf(value)]);
  assert.deepEqual(seen, [["int64", -6, 8], ["bool", 1, 1], ["bool", 0, 1], ["int32", -3, 4]]);
});

Deno.test("Session.prepare() returns a call that repeats", async () => {
  for (const [model, dtype] of [[LIN, "fp32"], [F16, "fp16"]] as const) {
    const session = await open(model);
    const x = tensorValue(dtype, [1, 2], [1, 1]);
    const call = await session.prepare({ x });
    assert.equal(await call(), undefined);
    assert.equal(await call(), undefined);
    await session[Symbol.asyncDispose]();
    await assert.rejects(call, refused(/after its disposal/));
  }
});

Deno.test("Session.run() refuses wrong feeds and a disposed session", async () => {
  const session = await open(LIN);
  const x = tensorValue("fp32", [1, 2], [1, 1]);
  await assert.rejects(session.run({}), refused(/"x" .* is not fed/));
  await assert.rejects(session.run({ x, z: x }), refused(/no input is called "z"/));
  await assert.rejects(
    session.prepare({ x: tensorValue("fp32", [1, 3], [1, 1, 1]) }),
    refused(/dimension 1 is 3/),
  );
  await session[Symbol.asyncDispose]();
  await session[Symbol.asyncDispose]();
  await assert.rejects(session.run({ x }), refused(/onnxruntime .* after its disposal/));
});

Deno.test("sessionFromOnnx() quotes ONNX Runtime on a model it cannot load", async () => {
  await assert.rejects(
    sessionFromOnnx(Uint8Array.of(1, 2, 3)),
    refused(/cannot be loaded; ONNX Runtime says: .*protobuf/i),
  );
  await assert.rejects(sessionFromOnnx(new Uint8Array(0)), refused(/cannot be loaded; ONNX Runtime says/));
  await assert.rejects(sessionFromOnnx("absent.onnx"), refused(/the ONNX model absent\.onnx .* exist/));
});

Deno.test("a session reads and gives bytes", async () => {
  await using session = await open(U8);
  const { y } = await session.run({
    x: { dtype: "uint8", shape: [2, 2], bytes: Uint8Array.of(0, 7, 9, 255) },
  });
  assert.deepEqual([y!.dtype, [...y!.bytes]], ["uint8", [0, 7, 9, 255]]);
});

Deno.test("sessionFromOnnx() says what it does not compute", async () => {
  await assert.rejects(open(BFIN), refused(/implementation for Add.*no bfloat16 on a CPU.*fp32/));
  await assert.rejects(open(F64), refused(/the input "x" is float64; UNfold runs float32/));
});

Deno.test("sessionFromOnnx() refuses options that cannot hold", async () => {
  const model = Uint8Array.fromBase64(LIN);
  await assert.rejects(
    sessionFromOnnx(model, { threads: 0 }),
    refused(/threads is a whole number from 1 on, not 0/),
  );
  await using _first = await open(LIN);
  await assert.rejects(
    sessionFromOnnx(model, { denormalsAsZero: true }),
    refused(/denormalsAsZero = true: .* first session/),
  );
});
