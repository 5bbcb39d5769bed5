/** The TensorRT library that the order names, else one that is there, else downloaded. */
import { locateLibrary } from "../../emit/tensorrt.ts";
import type { Stage } from "../line.ts";
import type { Has } from "../known.ts";
import type { Order } from "../order.ts";

export const locate: Stage<{ readonly order: Pick<Order, "tensorrtLib" | "skip"> }, Has<"library">> = {
  name: "locate",
  says: () => "finding TensorRT",
  when: ({ order: { skip = [] } }) => !skip.includes("engine"),
  otherwise: { library: null },
  run: async ({ order: { tensorrtLib } }, { onEvent, signal }) => ({
    library: await locateLibrary({
      flag: tensorrtLib,
      signal,
      onProgress: ({ phase, doneBytes, totalBytes }) =>
        onEvent?.({
          kind: "progress",
          text: phase === "download" ? "downloading TensorRT, once" : "unpacking TensorRT",
          done: doneBytes,
          total: totalBytes,
        }),
    }),
  }),
};
