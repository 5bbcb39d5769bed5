import assert from "node:assert/strict";
import { cString, foreignBytes, isObject, pin, stringAt } from "../../native/memory/memory.ts";
import { refusal } from "./support.ts";

Deno.test("cString() and stringAt() keep text, and refuse an embedded zero", () => {
  const text = cString("Größe λ");
  assert.equal(stringAt(Deno.UnsafePointer.of(text)), "Größe λ");
  assert.equal(stringAt(null), "");
  assert.throws(
    () => cString("a\0b", "a layer's name"),
    refusal(/a layer's name contains a zero byte: "a\\u0000b"/),
  );
});

Deno.test("isObject() tells an object's address from null, the first pages' and a misaligned one", () => {
  const at = (address: bigint) => Deno.UnsafePointer.create(address);
  const object = Deno.UnsafePointer.of(new BigUint64Array(new ArrayBuffer(8)));
  assert.equal(isObject(object), true);
  for (const pointer of [null, at(0x228n), at(0xfff8n), at(Deno.UnsafePointer.value(object) + 4n)]) {
    assert.equal(isObject(pointer), false);
  }
});

Deno.test("stringAt() replaces bytes that are not UTF-8", () => {
  const bytes = new Uint8Array(new ArrayBuffer(4));
  bytes.set([0x61, 0xff, 0x62]);
  assert.equal(stringAt(Deno.UnsafePointer.of(bytes)), "a\ufffdb");
});

Deno.test("pin() gives the address the bytes stay at, aligned where asked", () => {
  const small = Uint8Array.of(1, 2, 3, 4);
  const pinned = pin(small);
  assert.equal(pinned.alive, small);
  assert.equal(pinned.address, Deno.UnsafePointer.value(pinned.pointer));
  assert.equal(new Deno.UnsafePointerView(pinned.pointer!).getUint32(), 0x04030201);

  const odd = new Uint8Array(new ArrayBuffer(17), 1).fill(7);
  const aligned = pin(odd, 8);
  assert.equal(aligned.address % 8n, 0n);
  assert.deepEqual(aligned.alive, odd);
  assert.equal(pin(new Uint8Array(0)).address, 0n);
});

Deno.test("foreignBytes() is a view that becomes empty when detached", () => {
  const owned = Uint8Array.of(5, 6, 7);
  void owned.buffer;
  const foreign = foreignBytes(Deno.UnsafePointer.of(owned)!, 3);
  owned[0] = 9;
  assert.deepEqual([...foreign.bytes], [9, 6, 7]);
  foreign.detach();
  assert.equal(foreign.bytes.length, 0);
  assert.deepEqual([...owned], [9, 6, 7]);
});
