/**
 * Layouts as the release history of their implementation tables: what each minor version changed, one record
 * each. A new minor version is a record in its major version's file. Patch releases are taken to keep their
 * minor version's slots, as those of Enterprise with a tag of their own do (10.0.0 and 10.0.1; 10.13.0, .2
 * and .3).
 */
import { NativeError } from "../../error.ts";
import type { Flavour, Layout } from "./layout.ts";

type Interfaces = Layout["interfaces"];

/** What a minor version changed in the tables before it; method names by interface, separated by blanks. */
export interface Release {
  readonly minor: number;
  /** Whether UNfold's own tests run it; default: it was only compared with NVIDIA's headers. */
  readonly exercised?: boolean;
  /** Methods that went away, the last of their name where there are overloads; what followed moved up. */
  readonly removed?: Readonly<Record<string, string>>;
  /** Methods put in front of another; that one and what followed moved down. */
  readonly inserted?: Readonly<Record<string, { readonly methods: string; readonly before: string }>>;
  /** Methods added behind the others; an interface that is new has all of its methods here. */
  readonly appended?: Readonly<Record<string, string>>;
}

/**
 * One layout per release of a major version, each built from the one before.
 *
 * @throws NativeError if a release names a method that is not there.
 */
export function layoutsFromReleases(
  releases: readonly Release[],
  common: {
    readonly flavour: Flavour;
    readonly major: number;
    readonly loggerSlot: number;
    readonly progressSlot: number;
    /** Tables before the first release. */
    readonly from: Interfaces;
  },
): readonly Layout[] {
  const { flavour, major, loggerSlot, progressSlot } = common;
  let interfaces = common.from;
  return releases.map((release) => {
    interfaces = changed(interfaces, release);
    // NV_TENSORRT_VERSION_INT of NvInferRuntimeBase.h, 10.0 and RTX 1.0 and later.
    const first = major * 10000 + release.minor * 100;
    return {
      flavour,
      version: `${major}.${release.minor}`,
      libVersions: [first, first + 99],
      exercised: release.exercised ?? false,
      loggerSlot,
      progressSlot,
      interfaces,
    };
  });
}

function changed(
  interfaces: Interfaces,
  { minor, removed = {}, inserted = {}, appended = {} }: Release,
): Interfaces {
  const tables: Record<string, readonly (string | null)[]> = { ...interfaces };
  const splice = (name: string, method: string, change: { drop: number; add: readonly string[] }) => {
    const index = tables[name]?.lastIndexOf(method) ?? -1;
    if (index < 0) throw new NativeError(`release .${minor} names ${name}::${method}, which is not there`);
    tables[name] = tables[name]!.toSpliced(index, change.drop, ...change.add);
  };
  for (const [name, methods] of Object.entries(removed)) {
    for (const method of words(methods)) splice(name, method, { drop: 1, add: [] });
  }
  for (const [name, { methods, before }] of Object.entries(inserted)) {
    splice(name, before, { drop: 0, add: words(methods) });
  }
  for (const [name, methods] of Object.entries(appended)) {
    tables[name] = [...tables[name] ?? [], ...words(methods)];
  }
  return tables;
}

function words(text: string): string[] {
  return text.match(/\w+/g) ?? [];
}
