/** The folder that a build works in; from here on there is something to clean up. */
import type { Stage } from "../line.ts";
import type { Has } from "../known.ts";
import { Workshop } from "../workshop.ts";

export const open: Stage<Has<"order">, Has<"work">> = {
  name: "open",
  run: async ({ order: { out, opset } }, { keep }) => ({
    work: await keep(() => Workshop.open(out, { opset })),
  }),
};
