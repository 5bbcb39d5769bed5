/**
 * pip's settings, as far as fetching one wheel needs them: the index's address, its credentials, the
 * certificates to trust. It promises that user names and passwords leave the address at once and appear in no
 * message. It leaves out extra indexes, `--find-links`, keyrings and .netrc.
 */

import { dirname, join } from "node:path";
import { type Environment, homeFolder, type Platform, THIS_PLATFORM } from "../system/environment.ts";
import { NativeError } from "../error.ts";

/** Used where neither PIP_INDEX_URL nor a pip.conf names another. */
export const DEFAULT_INDEX_URL = "https://pypi.org/simple";

/** What pip would use, and UNfold therefore uses too. */
export interface IndexSettings {
  /** Without user name and password. */
  readonly indexUrl: URL;
  /** The Authorization header's value for the index's origin. */
  readonly authorization?: string;
  /** PEM text of the certificates to trust besides Deno's own. */
  readonly caCerts?: string;
}

/**
 * pip's settings: `PIP_INDEX_URL`, then `index-url` of the `pip.conf` files; `PIP_CERT`, then `cert` of the
 * same files, `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE` and `SSL_CERT_FILE`.
 *
 * Throws NativeError when the index address is not http(s), when `PIP_NO_INDEX` forbids an index, or when a
 * certificate file cannot be read.
 */
export async function readIndexSettings(
  environment: Environment,
  platform: Platform = THIS_PLATFORM,
): Promise<IndexSettings> {
  if (/^(1|true|yes|on|y|t)$/i.test(environment.PIP_NO_INDEX ?? "")) {
    throw new NativeError("PIP_NO_INDEX is set, so no package index may be asked");
  }
  const configured = await readPipConfiguration(environment, platform);
  const indexText = environment.PIP_INDEX_URL || configured.get("index-url") || DEFAULT_INDEX_URL;
  const from = environment.PIP_INDEX_URL ? "PIP_INDEX_URL" : "pip.conf's index-url";
  if (!URL.canParse(indexText)) throw new NativeError(`${from} is not an address with https://`);
  const indexUrl = new URL(indexText);
  if (indexUrl.protocol !== "https:" && indexUrl.protocol !== "http:") {
    throw new NativeError(
      `${from} names ${withoutSecrets(indexUrl)}; UNfold reads indexes over https and http only`,
    );
  }
  const { bare, authorization } = splitCredentials(indexUrl);
  const caCerts = await readCertificates(environment, configured.get("cert"));
  return {
    indexUrl: bare,
    ...(authorization === undefined ? {} : { authorization }),
    ...(caCerts === undefined ? {} : { caCerts }),
  };
}

export function authorizationHeader(authorization: string | undefined): Record<string, string> {
  return authorization === undefined ? {} : { authorization };
}

/** An address for messages: without user, password, query and fragment, any of which may be secret. */
export function withoutSecrets(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** Splits user name and password off an address and turns them into an Authorization header. */
export function splitCredentials(
  url: URL,
): { readonly bare: URL; readonly authorization: string | undefined } {
  const bare = new URL(url);
  bare.username = "";
  bare.password = "";
  if (url.username === "" && url.password === "") return { bare, authorization: undefined };
  const pair = new TextEncoder().encode(`${percentDecoded(url.username)}:${percentDecoded(url.password)}`);
  return { bare, authorization: `Basic ${btoa(String.fromCharCode(...pair))}` };
}

/** Undoes percent-encoding; text that is not validly encoded means itself. */
export function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Options of pip's configuration files for `pip install` or `pip download`, later files winning. */
async function readPipConfiguration(
  environment: Environment,
  platform: Platform,
): Promise<ReadonlyMap<string, string>> {
  const options = new Map<string, string>();
  // pip's own rule: the null device turns configuration files off altogether.
  if (environment.PIP_CONFIG_FILE === "/dev/null" || environment.PIP_CONFIG_FILE === "nul") return options;
  const home = homeFolder(environment, platform);
  const name = platform.os === "windows" ? "pip.ini" : "pip.conf";
  const configFolder = environment.XDG_CONFIG_HOME ?? (home && join(home, ".config"));
  const files = [
    ...(platform.os === "windows" ? [] : ["/etc/xdg/pip/pip.conf", "/etc/pip.conf"]),
    home && join(home, ...(platform.os === "windows" ? ["pip"] : [".pip"]), name),
    platform.os === "darwin" && home && join(home, "Library", "Application Support", "pip", name),
    platform.os === "windows"
      ? environment.APPDATA && join(environment.APPDATA, "pip", name)
      : configFolder && join(configFolder, "pip", name),
    environment.VIRTUAL_ENV && join(environment.VIRTUAL_ENV, name),
    environment.PIP_CONFIG_FILE,
  ];
  for (const file of files) {
    if (!file) continue;
    const text = await Deno.readTextFile(file).catch(() => "");
    const sections = parseIni(text);
    // pip lets a command's own section win over [global].
    for (const section of ["global", "download", "install"]) {
      for (const [key, value] of sections.get(section) ?? []) {
        // pip resolves a relative certificate path against nothing sensible; people mean beside the file.
        options.set(key, key === "cert" && value.startsWith(".") ? join(dirname(file), value) : value);
      }
    }
  }
  return options;
}

function parseIni(text: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const sections = new Map<string, Map<string, string>>();
  let section = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const heading = /^\s*\[([^\]]+)\]\s*$/.exec(line)?.[1];
    if (heading !== undefined) {
      section = sections.get(heading) ?? new Map<string, string>();
      sections.set(heading, section);
      continue;
    }
    const option = /^([A-Za-z][\w-]*)\s*[=:]\s*(.*?)\s*$/.exec(line);
    if (option?.[1] === undefined || option[2] === undefined || option[2] === "") continue;
    section.set(option[1].toLowerCase().replaceAll("_", "-"), option[2]);
  }
  return sections;
}

async function readCertificates(
  environment: Environment,
  configured: string | undefined,
): Promise<string | undefined> {
  const named = [
    ["PIP_CERT", environment.PIP_CERT],
    ["pip.conf's cert", configured],
    ["REQUESTS_CA_BUNDLE", environment.REQUESTS_CA_BUNDLE],
    ["CURL_CA_BUNDLE", environment.CURL_CA_BUNDLE],
    ["SSL_CERT_FILE", environment.SSL_CERT_FILE],
  ] as const;
  for (const [from, path] of named) {
    if (!path) continue;
    try {
      // A folder of hashed certificates is OpenSSL's form; Deno reads only files, so its own trust has to do.
      if ((await Deno.stat(path)).isDirectory) continue;
      return await Deno.readTextFile(path);
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      throw new NativeError(
        `the certificate file that ${from} names cannot be read: ${words}; correct or unset it`,
        {
          cause: error,
        },
      );
    }
  }
  return undefined;
}
