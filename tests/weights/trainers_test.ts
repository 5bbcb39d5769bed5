/**
 * Files as trainers leave them, made by `make_trainer_files.py`: whatever class stands beside the weights,
 * these are read, and what says something of the network is plain. The same for files in the format of before
 * PyTorch 1.6.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { float64Of } from "../../src/ir/data.ts";
import { type Checkpoint, openCheckpoint } from "../../src/weights/mod.ts";
import { refuses, withFolder } from "./fixtures.ts";

const pathOf = (name: string) => fileURLToPath(new URL(`../fixtures/trainers/${name}`, import.meta.url));

/** The two tensors that are in every file, under these names. */
function assertHolds(checkpoint: Checkpoint, w = "w", b = "b"): void {
  assert.deepEqual(checkpoint.names().toSorted(), [w, b].toSorted());
  assert.deepEqual([...float64Of(checkpoint.tensor(w))], [0, 2, 1, 3]);
  assert.deepEqual([...float64Of(checkpoint.tensor(b))], [0.5, -1]);
}

for (const name of ["extras.pt", "extras_legacy.pt"]) {
  Deno.test(`openCheckpoint() reads the weights of ${name} and tells what stands beside them`, () => {
    const checkpoint = openCheckpoint(pathOf(name));
    assertHolds(checkpoint);
    assert.deepEqual(checkpoint.stateDict, { key: "model", others: [] });
    const { args, cfg, config, norm_layer, act_layer, meters, slotted, phase, best, ...others } =
      checkpoint.training;
    assert.deepEqual(args, { out: "/x/y", eps: 1e-3, heads: 6 });
    assert.deepEqual(cfg, { model: { heads: 4, layers: [1, 2] } });
    assert.deepEqual(config, { MODEL: { TYPE: "swin", NUM_HEADS: [2, 4], EPS: 1e-3 } });
    assert.deepEqual(norm_layer, { function: "torch.nn.modules.normalization.LayerNorm", eps: 1e-3 });
    assert.equal(act_layer, "torch.nn.modules.activation.GELU");
    assert.deepEqual(meters, { loss: { avg: 1.5, count: 3 } });
    assert.deepEqual([slotted, phase, best], [{ heads: 6 }, "train", Infinity]);
    assert.deepEqual([others["counter"], others["default"], others["deque"], others["frozen"]], [
      { a: 2 },
      { a: [1] },
      [1, 2],
      [1],
    ]);
    assert.deepEqual([others["dtype"], others["device"]], ["torch.float16", "cpu"]);
    assert.ok(!("optimizer" in others) && !("rng" in others) && !("sparse" in others));
  });
}

for (const name of ["attributes.pt", "subclass.pt", "bare_legacy.pt"]) {
  Deno.test(`openCheckpoint() reads the tensors of ${name} as plain data`, () => {
    assertHolds(openCheckpoint(pathOf(name)));
  });
}

for (const name of ["module.pt", "module_legacy.pt"]) {
  Deno.test(`openCheckpoint() reads what the state dict of ${name}, a module saved whole, would be`, () => {
    const checkpoint = openCheckpoint(pathOf(name));
    assertHolds(checkpoint, "block.w", "block.b");
    assert.equal(checkpoint.training["epoch"], 3);
    assert.deepEqual(checkpoint.training["modules"], {
      "": { class: "trainer.network.Network" },
      block: { class: "trainer.network.Attention", num_heads: 2 },
    });
  });
}

Deno.test("openCheckpoint() reads a checkpoint of Lightning's, whose network is a part beside a loss and a metric", () => {
  const path = pathOf("lightning.ckpt");
  const whole = openCheckpoint(path);
  assert.deepEqual(whole.stateDict, { key: "state_dict", others: [] });
  assert.deepEqual(whole.names(), ["model.w", "model.b", "criterion.weight", "metric.total"]);
  assert.deepEqual(whole.training["hyper_parameters"], { num_heads: 6, eps: 1e-3 });
  assertHolds(openCheckpoint(path, { prefix: "model" }));
});

Deno.test("openCheckpoint() reads the module in DeepSpeed's mp_rank_00_model_states.pt", () => {
  const checkpoint = openCheckpoint(pathOf("mp_rank_00_model_states.pt"));
  assertHolds(checkpoint);
  assert.deepEqual(checkpoint.stateDict, { key: "module", others: [] });
  assert.equal(checkpoint.training["global_steps"], 10);
});

for (const name of ["protocol_1.pt", "protocol_1_legacy.pt"]) {
  Deno.test(`openCheckpoint() reads ${name}, whose integers are in digits`, () => {
    const checkpoint = openCheckpoint(pathOf(name));
    assertHolds(checkpoint);
    const { epoch, flag, big, negative } = checkpoint.training;
    assert.deepEqual([epoch, flag, big, negative], [3, true, 2 ** 70, -(2 ** 40)]);
  });
}

Deno.test("openCheckpoint() refuses protocol 0, which PyTorch writes and does not read back", () => {
  refuses(() => openCheckpoint(pathOf("protocol_0.pt")), "is of protocol 0", "without pickle_protocol=0");
});

for (const name of ["numpy.pt", "numpy_4.pt"]) {
  Deno.test(`openCheckpoint() reads the state dict of NumPy's arrays in ${name}, in C's order and in Fortran's`, () => {
    const checkpoint = openCheckpoint(pathOf(name));
    assertHolds(checkpoint);
    assert.equal(checkpoint.tensor("w").dtype, "fp32");
    assert.equal(checkpoint.training["epoch"], 3);
  });
}

Deno.test("openCheckpoint() finds the state dict under whatever keys, and not the optimizer's", () => {
  const checkpoint = openCheckpoint(pathOf("nested.pt"));
  assertHolds(checkpoint);
  assert.deepEqual(checkpoint.stateDict, { key: "state.net.state_dict", others: [] });
});

Deno.test("openCheckpoint() asks which of two networks is meant, and takes averages first", () => {
  const two = pathOf("student_teacher.pt");
  refuses(
    () => openCheckpoint(two),
    '"student" (2 tensors), "teacher" (2 tensors)',
    "say which with --state",
  );
  assertHolds(openCheckpoint(two, { state: "teacher" }));
  assert.deepEqual([...float64Of(openCheckpoint(two, { state: "student" }).tensor("b"))], [1, -2]);

  const averaged = openCheckpoint(pathOf("averaged.pt"));
  assertHolds(averaged);
  assert.deepEqual(averaged.stateDict, { key: "model_ema", others: ["model"] });
  assert.deepEqual([...float64Of(openCheckpoint(pathOf("averaged.pt"), { state: "model" }).tensor("b"))], [
    1,
    -2,
  ]);
});

Deno.test("openCheckpoint() refuses an old file that is cut short anywhere, or whose sizes disagree", () => {
  const good = Deno.readFileSync(pathOf("bare_legacy.pt"));
  withFolder((folder) => {
    const path = `${folder}/old.pt`;
    for (let length = 0; length < good.length; length++) {
      Deno.writeFileSync(path, good.subarray(0, length));
      refuses(() => openCheckpoint(path), path);
    }
    const wrong = good.slice();
    // The last storage, b, is 8 bytes behind its count of elements.
    wrong[good.length - 16] = 3;
    Deno.writeFileSync(path, wrong);
    refuses(() => openCheckpoint(path), "a storage has 3 elements, but 2 by the pickle");
    Deno.writeFileSync(path, good);
    const b = openCheckpoint(path).tensor("b");
    Deno.writeFileSync(path, wrong.subarray(1));
    refuses(() => b.bytes(), "has changed since it was opened");
  });
});
