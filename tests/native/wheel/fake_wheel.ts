/**
 * For the tests of downloading: a small zip with its pin, and a package index on this machine that can
 * misbehave in the ways real ones do. Nothing here leaves 127.0.0.1.
 */

import { createHash } from "node:crypto";
import { crc32, deflateRawSync } from "node:zlib";
import type { Environment } from "../../../native/system/environment.ts";
import type { WheelPin } from "../../../native/wheel/pin.ts";
import { elf } from "../support.ts";

/** No settings of the machine the tests run on. */
export const BARE: Environment = { PIP_CONFIG_FILE: "/dev/null" };

/** Bytes that no compression shrinks, the same at every call. */
export function noise(byteLength: number, seed = 1): Uint8Array<ArrayBuffer> {
  let state = seed;
  return Uint8Array.from({ length: byteLength }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export interface ZipMember {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly method?: number;
  readonly flags?: number;
  readonly crc32?: number;
}

export function zip(members: readonly ZipMember[], { count = members.length } = {}): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const member of members) {
    const method = member.method ?? 8;
    const data = method === 8 ? deflateRawSync(member.bytes) : member.bytes;
    const path = new TextEncoder().encode(member.path);
    const header = new DataView(new ArrayBuffer(30));
    const entry = new DataView(new ArrayBuffer(46));
    header.setUint32(0, 0x04034b50, true);
    entry.setUint32(0, 0x02014b50, true);
    for (const [view, at] of [[header, 6], [entry, 8]] as const) {
      view.setUint16(at, member.flags ?? 0, true);
      view.setUint16(at + 2, method, true);
      view.setUint32(at + 8, member.crc32 ?? crc32(member.bytes), true);
      view.setUint32(at + 12, data.byteLength, true);
      view.setUint32(at + 16, member.bytes.byteLength, true);
      view.setUint16(at + 20, path.byteLength, true);
    }
    entry.setUint32(42, offset, true);
    parts.push(new Uint8Array(header.buffer), path, data);
    directory.push(new Uint8Array(entry.buffer), path);
    offset += 30 + path.byteLength + data.byteLength;
  }
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, count, true);
  end.setUint16(10, count, true);
  end.setUint32(12, directory.reduce((sum, bytes) => sum + bytes.byteLength, 0), true);
  end.setUint32(16, offset, true);
  return concat([...parts, ...directory, new Uint8Array(end.buffer)]);
}

export interface FakeWheel {
  readonly pin: WheelPin;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A wheel of about 300 kB with a library, a CUDA runtime, a text and a file that is not kept. */
export function fakeWheel(): FakeWheel {
  const kept = [
    { path: "pkg/libtensorrt_rtx.so.1.7.1", bytes: concat([elf(), noise(200_000)]) },
    { path: "pkg/libcudart.so.13.0.1", bytes: concat([elf(), noise(50_000, 2)]) },
    { path: "pkg/README.txt", bytes: new TextEncoder().encode("licence\n".repeat(100)) },
  ] as const;
  const bytes = zip([...kept, { path: "pkg/not_kept.so", bytes: noise(50_000, 3) }]);
  const pin: WheelPin = {
    folder: "tensorrt_rtx-1.7.1-linux-x86_64",
    packageName: "fake-tensorrt",
    packageVersion: "1.0",
    fileName: "fake_tensorrt-1.0-py3-none-any.whl",
    byteLength: bytes.byteLength,
    sha256: sha256(bytes),
    members: kept.map(({ path, bytes }) => ({
      path,
      fileName: path.slice("pkg/".length),
      byteLength: bytes.byteLength,
      sha256: sha256(bytes),
    })),
  };
  return { pin, bytes };
}

export interface FakeIndexOptions {
  /** What is served as the wheel; without it, the wheel. */
  readonly served?: Uint8Array<ArrayBuffer>;
  readonly format?: "json" | "html";
  readonly ranges?: boolean;
  /** Answers of the wheel request break off after so many bytes; the wheel's n-th request picks the n-th. */
  readonly breakAfterBytes?: readonly (number | undefined)[];
  /** The wheel's answer stops there and stays open. */
  readonly stallAfterBytes?: number;
  readonly indexStatus?: number;
  readonly listedSha256?: string;
  readonly listedFileName?: string;
  /** Origin of the wheel's address in the index; without it, a relative address. */
  readonly fileOrigin?: string;
  readonly redirectFilesTo?: string;
}

export interface SeenRequest {
  readonly kind: "index" | "wheel";
  readonly range: string | null;
  readonly authorization: string | null;
}

/** A package index for one wheel; dispose it with `await using`. */
export class FakeIndex implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #ended = Promise.withResolvers<void>();

  constructor(readonly wheel: FakeWheel, readonly options: FakeIndexOptions = {}) {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#answer(request),
    );
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  get indexUrl(): string {
    return `${this.origin}/simple`;
  }

  wheelRequests(): readonly SeenRequest[] {
    return this.requests.filter(({ kind }) => kind === "wheel");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.resolve();
    await this.#server.shutdown();
  }

  #answer(request: Request): Response {
    const { pathname } = new URL(request.url);
    const { pin } = this.wheel;
    const kind = pathname === `/files/${pin.fileName}` ? "wheel" : "index";
    this.requests.push({
      kind,
      range: request.headers.get("range"),
      authorization: request.headers.get("authorization"),
    });
    if (kind === "wheel") {
      const { redirectFilesTo } = this.options;
      return redirectFilesTo === undefined
        ? this.#wheelAnswer(request)
        : Response.redirect(`${redirectFilesTo}${pathname}`);
    }
    if (this.options.indexStatus !== undefined) {
      return new Response("no", { status: this.options.indexStatus });
    }
    if (pathname !== `/simple/${pin.packageName}/`) return new Response("no such page", { status: 404 });
    return this.#indexAnswer();
  }

  #indexAnswer(): Response {
    const { pin } = this.wheel;
    const hash = this.options.listedSha256 ?? pin.sha256;
    const fileName = this.options.listedFileName ?? pin.fileName;
    const url = `${this.options.fileOrigin ?? "../.."}/files/${fileName}`;
    if (this.options.format === "html") {
      const html = `<!DOCTYPE html><html><body><h1>Links</h1>
        <a href="../../files/other-0.1.tar.gz#sha256=${"0".repeat(64)}">other-0.1.tar.gz</a><br/>
        <a data-requires-python="&gt;=3.8" href='${url}?a=1&amp;b=2#sha256=${hash}'>${fileName}</a><br/>
        </body></html>`;
      return new Response(html, { headers: { "content-type": "text/html; charset=utf-8" } });
    }
    const files = [
      { filename: "other-0.1.tar.gz", url: "other", hashes: {} },
      { filename: fileName, url, hashes: { sha256: hash }, size: pin.byteLength },
    ];
    return new Response(JSON.stringify({ meta: { "api-version": "1.1" }, name: pin.packageName, files }), {
      headers: { "content-type": "application/vnd.pypi.simple.v1+json" },
    });
  }

  /** A body shorter than its Content-Length makes the server reset the connection: a transfer broken off. */
  #wheelAnswer(request: Request): Response {
    const { served = this.wheel.bytes, ranges = true, breakAfterBytes, stallAfterBytes } = this.options;
    const start = ranges ? Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1] ?? 0) : 0;
    const rest = served.subarray(start);
    const breakAfter = breakAfterBytes?.[this.wheelRequests().length - 1];
    const headers = new Headers({ "content-type": "application/octet-stream" });
    headers.set("content-length", String(rest.byteLength));
    if (start > 0) {
      headers.set("content-range", `bytes ${start}-${served.byteLength - 1}/${served.byteLength}`);
    }
    const sentBytes = breakAfter ?? stallAfterBytes ?? rest.byteLength;
    const ended = this.#ended.promise;
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(rest.subarray(0, sentBytes));
        if (stallAfterBytes !== undefined) await ended;
        controller.close();
      },
    });
    return new Response(body, { status: start > 0 ? 206 : 200, headers });
  }
}

export async function names(folder: string): Promise<readonly string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
}

export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}
