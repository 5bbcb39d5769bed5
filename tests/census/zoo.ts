/** What the censuses of a zoo share: their command line, what a file's name says, and a line for each file. */
import { basename, join } from "node:path";

/** Flags that every census has. */
export const OPTIONS = {
  only: { type: "string", default: "" },
  write: { type: "string" },
  machine: { type: "string", default: "this machine" },
} as const;

/** What the name of a file says, `NETWORK.NORM.EXPORTER.onnx`. */
export interface Named {
  readonly network: string;
  readonly norm: string;
  readonly exporter: string;
}

export function namedBy(path: string): Named {
  const [network, norm, exporter] = basename(path).split(".") as [string, string, string];
  return { network, norm, exporter };
}

/** The folder that the command line names. */
export function zooIn([folder]: readonly string[]): string {
  if (folder === undefined) throw new Error("the folder of the zoo is missing");
  return folder;
}

/** What `look` finds in each ONNX file of a folder with `only` in its name, in order; `say` is its line. */
export async function census<Row>(
  folder: string,
  only: string,
  look: (path: string) => Promise<Row>,
  say: (row: Row) => string,
): Promise<Row[]> {
  const files = [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => name.endsWith(".onnx") && name.includes(only)).sort();
  const rows: Row[] = [];
  for (const file of files) {
    const row = await look(join(folder, file));
    rows.push(row);
    console.log(say(row));
  }
  return rows;
}
