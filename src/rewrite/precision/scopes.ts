/**
 * Which nodes a pattern of scopes names. A node is in the scope whose parameters it reads and in all above;
 * what is only computed from it, as the GELU behind `blocks.0.mlp.fc1`, is in the scopes above alone and has
 * a name of its own: `blocks.0.mlp.fc1/gelu`.
 */

/** A pattern's test of nodes' names; `*` stands for any characters. */
export function naming(pattern: string): (name: string) => boolean {
  const whole = new RegExp(`^${pattern.replaceAll(/[^*]+/g, RegExp.escape).replaceAll("*", ".*")}$`);
  return (name) => namesOf(name).some((known) => whole.test(known));
}

/** Everything that a node can be called by: itself, and the scopes that it is in. */
export function namesOf(name: string): readonly string[] {
  const [scope, ...rest] = name.split("/") as [string, ...string[]];
  const parts = scope.split(".");
  const above = parts.map((_, i) => parts.slice(0, i).join(".")).slice(1);
  // Products that were merged are called after all of them: "attn.q+k+v".
  const own = parts.at(-1)!.split("+").map((part) => [...parts.slice(0, -1), part].join("."));
  const isOwn = rest.length === 0 || rest[0] === "statistics";
  return [name, ...above, ...isOwn ? [scope, ...own] : own.map((part) => [part, ...rest].join("/"))];
}

/** A name with `*` for every number that is a whole component: "blocks.*.attn.qkv". */
export function generalized(name: string): string {
  return name.replace(/(?<=^|\.)\d+(?=\.|$|\/)/g, "*");
}
