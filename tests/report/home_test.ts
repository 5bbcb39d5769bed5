import assert from "node:assert/strict";
import { fromHome, withoutHome } from "../../src/report/home.ts";

Deno.test("withoutHome() has ~ for the home in every text, and leaves all else", () => {
  const value = {
    path: "/home/ann/m/un.plan",
    origin: 'tensor "x" of /home/ann/a.pth, else file:///home/ann/b',
    others: ["/home/anna/x", "/mnt/home/ann/x", "/home/ann.old", "/home/ann"],
    samples: [1, 2],
    none: null,
    deep: [{ "a": "(/home/ann/x)" }],
  };
  assert.deepEqual(withoutHome(value, "/home/ann"), {
    path: "~/m/un.plan",
    origin: 'tensor "x" of ~/a.pth, else file://~/b',
    others: ["/home/anna/x", "/mnt/home/ann/x", "/home/ann.old", "~"],
    samples: [1, 2],
    none: null,
    deep: [{ "a": "(~/x)" }],
  });
  assert.equal(withoutHome("C:\\Users\\ann\\m\\un.plan", "C:\\Users\\ann"), "~\\m\\un.plan");
});

Deno.test("fromHome() opens what withoutHome() wrote", () => {
  assert.equal(fromHome("~/m/un.plan", "/home/ann"), "/home/ann/m/un.plan");
  assert.equal(fromHome("~m/un.plan", "/home/ann"), "~m/un.plan");
  assert.equal(fromHome("m/~/un.plan", "/home/ann"), "m/~/un.plan");
});
