/**
 * Asks a Python package index where a pinned wheel is, in JSON (PEP 691) or HTML (PEP 503). It promises that
 * the index's user name and password go to the index's own origin only, and that a wheel listed with another
 * SHA-256 is refused before a byte of it is fetched.
 */

import { NativeError } from "../error.ts";
import type { WheelPin } from "./pin.ts";
import {
  authorizationHeader,
  type IndexSettings,
  percentDecoded,
  splitCredentials,
  withoutSecrets,
} from "./pip_settings.ts";

const INDEX_TIMEOUT_MS = 30_000;
const ACCEPT =
  "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/** A wheel's address, ready to fetch. */
export interface WheelLocation {
  readonly url: URL;
  readonly authorization?: string;
}

/**
 * Asks the index where the pinned wheel is.
 *
 * Throws NativeError when the index cannot be reached, does not offer the wheel, or states another SHA-256
 * for it.
 */
export async function findWheel(
  pin: WheelPin,
  settings: IndexSettings,
  { client, signal, timeoutMs = INDEX_TIMEOUT_MS }: {
    readonly client?: Deno.HttpClient | undefined;
    readonly signal?: AbortSignal | undefined;
    readonly timeoutMs?: number | undefined;
  } = {},
): Promise<WheelLocation> {
  const project = new URL(settings.indexUrl);
  project.pathname = `${project.pathname.replace(/\/+$/, "")}/${pin.packageName}/`;
  const shown = withoutSecrets(project);

  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), timeoutMs);
  let body: string;
  let response: Response;
  try {
    response = await fetch(project, {
      headers: { accept: ACCEPT, ...authorizationHeader(settings.authorization) },
      signal: signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal]),
      ...(client === undefined ? {} : { client }),
    });
    body = await response.text();
  } catch (error) {
    signal?.throwIfAborted();
    if (timeout.signal.aborted) throw new NativeError(`${shown} gave no answer within ${timeoutMs / 1000} s`);
    throw unreachable(project, error);
  } finally {
    clearTimeout(timer);
  }
  if (!response.ok) throw refused(shown, response.status);

  const type = response.headers.get("content-type") ?? "";
  const pageUrl = response.url === "" ? project : new URL(response.url);
  const links = type.includes("json") ? linksOfJson(body, { pageUrl, shown }) : linksOfHtml(body, pageUrl);
  const offered = links.filter((link) => link.fileName === pin.fileName);
  const chosen = offered.find((link) => link.sha256 === undefined || link.sha256 === pin.sha256);
  if (chosen === undefined && offered[0] !== undefined) {
    throw new NativeError(
      `${shown} offers ${pin.fileName} with SHA-256 ${
        offered[0].sha256
      }, but UNfold trusts ${pin.sha256} only`,
    );
  }
  if (chosen === undefined) {
    throw new NativeError(`${shown} does not offer ${pin.fileName} (it lists ${links.length} files)`);
  }
  // A link to a file of this machine is not a download, and no index's business.
  if (!/^https?:$/.test(chosen.url.protocol)) {
    throw new NativeError(
      `${shown} says that ${pin.fileName} is at an address with ${chosen.url.protocol}; UNfold fetches over https and ` +
        "http only",
    );
  }
  const { bare, authorization } = splitCredentials(chosen.url);
  const inherited = bare.origin === settings.indexUrl.origin ? settings.authorization : undefined;
  const header = authorization ?? inherited;
  return { url: bare, ...(header === undefined ? {} : { authorization: header }) };
}

/** A failed fetch in words a user can act on. */
export function unreachable(url: URL, error: unknown): NativeError {
  if (error instanceof Deno.errors.NotCapable) {
    return new NativeError(`network access to ${url.host} is not permitted (--allow-net)`, { cause: error });
  }
  const words = (error instanceof Error ? error.message : String(error))
    .replace(/ for url \(.*?\)/, "")
    .replace(/\/\/[^/@\s]*@/g, "//");
  return new NativeError(`${withoutSecrets(url)} cannot be reached: ${words}`, { cause: error });
}

/** An answer other than success in words a user can act on. */
export function refused(shown: string, status: number): NativeError {
  const hint = status === 401 || status === 403
    ? ": check the user name and password in PIP_INDEX_URL"
    : status === 404
    ? ": this index does not have it"
    : status === 407
    ? ": the proxy wants a user name and password in HTTPS_PROXY"
    : "";
  return new NativeError(`${shown} answered ${status}${hint}`);
}

interface Link {
  readonly fileName: string;
  readonly url: URL;
  readonly sha256: string | undefined;
}

function linksOfJson(
  body: string,
  { pageUrl, shown }: { readonly pageUrl: URL; readonly shown: string },
): readonly Link[] {
  let files: unknown;
  try {
    files = (JSON.parse(body) as { files?: unknown } | null)?.files;
  } catch {
    files = undefined;
  }
  if (!Array.isArray(files)) throw new NativeError(`${shown} answered JSON that is no package index page`);
  return (files as readonly unknown[]).flatMap((file): readonly Link[] => {
    const { filename, url, hashes } = (file ?? {}) as { filename?: unknown; url?: unknown; hashes?: unknown };
    if (typeof filename !== "string" || typeof url !== "string" || !URL.canParse(url, pageUrl)) return [];
    const sha256 = (hashes as { sha256?: unknown } | null | undefined)?.sha256;
    return [{
      fileName: filename,
      url: new URL(url, pageUrl),
      sha256: typeof sha256 === "string" ? sha256.toLowerCase() : undefined,
    }];
  });
}

/** PEP 503: one anchor per file, the hash in the address's fragment. */
function linksOfHtml(body: string, pageUrl: URL): readonly Link[] {
  const base = /<base\s[^>]*?href\s*=\s*["']?([^"'\s>]+)/i.exec(body)?.[1];
  const baseUrl = base !== undefined && URL.canParse(base, pageUrl) ? new URL(base, pageUrl) : pageUrl;
  return [...body.matchAll(/<a\s[^>]*?href\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))/gi)].flatMap((match) => {
    const href = decodeEntities(match[1] ?? match[2] ?? match[3] ?? "").trim();
    if (!URL.canParse(href, baseUrl)) return [];
    const url = new URL(href, baseUrl);
    const sha256 = /(?:^#|&)sha256=([0-9a-f]{64})/i.exec(url.hash)?.[1]?.toLowerCase();
    url.hash = "";
    return [{ fileName: percentDecoded(url.pathname.split("/").at(-1) ?? ""), url, sha256 }];
  });
}

function decodeEntities(text: string): string {
  const named: Readonly<Record<string, string>> = { amp: "&", quot: '"', apos: "'", lt: "<", gt: ">" };
  return text
    .replace(/&#x([0-9a-f]{1,6});/gi, (_, digits: string) => character(Number.parseInt(digits, 16)))
    .replace(/&#([0-9]{1,7});/g, (_, digits: string) => character(Number(digits)))
    .replace(/&(amp|quot|apos|lt|gt);/g, (_, name: string) => named[name] ?? "");
}

function character(codePoint: number): string {
  return codePoint <= 0x10ffff ? String.fromCodePoint(codePoint) : "";
}
