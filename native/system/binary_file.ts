/**
 * What the first bytes of a file say about whether it can be a shared library of a system and a processor:
 * ELF on Linux, PE on Windows. Leaves out everything that only loading it would tell.
 */
import { type Platform, THIS_PLATFORM } from "./environment.ts";

/** As many bytes of a file as are looked at; linkers put PE's header well inside of them. */
export const HEAD_BYTES = 1024;

/** ELF's e_machine (elf.h) and PE's Machine (winnt.h). */
const ELF_MACHINES: Readonly<Record<number, string>> = { 3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64" };
const PE_MACHINES: Readonly<Record<number, string>> = {
  0x14c: "x86",
  0x1c4: "arm",
  0x8664: "x86_64",
  0xaa64: "aarch64",
};

/** Why a file beginning with `head` is no shared library for `platform`, after "it is"; else `undefined`. */
export function binaryProblem(head: Uint8Array, platform: Platform): string | undefined {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const read = platform.os === "windows" ? readPe : platform.os === "linux" ? readElf : undefined;
  if (read === undefined) return undefined;
  const machine = read(view);
  if (typeof machine === "string") return machine;
  if (machine === undefined || machine.name === platform.arch) return undefined;
  return `built for ${machine.name} (${machine.bits}-bit), this process is ${platform.arch}`;
}

/** Why a file cannot be a shared library of a platform, in a few words; undefined when it can. */
export async function fileProblem(
  path: string,
  platform: Platform = THIS_PLATFORM,
): Promise<string | undefined> {
  const head = new Uint8Array(HEAD_BYTES);
  try {
    using file = await Deno.open(path);
    return binaryProblem(head.subarray(0, await file.read(head) ?? 0), platform);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return "may not be read (--allow-read)";
    if (error instanceof Deno.errors.NotFound) return "does not exist";
    return error instanceof Error ? error.message : String(error);
  }
}

interface Machine {
  readonly name: string;
  readonly bits: 32 | 64;
}

function readElf(view: DataView): Machine | string {
  if (view.byteLength < 20 || view.getUint32(0) !== 0x7f454c46) return "not a shared library (no ELF header)";
  // e_ident[EI_CLASS] 2 is 64-bit; e_machine is at byte 18, little-endian on all supported machines.
  const machine = view.getUint16(18, true);
  return { name: ELF_MACHINES[machine] ?? `machine ${machine}`, bits: view.getUint8(4) === 2 ? 64 : 32 };
}

function readPe(view: DataView): Machine | string | undefined {
  const no = "not a DLL (no PE header)";
  if (view.byteLength < 0x40 || view.getUint16(0) !== 0x4d5a) return no;
  // e_lfanew, at 0x3c, is where "PE\0\0" and the machine behind it are.
  const start = view.getUint32(0x3c, true);
  if (start + 6 > view.byteLength) return view.byteLength < HEAD_BYTES ? no : undefined;
  if (view.getUint32(start) !== 0x50450000) return no;
  const machine = view.getUint16(start + 4, true);
  const name = PE_MACHINES[machine] ?? `machine ${machine}`;
  return { name, bits: name === "x86" || name === "arm" ? 32 : 64 };
}
