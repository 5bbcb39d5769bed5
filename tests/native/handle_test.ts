import assert from "node:assert/strict";
import { NativeError } from "../../native/error.ts";
import { Owner } from "../../native/memory/handle.ts";

class Probe extends Owner {
  readonly #name: string;
  readonly #log: string[];

  constructor(name: string, log: string[], parent?: Owner) {
    super("Probe", parent);
    this.#name = name;
    this.#log = log;
  }

  protected override destroy(): void | Promise<void> {
    this.#log.push(this.#name);
  }
}

Deno.test("Owner destroys children before parents, the youngest first, once", () => {
  const log: string[] = [];
  {
    using parent = new Probe("parent", log);
    new Probe("first", log, parent);
    using second = new Probe("second", log, parent);
    new Probe("grandchild", log, second);
  }
  assert.deepEqual(log, ["grandchild", "second", "first", "parent"]);
});

Deno.test("Owner throws naming its type after disposal", () => {
  const probe = new Probe("probe", []);
  probe[Symbol.dispose]();
  probe[Symbol.dispose]();
  assert.throws(() => probe.assertAlive(), new NativeError("Probe was used after it was disposed"));
  assert.throws(() => new Probe("child", [], probe), NativeError);
});

Deno.test("Owner.hold() puts off destruction, the parents' too", () => {
  const log: string[] = [];
  const parent = new Probe("parent", log);
  const child = new Probe("child", log, parent);
  const held = child.hold();
  parent[Symbol.dispose]();
  assert.deepEqual(log, []);
  assert.equal(child.isDisposed, true);
  held[Symbol.dispose]();
  held[Symbol.dispose]();
  assert.deepEqual(log, ["child", "parent"]);
});

Deno.test("Owner leaves a parent alive when only the child is disposed", () => {
  const log: string[] = [];
  using parent = new Probe("parent", log);
  new Probe("child", log, parent)[Symbol.dispose]();
  assert.deepEqual(log, ["child"]);
  parent.assertAlive();
});

Deno.test("Owner waits for a destruction that takes time before its parents'", async () => {
  const log: string[] = [];
  class Slow extends Probe {
    protected override async destroy(): Promise<void> {
      await Promise.resolve();
      super.destroy();
    }
  }
  const parent = new Probe("parent", log);
  {
    await using _child = new Slow("child", log, parent);
  }
  assert.deepEqual(log, ["child"]);
  new Slow("second", log, parent);
  const ending = parent[Symbol.asyncDispose]();
  assert.deepEqual(log, ["child"]);
  await ending;
  assert.deepEqual(log, ["child", "second", "parent"]);
});

Deno.test("Owner ends its parent where its own destruction fails, and tells whoever waits", async () => {
  const log: string[] = [];
  class Failing extends Probe {
    protected override async destroy(): Promise<void> {
      await Promise.resolve();
      throw new NativeError("the destructor's own");
    }
  }
  const parent = new Probe("parent", log);
  const child = new Failing("child", log, parent);
  // Not waited for: a rejection nobody handles would end the test run.
  await parent[Symbol.asyncDispose]();
  assert.deepEqual(log, ["parent"]);
  await new Promise((resolve) => setTimeout(resolve));
  await assert.rejects(child[Symbol.asyncDispose](), new NativeError("the destructor's own"));
});

Deno.test("Owner.assertUnused() throws while the owner is held", () => {
  const probe = new Probe("probe", []);
  probe.assertUnused();
  const held = [probe.hold(), probe.hold()];
  held[0]![Symbol.dispose]();
  assert.throws(
    () => probe.assertUnused(),
    new NativeError(
      "Probe cannot be changed while a call that uses it is running; wait for that call to end",
    ),
  );
  held[1]![Symbol.dispose]();
  probe.assertUnused();
  probe[Symbol.dispose]();
  assert.throws(() => probe.assertUnused(), new NativeError("Probe was used after it was disposed"));
});
