/** Where figures come from, in the words of every report: the machine, UNfold's version and Deno's. */
import config from "../../deno.json" with { type: "json" };
import os from "node:os";

export interface Environment {
  readonly unfold: string;
  readonly deno: string;
  /** "linux x86_64". */
  readonly os: string;
  /** The processor's name for itself. */
  readonly cpu: string;
  readonly cores: number;
}

/** This machine and this program. */
export function environment(): Environment {
  return {
    unfold: config.version,
    deno: Deno.version.deno,
    os: `${Deno.build.os} ${Deno.build.arch}`,
    cpu: os.cpus()[0]?.model ?? "unknown",
    cores: navigator.hardwareConcurrency,
  };
}
