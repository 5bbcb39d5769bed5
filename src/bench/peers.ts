/**
 * PyTorch as a contender: a Python process (`peers.py`) that holds the same networks with the same weights
 * and takes its turns on request. It answers each command by a line; what its libraries print is kept for the
 * error that says why it ended. The user names the Python.
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { TextLineStream } from "./text_lines.ts";
import { UnfoldError } from "../errors.ts";
import type { PreparedCall } from "../run/session.ts";
import { startPython } from "./python.ts";
import type { PeerPlan, PeerVariant } from "./schema.ts";

export interface PeerNetwork {
  /** A name that `peers.py` knows. */
  readonly network: string;
  /** Safetensors of the model's weights, under the names of its scopes, and of the inputs in their order. */
  readonly weights: string;
  readonly inputs: string;
  /** Where its own files may go. */
  readonly folder: string;
}

export interface PeerRequest extends PeerNetwork {
  /** Whether to compile the network as well, which takes PyTorch about a minute. */
  readonly compile: boolean;
}

export interface OpenedPeer {
  readonly variants: readonly Exclude<PeerVariant, "lnTorchExport">[];
  /** Path of the ONNX file that PyTorch wrote, or null. */
  readonly export: string | null;
  /** Safetensors with the first output of each variant, under its name. */
  readonly outputs: string;
  readonly skipped: Readonly<Partial<Record<PeerVariant, string>>>;
}

/** Plans that NVIDIA's parser made of what PyTorch wrote, by path. */
export interface PeerPlans {
  readonly plans: Readonly<Partial<Record<PeerPlan, string>>>;
  readonly skipped: Readonly<Partial<Record<PeerPlan, string>>>;
  /** Of NVIDIA's bindings. */
  readonly version: string;
}

const SCRIPT = fileURLToPath(new URL("peers.py", import.meta.url));
const LAST_WORDS = 2000;

/** A running `peers.py`; disposal ends it. */
export class Peers implements AsyncDisposable {
  /** `python` and `torch`. */
  versions: Readonly<Record<string, string>> = {};
  readonly #python: string;
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers: AsyncIterator<string>;
  readonly #stderr: Promise<void>;
  #words = "";

  private constructor(python: string, process: Deno.ChildProcess) {
    this.#python = python;
    this.#process = process;
    this.#writer = process.stdin.getWriter();
    this.#answers = process.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())[
      Symbol.asyncIterator
    ]();
    this.#stderr = process.stderr.pipeThrough(new TextDecoderStream()).pipeTo(
      new WritableStream({ write: (text) => void (this.#words = (this.#words + text).slice(-LAST_WORDS)) }),
    );
  }

  /**
   * Starts a Python, its products limited to `threads`.
   *
   * @throws {UnfoldError} it cannot be run, or lacks PyTorch or safetensors; its own words are quoted
   */
  static async start(python: string, { threads }: { threads: number }): Promise<Peers> {
    const env = { OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) };
    const process = startPython(python, {
      args: ["-u", SCRIPT],
      env,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    });
    const peers = new Peers(python, process);
    try {
      peers.versions = await peers.#ask({ do: "hello", threads }) as Record<string, string>;
    } catch (error) {
      await peers[Symbol.asyncDispose]();
      throw error;
    }
    return peers;
  }

  /** Describes a network there, runs each variant once and exports it. Replaces the one before. */
  async open(request: PeerRequest): Promise<OpenedPeer> {
    return await this.#ask({ do: "open", ...request }) as OpenedPeer;
  }

  /**
   * Exports a network there in fp16 and builds its plans, which needs no GPU.
   *
   * @throws {UnfoldError} that Python lacks NVIDIA's bindings
   */
  async plans(request: PeerNetwork): Promise<PeerPlans> {
    return await this.#ask({ do: "plans", ...request }) as PeerPlans;
  }

  /** One run of a variant, which answers with the milliseconds that Python measured. */
  call(variant: PeerVariant): PreparedCall {
    return async () => (await this.#ask({ do: "run", variant }) as { ms: number }).ms;
  }

  /** Lets go of the network, so that its memory is free for the next. */
  async close(): Promise<void> {
    await this.#ask({ do: "close" });
  }

  async #ask(command: unknown): Promise<unknown> {
    const ended = (cause?: unknown) => {
      const last = this.#words.trim().split("\n").at(-1) ?? "";
      return new UnfoldError(
        `--python ${this.#python}: it ended early${
          last === "" ? "" : `; its last words: ${last}`
        } (peers.py needs torch and safetensors; ` +
          "timm for vit and swin, transformers for gpt2, onnxscript for PyTorch's export)",
        { cause },
      );
    };
    try {
      await this.#writer.write(new TextEncoder().encode(JSON.stringify(command) + "\n"));
    } catch (error) {
      await this.#stderr;
      throw ended(error);
    }
    const { value, done } = await this.#answers.next();
    if (done) {
      await this.#stderr;
      throw ended();
    }
    const answer = JSON.parse(value) as { error?: string };
    if (answer.error !== undefined) {
      throw new UnfoldError(`--python ${this.#python}: PyTorch refuses: ${answer.error}`);
    }
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.#process.status;
    await this.#stderr.catch(() => {});
    // Answers that nobody waits for would keep the pipe open.
    await this.#answers.return?.();
  }
}

/** The package folders of the Python at `python`, if of a virtual environment: OpenVINO may lie there. */
export async function sitePackagesOf(python: string): Promise<readonly string[]> {
  const lib = join(dirname(dirname(python)), "lib");
  try {
    const names = (await Array.fromAsync(Deno.readDir(lib))).map(({ name }) => name);
    return names.filter((name) => /^python3/.test(name)).map((name) => join(lib, name, "site-packages"));
  } catch {
    return [];
  }
}
