/**
 * Reports, pages and baselines do not tell whose folder they were made in: the user's home is `~` in them,
 * and `fromHome` opens such a path. Other paths stay, since they name nobody.
 */
import { systemReason } from "../errors.ts";

/** The user's home folder; undefined where there is none or it is secret, as without --allow-env. */
function homeFolder(): string | undefined {
  const read = (name: string) => {
    try {
      return Deno.env.get(name);
    } catch (error) {
      if (systemReason(error) === null) throw error;
      return undefined;
    }
  };
  const home = (read("HOME") || read("USERPROFILE"))?.replace(/[/\\]+$/, "");
  // "/" is some containers' home, and everybody's root.
  return home === undefined || home.length < 2 ? undefined : home;
}

/**
 * The same value, `~` for the user's home in all of its texts, at whatever depth.
 *
 * @example
 * ```ts
 * import { withoutHome } from "./home.ts";
 * const { path } = withoutHome({ path: "/home/ann/m/un.plan" }, "/home/ann");
 * if (path !== "~/m/un.plan") throw new Error(path);
 * ```
 */
export function withoutHome<Value>(value: Value, home: string | undefined = homeFolder()): Value {
  return home === undefined ? value : replaced(value, home) as Value;
}

function replaced(value: unknown, home: string): unknown {
  if (typeof value === "string") return value.includes(home) ? inText(value, home) : value;
  // Samples are long lists of numbers and nothing else.
  if (Array.isArray(value)) {
    return typeof value[0] === "number" ? value : value.map((item) => replaced(item, home));
  }
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaced(item, home)]));
}

/** Whole components alone: /home/ann is not in /home/anna, nor in /mnt/home/ann. */
function inText(text: string, home: string): string {
  const escaped = home.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return text.replace(new RegExp(`(?<=^|file://|[^\\w.~/\\\\-])${escaped}(?![\\w.-])`, "g"), () => "~");
}

/** A path as it is to be opened: `~` is the home of whoever opens it. */
export function fromHome(path: string, home: string | undefined = homeFolder()): string {
  return home !== undefined && /^~(?=$|[/\\])/.test(path) ? home + path.slice(1) : path;
}
