import assert from "node:assert/strict";
import { NativeError } from "../../native/error.ts";
import { CallbackObject, VirtualCalls } from "../../native/memory/vtable.ts";

const SIGNATURES = {
  "IShape.area": { parameters: ["pointer", "f64", "i32"], result: "f64" },
  "IShape.missing": { parameters: ["pointer"], result: "void" },
} as const;

/** What C++ would hand out: a shell `[vtable, implementation]` around the callback object. */
function shellOf(implementation: Deno.PointerObject): Deno.PointerObject {
  const words = new BigUint64Array(new ArrayBuffer(16));
  words[1] = Deno.UnsafePointer.value(implementation);
  SHELLS.push(words);
  return Deno.UnsafePointer.of(words)!;
}
const SHELLS: BigUint64Array[] = [];

const calls = new VirtualCalls(
  SIGNATURES,
  (method) => method === "IShape.area" ? { offset: 8, slot: 2 } : undefined,
);

Deno.test("VirtualCalls calls the slot of a CallbackObject with the implementation as receiver", async () => {
  const seen: unknown[] = [];
  const unused = { parameters: ["pointer"], result: "void", run: () => assert.fail("wrong slot") } as const;
  using object = new CallbackObject<"IShape">([unused, unused, {
    parameters: ["pointer", "f64", "i32"],
    result: "f64",
    run: (self: Deno.PointerValue, width: number, count: number) => {
      seen.push(Deno.UnsafePointer.equals(self, object.pointer));
      return width * count;
    },
  }]);
  const shell = shellOf(object.pointer);
  assert.equal(calls.call("IShape.area", shell, 1.5, 4), 6);
  assert.equal(await calls.callAsync("IShape.area", shell, 2.5, 4), 10);
  assert.deepEqual(seen, [true, true]);
});

Deno.test("CallbackObject answers C++ with `onThrow` when a callback throws", () => {
  const throwing = {
    parameters: ["pointer", "f64", "i32"],
    result: "f64",
    onThrow: -1,
    run: () => {
      throw new Error("not into C++");
    },
  } as const;
  using object = new CallbackObject<"IShape">([throwing, throwing, throwing]);
  assert.equal(calls.call("IShape.area", shellOf(object.pointer), 1, 1), -1);
});

Deno.test("VirtualCalls refuses what it does not know and null objects", () => {
  const words = new BigUint64Array(new ArrayBuffer(16));
  const pointer = Deno.UnsafePointer.of(words)!;
  assert.equal(calls.has("IShape.area"), true);
  assert.equal(calls.has("IShape.missing"), false);
  assert.throws(
    () => calls.call("IShape.missing", pointer),
    new NativeError("IShape.missing is not known in this version of the library"),
  );
  assert.throws(() => calls.call("IShape.area", null, 1, 1), /IShape\.area was called on a null object/);
  assert.throws(() => calls.call("IShape.area", pointer, 1, 1), /no implementation part/);
});
