/** A fake wheel as the pin of a TensorRT library: what each of its members is for. */
import type { LibraryPin } from "../../../native/tensorrt/pinned.ts";
import { fakeWheel } from "../wheel/fake_wheel.ts";

/** A wheel with a library, a CUDA runtime and a text. */
export function fakeLibrary(): { readonly pin: LibraryPin; readonly bytes: Uint8Array<ArrayBuffer> } {
  const { pin, bytes } = fakeWheel();
  const roles = ["tensorrt", "cudart", "text"] as const;
  const members = pin.members.map((member, i) => ({ ...member, role: roles[i]! }));
  return { pin: { ...pin, version: "1.7.1", platform: "linux-x86_64", members }, bytes };
}
