import assert from "node:assert/strict";
import { join } from "node:path";
import { NativeError } from "../../native/error.ts";
import { openLibrary } from "../../native/memory/library.ts";
import { elf, pe } from "./support.ts";

const OPTIONS = {
  symbols: { noSuchFunction: { parameters: [], result: "void" } },
  what: "the library",
  advice: "Choose another",
} as const;

/** The message with which a file of these bytes is refused. */
function refusalOf(bytes: Uint8Array): string {
  const folder = Deno.makeTempDirSync();
  try {
    const path = join(folder, "libx.so");
    Deno.writeFileSync(path, bytes);
    return refusalAt(path).replace(path, "PATH");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function refusalAt(path: string): string {
  try {
    openLibrary(path, OPTIONS).close();
  } catch (error) {
    if (error instanceof NativeError) return error.message;
    throw error;
  }
  return assert.fail("the library was opened");
}

const ignore = Deno.build.os !== "linux";
const isWindows = Deno.build.os === "windows";

Deno.test({ name: "openLibrary() says that a file is no library", ignore }, () => {
  assert.equal(
    refusalOf(new TextEncoder().encode("#!/bin/sh\necho this is a script\n")),
    "cannot load the library from PATH: it is not a shared library (no ELF header). Choose another",
  );
  assert.match(refusalOf(new Uint8Array(0)), /not a shared library/);
});

Deno.test({ name: "openLibrary() names the processor a library was built for", ignore }, () => {
  const foreign = Deno.build.arch === "x86_64" ? 183 : 62;
  assert.match(
    refusalOf(elf({ machine: foreign })),
    /it is built for (aarch64|x86_64) \(64-bit\), this process is /,
  );
  assert.match(refusalOf(elf({ machine: 3, bits: 32 })), /it is built for x86 \(32-bit\)/);
});

Deno.test({ name: "openLibrary() passes on the loader's reason for a damaged library", ignore }, () => {
  const own = Deno.build.arch === "x86_64" ? 62 : 183;
  assert.match(refusalOf(elf({ machine: own })), /^cannot load the library from PATH: .+\. Choose another$/);
});

Deno.test("openLibrary() says that a file is missing or a folder", () => {
  assert.match(refusalAt("/nonexistent/libx.so"), /there is no such file/);
  assert.match(refusalAt(import.meta.dirname!), /it is a directory/);
});

Deno.test({ name: "openLibrary() names a missing symbol", ignore }, () => {
  assert.match(refusalAt("libc.so.6"), /the library has no symbol noSuchFunction/);
});

Deno.test({ name: "openLibrary() says what is wrong with a DLL", ignore: !isWindows }, () => {
  assert.equal(
    refusalOf(new TextEncoder().encode("#!/bin/sh\necho this is a script\n")),
    "cannot load the library from PATH: it is not a DLL (no PE header). Choose another",
  );
  assert.match(
    refusalOf(pe({ machine: 0xaa64 })),
    /it is built for aarch64 \(64-bit\), this process is x86_64/,
  );
  assert.match(refusalOf(pe()), /^cannot load the library from PATH: .+\. Choose another$/);
  assert.match(refusalAt("kernel32.dll"), /the library has no symbol noSuchFunction/);
  assert.match(
    refusalAt("no_such_library.dll"),
    /the system's loader does not find it, or a library that it needs/,
  );
});
