/**
 * Both C++ ABIs, on any machine: slots of every interface, and objects of ours that are called as each ABI
 * calls.
 */
import assert from "node:assert/strict";
import { type CppAbi, ITANIUM, MICROSOFT, slotOf, structBytes } from "../../native/memory/cpp_abi.ts";
import { LAYOUTS } from "../../native/tensorrt/mod.ts";
import { interfaceMethods } from "../../native/tensorrt/logger.ts";
import { placeIn, SIGNATURES } from "../../native/tensorrt/abi/signatures.ts";
import { DIMS, dimsFrom, dimsWriter, WEIGHTS } from "../../native/tensorrt/abi/values.ts";
import { type CallbackMethod, CallbackObject, VirtualCalls } from "../../native/memory/vtable.ts";

Deno.test("slotOf() counts a destructor as two slots of Itanium's ABI and as one of Microsoft's", () => {
  const methods = ["size", null, "data"];
  assert.deepEqual([ITANIUM, MICROSOFT].map((abi) => slotOf("size", methods, abi)), [2, 1]);
  assert.deepEqual([ITANIUM, MICROSOFT].map((abi) => slotOf("data", methods, abi)), [4, 3]);
  assert.equal(slotOf("no such method", methods, MICROSOFT), undefined);
});

Deno.test("slotOf() has overloads where they are declared, or as Microsoft groups them: in reverse", () => {
  // Microsoft's table: a, run (of f), run (of x), run (of the first), b.
  const methods = ["a", "run", "b", "run", "run"];
  const slots = (abi: CppAbi) => ["a", "run", "b"].map((name) => slotOf(name, methods, abi));
  assert.deepEqual(slots(ITANIUM), [2, 3, 4]);
  assert.deepEqual(slots(MICROSOFT), [1, 4, 5]);
});

Deno.test("placeIn() has each method of each layout one slot earlier for Microsoft, but for overloads", () => {
  for (const layout of LAYOUTS) {
    const [itanium, microsoft] = [placeIn(layout, ITANIUM), placeIn(layout, MICROSOFT)];
    for (const [owner, methods] of Object.entries(layout.interfaces)) {
      const overloaded = methods.findIndex((name, i) => name !== null && methods.indexOf(name) !== i) - 1;
      for (const [index, name] of methods.entries()) {
        if (name === null) continue;
        const [one, other] = [itanium(`${owner}.${name}`)!, microsoft(`${owner}.${name}`)!];
        const later = index === overloaded || index === overloaded + 1 ? 1 : 0;
        assert.deepEqual(
          other,
          { ...one, slot: one.slot - 1 + (overloaded < 0 ? 0 : later) },
          `${owner}.${name} of ${layout.flavour} ${layout.version}`,
        );
      }
    }
  }
  // Of what UNfold calls in any layout, only this has two methods of one name.
  const enterprise = LAYOUTS.find(({ version }) => version === "10.0")!;
  assert.equal(placeIn(enterprise, ITANIUM)("IRuntime.deserializeCudaEngine")!.slot, 3);
  assert.equal(placeIn(enterprise, MICROSOFT)("IRuntime.deserializeCudaEngine")!.slot, 3);
});

Deno.test("structBytes() is the size that C gives a struct", () => {
  assert.equal(structBytes(DIMS), 72);
  assert.equal(structBytes(WEIGHTS), 24);
  assert.equal(structBytes({ struct: ["pointer", "i32", "i32"] }), 16);
  assert.equal(structBytes({ struct: ["u8", "i16", "f32", "u8"] }), 12);
});

/** A method of an object as its table has it. */
function entryOf(object: CallbackObject<string>, slot: number): Deno.PointerObject {
  const table = new Deno.UnsafePointerView(object.pointer).getPointer()!;
  return new Deno.UnsafePointerView(table).getPointer(8 * slot)!;
}

/** What C++ would hand out: a shell `[vtable, implementation]`. */
function shellOf(object: CallbackObject<string>): { pointer: Deno.PointerObject; words: BigUint64Array } {
  const words = new BigUint64Array(new ArrayBuffer(16));
  words[1] = Deno.UnsafePointer.value(object.pointer);
  return { pointer: Deno.UnsafePointer.of(words)!, words };
}

for (const abi of [ITANIUM, MICROSOFT]) {
  Deno.test(`VirtualCalls and CallbackObject pass structs as ${abi.name}'s ABI does`, async () => {
    const write = dimsWriter();
    const shapeOf: CallbackMethod = {
      parameters: ["pointer", "pointer"],
      result: DIMS,
      run: (_self: unknown, name: Deno.PointerObject) =>
        write([1, Deno.UnsafePointerView.getCString(name).length]),
    };
    const lastOf: CallbackMethod = {
      parameters: ["pointer", WEIGHTS],
      result: "i64",
      run: (_self: unknown, weights: Uint8Array) =>
        new DataView(weights.slice().buffer).getBigInt64(16, true),
    };
    const destructor: CallbackMethod = { parameters: ["pointer"], result: "void", run: () => {} };
    const destructors = new Array(abi.destructorSlots).fill(destructor);
    using object = new CallbackObject([...destructors, shapeOf, lastOf], abi);
    const signatures = {
      "IEngine.shapeOf": { parameters: ["pointer", "buffer"], result: DIMS },
      "IEngine.lastOf": { parameters: ["pointer", WEIGHTS], result: "i64" },
    } as const;
    const slot = (method: string) => slotOf(method.split(".")[1]!, ["shapeOf", "lastOf"], abi)!;
    const calls = new VirtualCalls(signatures, (method) => ({ offset: 8, slot: slot(method) }), abi);
    const { pointer, words } = shellOf(object);
    const name = new TextEncoder().encode("tokens\0");
    assert.deepEqual(dimsFrom(calls.call("IEngine.shapeOf", pointer, name)), [1, 6]);
    assert.deepEqual(dimsFrom(await calls.callAsync("IEngine.shapeOf", pointer, name)), [1, 6]);
    const weights = new Uint8Array(new BigInt64Array([1n, 0n, 77n]).buffer);
    assert.equal(calls.call("IEngine.lastOf", pointer, weights), 77n);
    assert.equal(words.length, 2); // Alive until here.
  });
}

Deno.test("A struct's place is behind the receiver in Microsoft's ABI, and what the method returns", () => {
  const shape: CallbackMethod = { parameters: ["pointer"], result: DIMS, run: () => dimsWriter()([3, 5]) };
  using object = new CallbackObject([shape], MICROSOFT);
  const signature = { parameters: ["pointer", "buffer"], result: "pointer" } as const;
  const address = entryOf(object, 0) as Deno.PointerObject<typeof signature>;
  const place = new Uint8Array(new ArrayBuffer(72));
  const returned = new Deno.UnsafeFnPointer(address, signature).call(object.pointer, place);
  assert.ok(Deno.UnsafePointer.equals(returned, Deno.UnsafePointer.of(place)));
  assert.deepEqual(dimsFrom(place), [3, 5]);
});

Deno.test("VirtualCalls deletes through the destructor that frees the memory", async () => {
  const heard: unknown[] = [];
  const destructor = (name: string, parameters: readonly Deno.NativeType[]): CallbackMethod => ({
    parameters,
    result: "void",
    run: (_self: unknown, ...flags: unknown[]) => void heard.push([name, ...flags]),
  });
  const itanium = [destructor("complete", ["pointer"]), destructor("deleting", ["pointer"])];
  const microsoft = [destructor("deleting", ["pointer", "u32"]), destructor("a method", ["pointer"])];
  for (const [abi, methods] of [[ITANIUM, itanium], [MICROSOFT, microsoft]] as const) {
    using object = new CallbackObject(methods, abi);
    const calls = new VirtualCalls(SIGNATURES, () => undefined, abi);
    calls.delete(object.pointer);
    await calls.deleteAsync(object.pointer);
  }
  assert.deepEqual(heard, [["deleting"], ["deleting"], ["deleting", 1], ["deleting", 1]]);
});

Deno.test("interfaceMethods() has `log` where each ABI and each form of ILogger has it", () => {
  const log: CallbackMethod = { parameters: ["i32", "pointer"], result: "void", run: () => {} };
  const slotsOf = (slot: number, abi: CppAbi) =>
    interfaceMethods("ILogger", slot, [log], abi).map(({ parameters }) => parameters.length === 3);
  assert.deepEqual(slotsOf(4, ITANIUM), [false, false, false, false, true]);
  assert.deepEqual(slotsOf(4, MICROSOFT), [false, false, false, true]);
  assert.deepEqual(slotsOf(0, ITANIUM), [true, false, false]);
  assert.deepEqual(slotsOf(0, MICROSOFT), [true, false]);
});

Deno.test("An interface of ours says its kind and version where Microsoft's ABI asks for it", () => {
  using object = new CallbackObject(interfaceMethods("IProgressMonitor", 4, [], MICROSOFT), MICROSOFT);
  const signature = { parameters: ["pointer", "buffer"], result: "pointer" } as const;
  const address = entryOf(object, 1) as Deno.PointerObject<typeof signature>;
  const info = new BigUint64Array(new ArrayBuffer(16));
  new Deno.UnsafeFnPointer(address, signature).call(object.pointer, new Uint8Array(info.buffer));
  assert.equal(Deno.UnsafePointerView.getCString(Deno.UnsafePointer.create(info[0]!)!), "IProgressMonitor");
  assert.equal(info[1], 1n);
});
