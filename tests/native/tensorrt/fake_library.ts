/** A fake wheel as the pin of a library: what each of its members is for. */
import type { LibraryPin } from "../../../native/wheel/pin.ts";
import { fakeWheel } from "../wheel/fake_wheel.ts";

export interface FakeLibrary {
  readonly pin: LibraryPin;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A wheel out of which a library, TensorRT's unless told otherwise, and a text are kept. */
export function fakeLibrary({ kept = "libtensorrt_rtx.so.1.7.1" } = {}): FakeLibrary {
  const { pin, bytes } = fakeWheel();
  const [library, licence] = [kept, "README.txt"].map((name) =>
    pin.members.find(({ fileName }) => fileName === name)!
  );
  const members = [{ ...library!, role: "library" }, { ...licence!, role: "licence" }] as const;
  return { pin: { ...pin, platform: "linux-x86_64", members }, bytes };
}
