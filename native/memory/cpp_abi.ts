/**
 * The two C++ ABIs of 64-bit machines as data, as far as virtual methods depend on them: Itanium's, which
 * Linux has on each of its processors, and Microsoft's, which Windows has. Objects (vtable first, members
 * behind), scalars and structs that are passed are alike in both, or libffi's matter; so is everything that
 * is no method.
 */

export interface CppAbi {
  readonly name: "Itanium" | "Microsoft";
  /** Entries of a virtual destructor in a vtable, where the class declares it. */
  readonly destructorSlots: number;
  /** Which of them also frees the memory, and the `unsigned` flags it takes behind the object. */
  readonly deleting: { readonly slot: number; readonly flags: readonly number[] };
  /** Where the caller wants a returned struct: as for a C function, or in an argument behind `this`. */
  readonly structResult: "as in C" | "behind this";
  /** Methods of one name in a vtable: each where declared, or all at the first's place, the last in front. */
  readonly overloads: "as declared" | "grouped in reverse";
}

/** Complete and deleting destructor (Itanium C++ ABI, 2.5.2). */
export const ITANIUM: CppAbi = {
  name: "Itanium",
  destructorSlots: 2,
  deleting: { slot: 1, flags: [] },
  structResult: "as in C",
  overloads: "as declared",
};

/** One destructor, which frees memory if bit 0 of its argument is set; any returned struct follows `this`. */
export const MICROSOFT: CppAbi = {
  name: "Microsoft",
  destructorSlots: 1,
  deleting: { slot: 0, flags: [1] },
  structResult: "behind this",
  overloads: "grouped in reverse",
};

export const THIS_ABI: CppAbi = Deno.build.os === "windows" ? MICROSOFT : ITANIUM;

/**
 * The slot of the first method called `name` in a class that declares its destructor and then `methods`, in
 * this order; `undefined` where it has none. `null` is a method whose name is not known.
 */
export function slotOf(name: string, methods: readonly (string | null)[], abi: CppAbi): number | undefined {
  const first = methods.indexOf(name);
  if (first < 0) return undefined;
  if (abi.overloads === "as declared") return abi.destructorSlots + first;
  const inFront = methods.filter((method, index) =>
    (method === null ? index : methods.indexOf(method)) <= first
  );
  return abi.destructorSlots + inFront.length - 1;
}

type Struct = Extract<Deno.NativeResultType, { readonly struct: unknown }>;

/** The struct that a method returns through an argument behind `this`, if it does. */
export function structBehindThis(result: Deno.NativeResultType, abi: CppAbi): Struct | undefined {
  return abi.structResult === "behind this" && typeof result === "object" ? result as Struct : undefined;
}

// deno-fmt-ignore
const SCALAR_BYTES: Readonly<Record<string, number>> = {
  bool: 1, i8: 1, u8: 1, i16: 2, u16: 2, i32: 4, u32: 4, f32: 4,
};
const WORD_BYTES = 8;

/** The size of a struct of scalars, each aligned to its own size and the whole to its largest. */
export function structBytes({ struct }: Struct): number {
  const sizes = struct.map((type) => SCALAR_BYTES[type as string] ?? WORD_BYTES);
  const aligned = (end: number, size: number) => Math.ceil(end / size) * size;
  return aligned(sizes.reduce((end, size) => aligned(end, size) + size, 0), Math.max(...sizes));
}
