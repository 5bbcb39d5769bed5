/**
 * One HTTP transfer of a wheel, or of the rest of one, into its part file. It promises that every byte that
 * arrived is kept and none is counted twice, whatever the server makes of a Range request, and that a
 * transfer which no longer moves ends. It leaves out when to try again, and whether the bytes are the right
 * ones: that is `download.ts`.
 */
import { NativeError } from "../error.ts";
import { refused, unreachable, type WheelLocation } from "./package_index.ts";
import type { PartFile } from "./part_file.ts";
import type { WheelPin } from "./pin.ts";
import { authorizationHeader, withoutSecrets } from "./pip_settings.ts";

export interface TransferOptions {
  readonly wheel: WheelLocation;
  readonly client: Deno.HttpClient | undefined;
  /** Called with the bytes that the part file holds. */
  readonly report: (doneBytes: number) => void;
  readonly signal?: AbortSignal | undefined;
  /** A transfer that brings no byte for so long counts as broken; default a minute. */
  readonly stallTimeoutMs?: number | undefined;
}

const STALL_TIMEOUT_MS = 60_000;

/**
 * One request for what is missing: undefined when all has arrived, else why the transfer broke off.
 *
 * Throws NativeError when another request would be answered the same; rejects with the signal's reason once
 * it is aborted.
 */
export async function receive(
  part: PartFile,
  pin: WheelPin,
  { wheel, client, report, signal, stallTimeoutMs = STALL_TIMEOUT_MS }: TransferOptions,
): Promise<string | undefined> {
  const shown = withoutSecrets(wheel.url);
  using stall = new StallGuard(stallTimeoutMs);
  const start = part.byteLength;
  let response: Response;
  try {
    response = await fetch(wheel.url, {
      headers: {
        // Compressed on the way, the bytes would no longer be counted by Range and Content-Length.
        "accept-encoding": "identity",
        ...(start === 0 ? {} : { range: `bytes=${start}-` }),
        ...authorizationHeader(wheel.authorization),
      },
      signal: signal === undefined ? stall.signal : AbortSignal.any([signal, stall.signal]),
      ...(client === undefined ? {} : { client }),
    });
  } catch (error) {
    signal?.throwIfAborted();
    if (stall.signal.aborted) return stall.words;
    const failure = unreachable(wheel.url, error);
    // Once bytes have come, a lost network may return; before, waiting for it would only hide the reason.
    if (start === 0) throw failure;
    return failure.message;
  }
  const problem = await startOfAnswer(response, { part, pin, shown });
  if (problem !== undefined) {
    await response.body?.cancel();
    if (problem instanceof NativeError) throw problem;
    return problem;
  }
  const broken = response.body === null ? undefined : await appendBody(response.body.getReader(), part, {
    pin,
    shown,
    report: (doneBytes) => {
      stall.touch();
      report(doneBytes);
    },
  });
  signal?.throwIfAborted();
  if (broken !== undefined) return stall.signal.aborted ? stall.words : broken;
  return part.byteLength === pin.byteLength ? undefined : `it ended after ${part.byteLength} bytes`;
}

/** Appends a body to the part file; why it broke off, or undefined when it came to its end. */
async function appendBody(
  body: ReadableStreamDefaultReader<Uint8Array>,
  part: PartFile,
  { pin, shown, report }: {
    readonly pin: WheelPin;
    readonly shown: string;
    readonly report: (doneBytes: number) => void;
  },
): Promise<string | undefined> {
  try {
    while (true) {
      let chunk: Uint8Array | undefined;
      try {
        chunk = (await body.read()).value;
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
      if (chunk === undefined) return undefined;
      if (part.byteLength + chunk.byteLength > pin.byteLength) {
        part.discard();
        throw new NativeError(
          `${shown} sent more than the ${pin.byteLength} bytes of ${pin.fileName}: not this file`,
        );
      }
      await part.append(chunk);
      report(part.byteLength);
    }
  } finally {
    // The connection ends with the body, even on a full disk; a body at its end or broken ignores this.
    await body.cancel().catch(() => {});
  }
}

/** Judges an answer's head: a NativeError ends the download, words ask for a retry, undefined is fine. */
async function startOfAnswer(
  response: Response,
  { part, pin, shown }: { readonly part: PartFile; readonly pin: WheelPin; readonly shown: string },
): Promise<NativeError | string | undefined> {
  const start = part.byteLength;
  if (response.status === 206) {
    const from = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
    if (Number(from) === start) return undefined;
    await part.restart();
    return "it sent another range than the one asked for";
  }
  if (response.status === 416) {
    await part.restart();
    return "it refused the range asked for";
  }
  if (response.status >= 500 || response.status === 429) return `it answered ${response.status}`;
  if (!response.ok) return refused(shown, response.status);
  // A plain 200 to a Range request: the server does not resume, and sends the whole.
  if (start > 0) await part.restart();
  const length = response.headers.get("content-length");
  if (length === null || response.headers.has("content-encoding") || Number(length) === pin.byteLength) {
    return undefined;
  }
  return new NativeError(
    `${shown} answered with ${length} bytes (${
      response.headers.get("content-type") ?? "of no type"
    }) where ` +
      `${pin.fileName} has ${pin.byteLength}: a proxy's page, or another file`,
  );
}

/** Aborts its signal when `touch()` is not called for a while. */
class StallGuard {
  readonly #controller = new AbortController();
  readonly #timeoutMs: number;
  #timer: ReturnType<typeof setTimeout>;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#timer = this.#start();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get words(): string {
    return `no byte arrived for ${this.#timeoutMs / 1000} s`;
  }

  touch(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#start();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #start(): ReturnType<typeof setTimeout> {
    return setTimeout(() => this.#controller.abort(), this.#timeoutMs);
  }
}
