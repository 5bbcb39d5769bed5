/** The module of a network that a node comes from, as the exporters of PyTorch tell it. */
import type { NodeProto } from "./proto.ts";

const NAME_SCOPES = "pkg.torch.onnx.name_scopes";

/**
 * "blocks.0.attn"; "" where the node does not say, or is of the network itself.
 *
 * @param node with metadata as of `torch.export`, a Python list of the modules from the outermost on and the
 * node's own name, or with a name as of TorchScript: "/blocks/blocks.0/attn/MatMul_1"
 */
export function scopeOf({ name, metadataProps }: Pick<NodeProto, "name" | "metadataProps">): string {
  const scopes = metadataProps.find(({ key }) => key === NAME_SCOPES)?.value;
  if (scopes !== undefined) {
    const names = [...scopes.matchAll(/'([^'\\]*)'|"([^"\\]*)"/g)].map(([, one, other]) => one ?? other!);
    const scope = names.at(-2) ?? "";
    // A module that is called again has the number of the call behind it.
    return scope.startsWith("_") ? "" : scope.replaceAll(/@\d+/g, "");
  }
  if (!name.startsWith("/")) return "";
  return name.slice(1).split("/").slice(0, -1).reduce<string[]>((path, part) => {
    // A Sequential is on the path as itself and as the beginning of its part's name.
    const isPart = path.length > 0 && part.startsWith(`${path.at(-1)}.`);
    return isPart ? [...path.slice(0, -1), part] : [...path, part];
  }, []).join(".");
}
