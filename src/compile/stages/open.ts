/** The folder that a build works in; from here on there is something to clean up. */
import type { Stage } from "../line.ts";
import type { Ordered } from "../order.ts";
import { Workshop } from "../workshop.ts";

export interface Opened {
  readonly work: Workshop;
}

export const open: Stage<Ordered, Opened> = {
  name: "open",
  run: async ({ order: { out, opset } }, { keep }) => ({
    work: await keep(() => Workshop.open(out, { opset })),
  }),
};
