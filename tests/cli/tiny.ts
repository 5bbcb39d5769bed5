/** The small model that commands are given in tests, as the script that a user writes. */
export const MODEL = `
import { block, float, linear, model, norm, unifiedNorm } from ${
  JSON.stringify(import.meta.resolve("../../mod.ts"))
};
export default model({
  name: "tiny",
  inputs: { tokens: float(["B", 4, 8]) },
  norm: unifiedNorm(),
  forward({ tokens }, p) {
    const x = block(tokens, p.at("block"), { heads: 2, mlp: { hidden: 16 } });
    return linear(norm(x, p.at("norm")).mean({ axes: [1] }), p.at("head"), { outputs: 3 });
  },
});
`;
