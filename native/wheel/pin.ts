/**
 * A pinned wheel: a file of a Python package index known to the byte, and the files kept out of it. It is
 * data only, written down once by whoever looked at the wheel; hashes of the wheel are those the index
 * publishes, hashes of its members those of the files in it. (A wheel's RECORD states them, too, but of
 * NVIDIA's DLLs from before they were signed.)
 */

/** A file kept from a wheel. */
export interface PinnedMember {
  /** Path inside the wheel, with "/". */
  readonly path: string;
  /** Name in the cache folder. */
  readonly fileName: string;
  /** Its size. */
  readonly byteLength: number;
  /** In lower-case hexadecimal. */
  readonly sha256: string;
}

/** A wheel, known to the byte. */
export interface WheelPin {
  /** The package's name as the index spells it in addresses. */
  readonly packageName: string;
  /** The package's version. */
  readonly packageVersion: string;
  /** The wheel. */
  readonly fileName: string;
  /** Its size. */
  readonly byteLength: number;
  /** In lower-case hexadecimal. */
  readonly sha256: string;
  /** The folder of UNfold's cache that the kept files go to; another version is another folder. */
  readonly folder: string;
  /** The files that are kept. */
  readonly members: readonly PinnedMember[];
}

/** A file kept from a wheel of a shared library, and what it is for. */
export interface LibraryMember extends PinnedMember {
  readonly role: "library" | "licence";
}

/** The wheel in which a shared library is published for one platform. */
export interface LibraryPin extends WheelPin {
  /** "linux-x86_64": Deno's words for system and processor. */
  readonly platform: string;
  readonly members: readonly LibraryMember[];
}

/** A release of a package that publishes a shared library. */
export interface LibraryRelease {
  readonly packageName: string;
  readonly packageVersion: string;
  /** What the folders in the cache are called, before version and platform. */
  readonly folderName: string;
}

/** One wheel of a release. */
export interface LibraryWheel {
  readonly platform: string;
  /** The last part of the wheel's name, behind "py3-none-". */
  readonly tag: string;
  readonly byteLength: number;
  readonly sha256: string;
  readonly library: PinnedFile;
  readonly licence: PinnedFile;
}

/** A file kept under its own name. */
export type PinnedFile = Omit<PinnedMember, "fileName">;

/** The pins of a release, one for each wheel. */
export function pinsOf(release: LibraryRelease, wheels: readonly LibraryWheel[]): readonly LibraryPin[] {
  const { packageName, packageVersion, folderName } = release;
  const kept = (role: LibraryMember["role"], file: PinnedFile): LibraryMember => ({
    ...file,
    role,
    fileName: file.path.slice(file.path.lastIndexOf("/") + 1),
  });
  return wheels.map(({ platform, tag, byteLength, sha256, library, licence }) => ({
    platform,
    packageName,
    packageVersion,
    fileName: `${packageName.replaceAll("-", "_")}-${packageVersion}-py3-none-${tag}.whl`,
    byteLength,
    sha256,
    folder: `${folderName}-${packageVersion}-${platform}`,
    members: [kept("library", library), kept("licence", licence)],
  }));
}

/** The name, inside the cache folder, of the library that a pin is for. */
export function libraryName({ members, fileName }: LibraryPin): string {
  const library = members.find(({ role }) => role === "library");
  if (library === undefined) throw new Error(`the pin of ${fileName} names no library`);
  return library.fileName;
}
