import assert from "node:assert/strict";
import { type BuildEvent, line, type Stage } from "../../src/compile/line.ts";
import type { Meter } from "../../src/compile/meter.ts";

type First = { readonly first: number };
type Second = { readonly second: string };

const first: Stage<object, First> = { name: "describe", says: () => "counting", run: () => ({ first: 2 }) };
const second: Stage<First, Second> = {
  name: "compare",
  says: ({ first }) => `telling of ${first}`,
  run: ({ first }) => Promise.resolve({ second: "x".repeat(first) }),
};

Deno.test("a line hands each stage what the ones before have made, and tells of each", async () => {
  const events: BuildEvent[] = [];
  const made = await line<{ readonly given: true }>().add(first).add(second).run({ given: true }, {
    onEvent: (event) => events.push(event),
  });
  assert.deepEqual(made, { given: true, first: 2, second: "xx" });
  assert.deepEqual(events, [{ kind: "step", text: "counting" }, { kind: "step", text: "telling of 2" }]);
});

Deno.test("a stage before what it needs does not compile", () => {
  // @ts-expect-error: nothing has made `first`
  line<object>().add(second);
});

Deno.test("a stage that has nothing to do is not told of, and leaves what is said for that", async () => {
  const events: BuildEvent[] = [];
  const never: Stage<First, Second> = {
    name: "round",
    says: () => "never",
    when: ({ first }) => first > 2,
    otherwise: { second: "none" },
    run: () => assert.fail("it ran"),
  };
  const made = await line<object>().add(first).add(never).run({}, { onEvent: (event) => events.push(event) });
  assert.equal(made.second, "none");
  assert.equal(events.length, 1);
});

Deno.test("stages that are called as a phase are metered as it, for the network they work on", async () => {
  const unmetered: Stage<object, object> = { name: "elsewhere", run: () => ({}) };
  const part = line<First>().add(second);
  const each: Stage<First, object> = {
    name: "each",
    run: (made, context) => part.within(made, { ...context, network: "un" }),
  };
  let meter: Meter | undefined;
  const last: Stage<object, object> = { name: "last", run: (_, context) => ((meter = context.meter), {}) };
  await line<object>().add(first).add(unmetered).add(each).add(last).run({});
  assert.deepEqual(meter?.phases().map(({ phase, network }) => [phase, network]), [
    ["describe", null],
    ["compare", "un"],
  ]);
});

Deno.test("a line puts away what stages opened, last first, whether it ends, fails or is ended", async () => {
  for (const end of ["well", "badly", "ended"] as const) {
    const log: string[] = [];
    const opens = (name: string): Stage<object, object> => ({
      name,
      run: async (_, { keep }) => {
        await keep(() => {
          log.push(`opened ${name}`);
          return Promise.resolve({
            [Symbol.asyncDispose]: async () => void await log.push(`closed ${name}`),
          });
        });
        return {};
      },
    });
    const controller = new AbortController();
    const ends: Stage<object, object> = {
      name: "ends",
      run: () => {
        if (end === "badly") throw new Error("badly");
        // As Ctrl-C does, while a stage computes.
        if (end === "ended") setTimeout(() => controller.abort(new Error("ended")));
        return {};
      },
    };
    const after: Stage<object, object> = { name: "after", run: () => ((log.push("after")), {}) };
    const run = line<object>().add(opens("a")).add(opens("b")).add(ends).add(after).run({}, {
      onWork: () => log.push("work"),
      signal: controller.signal,
    });
    if (end === "well") await run;
    else await assert.rejects(run, { message: end });
    assert.deepEqual(log, [
      "work",
      "opened a",
      "work",
      "opened b",
      ...end === "well" ? ["after"] : [],
      "closed b",
      "closed a",
    ]);
  }
});
