/** Two products with an activation between, and the blocks that are made of them and of attention. */
import { float64Of } from "../../ir/data.ts";
import type { Node } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import type { Network } from "../network.ts";
import { commonScope, literal, options, phrase, relative, unless } from "../phrase.ts";
import { attention, isHalf } from "./attention.ts";
import { layerScale, type Linear, linear, norm } from "./layers.ts";
import type { Layer, Reading } from "./word.ts";

interface Activated {
  readonly name: string;
  readonly x: Node;
  readonly within: readonly Node[];
}

/** The number that a constant is in every precision; null of any other node. */
export function numberOf(node: Node | undefined, network: Network): number | null {
  const isNumber = node?.op === "constant" && ["", "1"].includes(node.type.shape.join()) &&
    network.parameterOf(node) === null && !network.isHiding(node);
  return isNumber ? float64Of(dataOf(node))[0]! : null;
}

function activatedOf(node: Node, network: Network): Activated | null {
  const [x, factor] = node.inputs;
  if (node.op === "gelu") {
    return { name: node.attrs.approximate === "tanh" ? "gelu_tanh" : "gelu", x: x!, within: [] };
  }
  if (node.op === "relu" || node.op === "silu") return { name: node.op, x: x!, within: [] };
  const scaled = x?.inputs[0];
  if (node.op !== "mul" || x?.op !== "silu" || scaled?.op !== "mul") return null;
  const isQuick = numberOf(scaled.inputs[1], network) === 1.702 && numberOf(factor, network) === 1 / 1.702;
  return isQuick ? { name: "quick_gelu", x: scaled.inputs[0]!, within: [x, scaled] } : null;
}

/** What stands between the products of an MLP: the first, and how its values come to the second. */
interface Inner {
  readonly first: Linear;
  /** The other product, or which half of the first is the gate. */
  readonly gate?: Linear | "first" | "last";
  readonly products: readonly Linear[];
  readonly activation: string;
  readonly within: readonly Node[];
}

function innerOf(node: Node, network: Network): Inner | null {
  const product = (node: Node) => {
    const found = linear(node, network);
    return found === null || !found.isPlain ? null : found;
  };
  const act = activatedOf(node, network);
  if (act !== null) {
    const first = product(act.x);
    return first && { first, products: [first], activation: act.name, within: [node, ...act.within, act.x] };
  }
  if (node.op !== "mul") return null;
  const [left, right] = node.inputs as [Node, Node];
  const acts = [activatedOf(left, network), activatedOf(right, network)];
  const last = acts[0] === null && acts[1] !== null;
  const gated = acts[last ? 1 : 0];
  if (!gated) return null;
  const [gateNode, valueNode] = [gated.x, last ? left : right];
  const within = [node, last ? right : left, ...gated.within, gateNode, valueNode];
  const [gate, value] = [product(gateNode), product(valueNode)];
  if (gate !== null && value !== null && !last && gate.x === value.x) {
    return { first: value, gate, products: [value, gate], activation: gated.name, within };
  }
  const packed = gateNode.inputs[0];
  const [lower, upper] = last ? [valueNode, gateNode] : [gateNode, valueNode];
  const isHalves = isHalf(lower, "lower") && isHalf(upper, "upper") && packed === valueNode.inputs[0];
  const first = isHalves ? product(packed!) : null;
  return first && {
    first,
    gate: last ? "last" : "first",
    products: [first],
    activation: gated.name,
    within: [...within, packed!],
  };
}

export const mlp: Reading<Layer> = (node, network) => {
  const out = linear(node, network);
  const inner = out === null || !out.isPlain ? null : innerOf(out.x, network);
  if (out === null || inner === null) return null;
  const { first, products, activation, gate, within } = inner;
  const { x } = first;
  const all = [...products, out];
  if (node.type.shape.at(-1) !== x.type.shape.at(-1) || all.some(({ bias }) => bias !== out.bias)) {
    return null;
  }
  const scope = commonScope(all.map(({ scope }) => scope));
  const names = [first, out].map((product) => relative(scope, product.scope));
  if (names.includes("")) return null;
  const settings = {
    hidden: [literal(out.x.type.shape.at(-1))],
    activation: unless("gelu", activation),
    names: unless(["fc1", "fc2"], names),
    gate: gate && [typeof gate === "string" ? `{ half: "${gate}" }` : literal(relative(scope, gate.scope))],
    bias: unless(true, out.bias),
  };
  return {
    phrase: phrase`mlp(${{ node: x }}, ${{ scope }}${options(settings)})`,
    imports: ["mlp"],
    within,
    x,
    scope,
    settings,
  };
};

/** Whether a layer is told nothing besides its scope. */
const isBare = ({ settings = {} }: Layer) => Object.values(settings).every((value) => value === undefined);

/** `x + f(norm(x))` by its parts, or `x + scale f(norm(x))`. */
function sublayer(node: Node, f: Reading<Layer>, network: Network) {
  const [x, branch] = node.inputs;
  if (node.op !== "add" || branch === undefined) return null;
  const scaled = layerScale(branch, network);
  const root = scaled?.x ?? branch;
  const inner = f(root, network);
  const normed = inner === null ? null : norm(inner.x, network);
  if (
    inner === null || normed === null || normed.x !== x || !isBare(normed) ||
    (scaled !== null && !isBare(scaled))
  ) return null;
  const within = [...(scaled === null ? [] : [branch]), root, ...inner.within, inner.x, ...normed.within];
  return { x, inner, normed, scaled, within };
}

export const block: Reading = (node, network) => {
  const second = sublayer(node, mlp, network);
  const first = second === null ? null : sublayer(second.x, attention, network);
  if (first === null || second === null) return null;
  const scope = first.normed.scope.replace(/\.?norm1$/, "");
  const own = (name: string) => `${scope}.${name}`;
  const hasScale = first.scaled !== null;
  const isBlock = scope !== "" && first.normed.scope === own("norm1") && first.inner.scope === own("attn") &&
    second.normed.scope === own("norm2") && second.inner.scope === own("mlp") &&
    hasScale === (second.scaled !== null) &&
    (!hasScale || (first.scaled!.scope === own("ls1") && second.scaled!.scope === own("ls2"))) &&
    first.inner.settings!.memory === undefined;
  if (!isBlock) return null;
  const inner = phrase`{ ${options(second.inner.settings!).slice(1, -1)} }`;
  const settings = options({
    ...first.inner.settings,
    mlp: inner,
    layerScale: unless(false, hasScale),
  });
  return {
    phrase: phrase`block(${{ node: first.x }}, ${{ scope }}${settings})`,
    imports: ["block"],
    within: [second.x, ...first.within, ...second.within],
  };
};
