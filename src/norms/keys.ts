/**
 * What tensors say of a family: those that it reads, as it asks for them itself, and those that prove it. A
 * file that does not fit the normalization it is read with is to be read with another one, not with less of
 * it; messages say with which.
 */
import type { Node } from "../ir/graph.ts";
import type { FamilyNorm, NormMaker, NormOptions, Proof } from "./define.ts";
import { FAMILIES, type NormFamily, NORMS } from "./families.ts";

/** One way in which a file can hold a normalization of a family. */
interface Form {
  readonly family: NormMaker<NormFamily>;
  /** What messages call a scope that has these tensors. */
  readonly looks: NormFamily;
  readonly tensors: readonly string[];
  /** Absent where other families leave the same. */
  readonly proof?: Proof<NormOptions>;
}

/** The tensors that a normalization reads in its scope, by their names in it. */
export function tensorsOf(norm: FamilyNorm): readonly string[] {
  const tensors: string[] = [];
  const x: Node = { op: "input", inputs: [], attrs: {}, type: { dtype: "fp32", shape: [1, 1] }, name: "x" };
  norm.apply(x, {
    path: "",
    vector: (name, length) => {
      tensors.push(name);
      return new Float64Array(length);
    },
    statistics: () => x,
    affine: () => x,
  });
  return tensors;
}

const commonestOf = ({ alike, word }: NormMaker<NormFamily>) => (alike ?? word) as NormFamily;

/** Those of more tensors first, then those that more tensors prove. */
const FORMS: readonly Form[] = FAMILIES.flatMap((family) => [
  { family, looks: commonestOf(family), tensors: tensorsOf(family()) },
  ...(family.proofs ?? []).map((proof) => ({
    family,
    looks: proof.options ? family.word : commonestOf(family),
    tensors: tensorsOf(family(proof.options)),
    proof,
  })),
]).toSorted((a, b) => b.tensors.length - a.tensors.length || provenBy(b).length - provenBy(a).length);

function provenBy({ proof }: Form): readonly string[] {
  return proof?.tensors ?? [];
}

/** The family that the tensors of a scope prove, and how; undefined where they prove none. */
export function provenFamily(has: ReadonlySet<string>): Required<Pick<Form, "family" | "proof">> | undefined {
  const found = FORMS.find((form) => form.proof && provenBy(form).every((tensor) => has.has(tensor)));
  return found as Required<Form> | undefined;
}

/** Whether only the user can say which of two families a file was trained with: its tensors fit both. */
export function haveSameKeys(a: NormFamily, b: NormFamily): boolean {
  const commonest = commonestOf(NORMS[a]);
  const isProven = FORMS.some(({ family, proof }) => proof && commonestOf(family) === commonest);
  return a === b || (isProven && commonest === commonestOf(NORMS[b]));
}

/** A normalization in a file: its scope, and the family that its tensors look like. */
export interface FoundNorm {
  readonly scope: string;
  readonly family: NormFamily;
}

/** How deep the scopes within a normalization's own are: PRepBN's are "norm2" and "norm2.bn". */
const DEPTH = Math.max(...FORMS.flatMap(({ tensors }) => tensors.map((tensor) => tensor.split(".").length)));

/**
 * The normalization that a tensor is of, or would be of, where the file has another than `wanted` there; else
 * null.
 *
 * @param shapeOf the shape of a tensor of the file, undefined where there is none
 */
export function otherNorm(
  tensor: string,
  { wanted, shapeOf }: {
    wanted: NormFamily;
    shapeOf: (name: string) => readonly number[] | undefined;
  },
): FoundNorm | null {
  const isVector = (name: string) => (shapeOf(name)?.filter((size) => size !== 1).length ?? 2) <= 1;
  const parts = tensor.split(".");
  const scopes = Array.from({ length: DEPTH }, (_, i) => parts.slice(0, -1 - i).join("."));
  const found = scopes.flatMap((scope) => {
    const form = FORMS.find(({ tensors }) =>
      tensors.length > 0 && tensors.every((name) => isVector(`${scope}.${name}`))
    );
    return form ? [{ scope, form }] : [];
  });
  const nested = found.findLast(({ form }) => form.tensors.some((name) => name.includes(".")));
  const { scope, form } = nested ?? found[0] ?? {};
  const isAlike = form === undefined || commonestOf(form.family) === commonestOf(NORMS[wanted]);
  return isAlike ? null : { scope: scope!, family: form.looks };
}
