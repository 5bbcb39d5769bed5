/**
 * The environment variables that finding TensorRT or OpenVINO and downloading wheels read, as one closed
 * list: a program can grant exactly these with `--allow-env`, and the tasks do, in deno.json's permission
 * sets (beside UNFOLD_DEBUG, ORT_DISABLE_TELEMETRY and GITHUB_STEP_SUMMARY). A variable that is not permitted
 * counts as not set.
 */

export const ENVIRONMENT_NAMES = [
  "UNFOLD_TENSORRT_LIB",
  "UNFOLD_OPENVINO_LIB",
  // Where libraries and Python packages are.
  "LD_LIBRARY_PATH",
  "PATH",
  "VIRTUAL_ENV",
  "CONDA_PREFIX",
  "PYTHONPATH",
  "PYENV_ROOT",
  // The user's folders.
  "HOME",
  "USERPROFILE",
  "APPDATA",
  "LOCALAPPDATA",
  "XDG_CACHE_HOME",
  "XDG_CONFIG_HOME",
  // pip's conventions for the package index and its certificates.
  "PIP_INDEX_URL",
  "PIP_NO_INDEX",
  "PIP_CONFIG_FILE",
  "PIP_CERT",
  "REQUESTS_CA_BUNDLE",
  "CURL_CA_BUNDLE",
  "SSL_CERT_FILE",
] as const;

export type EnvironmentName = typeof ENVIRONMENT_NAMES[number];

export type Environment = { readonly [Name in EnvironmentName]?: string | undefined };

/** The process's environment, as far as it may be read; a variable set to "" counts as not set. */
export function readEnvironment(): Environment {
  const environment: { [Name in EnvironmentName]?: string } = {};
  for (const name of ENVIRONMENT_NAMES) {
    const value = permitted(name);
    if (value !== undefined && value !== "") environment[name] = value;
  }
  return environment;
}

function permitted(name: EnvironmentName): string | undefined {
  try {
    return Deno.env.get(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}

/** What the names of libraries and folders depend on: Deno's words for them. */
export interface Platform {
  readonly os: string;
  readonly arch: string;
}

export const THIS_PLATFORM: Platform = { os: Deno.build.os, arch: Deno.build.arch };

/** The user's own folder, where the environment names one. */
export function homeFolder(environment: Environment, { os }: Platform = THIS_PLATFORM): string | undefined {
  const { HOME, USERPROFILE } = environment;
  // Shells ported to Windows set HOME, too, not always to a path of Windows.
  return (os === "windows" ? USERPROFILE || HOME : HOME || USERPROFILE) || undefined;
}
