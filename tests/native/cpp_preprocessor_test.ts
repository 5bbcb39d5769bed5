import assert from "node:assert/strict";
import { LINUX_MACROS, preprocess } from "../../native/cpp/preprocessor.ts";

/** The lines of `code` that are compiled where VERSION is 12. */
function compiled(code: string): string[] {
  const macros = new Map([...LINUX_MACROS, ["VERSION", "12"]]);
  return preprocess(code, { file: "a.h", macros }).split("\n").map((line) => line.trim()).filter(Boolean);
}

Deno.test("preprocess() blanks comments, keeps strings and counts lines as before", () => {
  const code = `int a; // int b;
/* int c;
   int d; */ int e;
char const* f = "}//\\""; char g = '"'; // '
int h;`;
  const text = preprocess(code, { file: "a.h", macros: new Map() });
  assert.deepEqual(text.split("\n").map((line) => line.trim()), [
    "int a;",
    "",
    "int e;",
    `char const* f = "}//\\""; char g = '"';`,
    "int h;",
  ]);
});

Deno.test("preprocess() compiles conditions as a compiler on Linux would", () => {
  const code = `
#if !STRIPPED_SOMEWHERE
kept
#endif
#ifdef _WIN32
windows
#elif defined(__linux__) && VERSION >= 12
linux12
#else
other
#endif
#if 0
#  if 1
hidden
#  else
hiddenToo
#  endif
#endif
#define SWITCH \\
        (VERSION == 11 || !defined __linux__)
#if SWITCH
not11
#endif
#undef SWITCH
#ifndef SWITCH
undefined
#endif
`;
  assert.deepEqual(compiled(code), ["kept", "linux12", "undefined"]);
});

Deno.test("preprocess() adds to the macros it is given", () => {
  const macros = new Map<string, string>();
  preprocess("#define MAJOR 10\n#define SUM(a, b) ((a) + (b))\n#define EMPTY", { file: "a.h", macros });
  assert.deepEqual(Object.fromEntries(macros), { MAJOR: "10", SUM: "((a) + (b))", EMPTY: "" });
});

Deno.test("preprocess() says where a condition cannot be evaluated", () => {
  assert.throws(() => compiled("\n#if __has_include(<x>)\n#endif"), {
    name: "NativeError",
    message: 'a.h:2: cannot evaluate the condition "__has_include(<x>)"',
  });
  assert.throws(() => compiled("#endif"), { name: "NativeError", message: "a.h:1: #endif without #if" });
});
