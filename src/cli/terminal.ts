/**
 * What all commands share: exit codes, one-line errors, colour and progress. Results go to stdout, everything
 * else to stderr. Colour only on a terminal and never under NO_COLOR; so is progress, but for a line every
 * ten seconds of a download.
 */
import type { BuildEvent } from "../compile/line.ts";
import { isRefusal, RequestError, systemReason } from "../errors.ts";
import { removeLeavings } from "../leavings.ts";
import { visible } from "../text.ts";

/** A mistake in the command line itself; exit code 2. */
export class UsageError extends RequestError {
  override readonly name = "UsageError";
}

export const EXIT = { ok: 0, failed: 1, usage: 2, cancelled: 130 } as const;

type Style = "bold" | "dim" | "red" | "green" | "yellow";
const CODES: Readonly<Record<Style, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 };

// deno-lint-ignore no-control-regex
const OWN_STYLE = /(\x1b\[(?:[0-2]|3[1-3])m)/;

/** Whether text on a stream may carry colour. */
function isColourful(stream: { isTerminal(): boolean }): boolean {
  return !Deno.noColor && stream.isTerminal();
}

/** Styles text for stdout. */
export function styled(text: string, style: Style, stream: { isTerminal(): boolean } = Deno.stdout): string {
  return isColourful(stream) ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text;
}

/**
 * Prints to stdout, all of it, also into a pipe. Of escape sequences only `styled`'s own reach a terminal,
 * and JSON means what it meant.
 */
export async function print(text: string): Promise<void> {
  const parts = isColourful(Deno.stdout) ? text.split(OWN_STYLE) : [text];
  const shown = parts.map((part, i) => i % 2 === 0 ? visible(part, { cuts: false }) : part).join("");
  let bytes = new TextEncoder().encode(shown + "\n");
  while (bytes.length > 0) bytes = bytes.subarray(await Deno.stdout.write(bytes));
}

/** Something to know that is no failure, on stderr. */
export function note(text: string): void {
  console.error(`${styled("note:", "yellow", Deno.stderr)} ${visible(text)}`);
}

/** What is wrong, on stderr. */
export function complain(text: string): void {
  console.error(`${styled("error:", "red", Deno.stderr)} ${visible(text)}`);
}

/** A line on stderr, rewritten in place; where stderr is no terminal, a line every few seconds. */
export class Progress implements Disposable {
  readonly #live = Deno.stderr.isTerminal();
  readonly #pipedEveryMs: number;
  #width = 0;
  #shownAt = 0;
  #pipedAt = performance.now();

  constructor({ pipedEveryMs = 10_000 }: { readonly pipedEveryMs?: number } = {}) {
    this.#pipedEveryMs = pipedEveryMs;
  }

  /** `fraction` from 0 to 1, or null where the whole is not known. */
  show(text: string, fraction: number | null = null, detail = ""): void {
    const now = performance.now();
    if (!this.#live || (now - this.#shownAt < 50 && fraction !== null && fraction < 1)) return;
    this.#shownAt = now;
    const bar = fraction === null
      ? ""
      : ` ${progressBar(fraction)} ${String(Math.floor(fraction * 100)).padStart(3)} %`;
    const columns = consoleColumns();
    const line = `${visible(text).replace(/\s+/g, " ")}${bar}${detail && ` ${detail}`}`.slice(0, columns - 1);
    this.#write(`\r${line}${" ".repeat(Math.max(0, this.#width - line.length))}`);
    this.#width = line.length;
  }

  /** Shows what a build tells. */
  event(event: BuildEvent): void {
    if (event.kind === "step") this.show(event.text);
    else if (event.total > 0) {
      this.show(event.text, event.done / event.total);
      this.#pipe(event.text, event.done / event.total);
    } else this.show(event.text, null, `${event.done} steps`);
  }

  /** A log of a download that takes minutes is not silent. */
  #pipe(text: string, fraction: number): void {
    const now = performance.now();
    if (this.#live || now - this.#pipedAt < this.#pipedEveryMs) return;
    this.#pipedAt = now;
    console.error(`${visible(text)}: ${Math.floor(fraction * 100)} %`);
  }

  clear(): void {
    if (this.#live && this.#width > 0) this.#write(`\r${" ".repeat(this.#width)}\r`);
    this.#width = 0;
  }

  [Symbol.dispose](): void {
    this.clear();
  }

  #write(text: string): void {
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  }
}

function progressBar(fraction: number): string {
  const cells = 20;
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * cells);
  return "█".repeat(full) + "░".repeat(cells - full);
}

function consoleColumns(): number {
  try {
    return Deno.consoleSize().columns;
  } catch {
    return 80;
  }
}

const SIGNALS = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"] as const
  : ["SIGINT", "SIGTERM"] as const;

/** How long a command that was cancelled may take to end by itself. */
const PATIENCE_MS = 500;

/** What answers Ctrl-C; null where the system does, which ends the process. */
let listener: (() => void) | null = null;

function listen(next: (() => void) | null): void {
  for (const signal of SIGNALS) {
    if (listener !== null) Deno.removeSignalListener(signal, listener);
    if (next !== null) Deno.addSignalListener(signal, next);
  }
  listener = next;
}

/**
 * Runs what may never end, a user's own program, before there is anything to clean up: Ctrl-C ends the
 * process at once, where a listener would not be called before the program yields.
 */
export async function endedBySystem<Value>(run: () => Promise<Value>): Promise<Value> {
  const before = listener;
  listen(null);
  try {
    return await run();
  } finally {
    listen(before);
  }
}

/**
 * Runs a command to its exit code, from the folder where the user stands. Mistakes of the user are one line;
 * a defect of UNfold is printed whole. Ctrl-C aborts the signal the command is given, so that it can clean
 * up; half a second later, or with a second one, what is left is removed and the process ends. A command that
 * leaves nothing behind is ended by the system at once, also in the middle of long synchronous work.
 *
 * @param codes of commands whose own results have codes
 * @param cleansUp whether the command has something to clean up; if not, from the call of `cleanUpFromNow` on
 * @param cancelled what is said after Ctrl-C
 */
export async function runCommand(
  command: (args: readonly string[], signal: AbortSignal, cleanUpFromNow: () => void) => Promise<number>,
  { codes = EXIT, cleansUp = true, cancelled = "cancelled; nothing was written" }: {
    readonly codes?: { readonly failed: number; readonly usage: number };
    readonly cleansUp?: boolean;
    readonly cancelled?: string;
  } = {},
): Promise<never> {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) {
      removeLeavings();
      Deno.exit(EXIT.cancelled);
    }
    controller.abort(new DOMException("cancelled", "AbortError"));
    // Work that does not look at the signal, a large network's writing for instance, is not waited for.
    const timer = setTimeout(() => {
      removeLeavings();
      console.error(cancelled);
      Deno.exit(EXIT.cancelled);
    }, PATIENCE_MS);
    Deno.unrefTimer(timer);
  };
  const cleanUpFromNow = () => listen(interrupt);
  if (cleansUp) cleanUpFromNow();
  let code: number;
  try {
    code = await command(fromCallersFolder(Deno.args), controller.signal, cleanUpFromNow);
  } catch (error) {
    if (controller.signal.aborted) {
      console.error(cancelled);
      code = EXIT.cancelled;
    } else code = report(error, codes);
  }
  Deno.exit(code);
}

/** A task runs in its deno.json's folder and says first where the user stands, from where paths are meant. */
function fromCallersFolder([flag, folder, ...rest]: readonly string[]): readonly string[] {
  if (flag !== "--cwd" || folder === undefined) return Deno.args;
  // Only `deno task` knows the folder.
  if (folder !== "") Deno.chdir(folder);
  return rest;
}

function report(error: unknown, codes: { failed: number; usage: number }): number {
  if (error instanceof RequestError) {
    complain(error.message);
    return codes.usage;
  }
  if (error instanceof Deno.errors.NotCapable) {
    // Deno's own advice, a flag, is of no use to whoever runs a task.
    const [what] = error.message.split(",");
    complain(`${what}, which this command does not have: see "permissions" in UNfold's deno.json`);
    return codes.failed;
  }
  if (isRefusal(error) || systemReason(error) !== null) {
    complain((error as Error).message);
    return codes.failed;
  }
  complain("a defect of UNfold; please report it with the lines below");
  console.error(visible(Deno.inspect(error)));
  return codes.failed;
}
