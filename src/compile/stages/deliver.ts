/** Moves the files to where the user wants them; a Triton repository gets the folded network's engine. */
import { join } from "node:path";
import { writeTritonModel } from "../../emit/triton.ts";
import { profilesOf } from "../batch.ts";
import type { Stage } from "../line.ts";
import type { Has } from "../known.ts";

/** The last of a line: what it has moved is the user's. */
export const deliver: Stage<Has<"order" | "networks" | "work" | "emitted">, object> = {
  name: "deliver",
  run: async ({ order, work, networks: [{ norm, network }], emitted: [{ engine }] }) => {
    await work.deliver();
    const { model, batch, out, triton } = order;
    if (triton === undefined || engine === null) return {};
    await writeTritonModel(network.graph, triton, {
      name: model.name,
      profiles: profilesOf(batch, model.dims ?? {}),
      plan: join(out, `${norm.family}.plan`),
    });
    return {};
  },
};
