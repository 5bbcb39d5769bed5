import assert from "node:assert/strict";
import { join } from "node:path";
import type { Environment } from "../../../native/system/environment.ts";
import { readIndexSettings } from "../../../native/wheel/pip_settings.ts";
import { failure, TemporaryFolder } from "../support.ts";
import { BARE } from "./fake_wheel.ts";

Deno.test("readIndexSettings() follows pip's order and keeps credentials out of the address", async () => {
  await using folder = await TemporaryFolder.make();
  const config = join(folder.path, "pip.conf");
  await Deno.writeTextFile(
    config,
    "[global]\nindex_url = https://global.invalid/simple\n\n; note\n[install]\n",
  );
  const fromFile = await readIndexSettings({ PIP_CONFIG_FILE: config });
  assert.equal(fromFile.indexUrl.href, "https://global.invalid/simple");

  await Deno.writeTextFile(
    config,
    "[install]\nindex-url=https://me:pass@install.invalid/\n[global]\nindex-url=x\n",
  );
  const fromSection = await readIndexSettings({ PIP_CONFIG_FILE: config });
  assert.equal(fromSection.indexUrl.href, "https://install.invalid/");
  assert.equal(fromSection.authorization, `Basic ${btoa("me:pass")}`);

  const fromVariable = await readIndexSettings({
    PIP_CONFIG_FILE: config,
    PIP_INDEX_URL: "http://variable.invalid",
  });
  assert.equal(fromVariable.indexUrl.href, "http://variable.invalid/");
  assert.equal((await readIndexSettings(BARE)).indexUrl.href, "https://pypi.org/simple");
});

Deno.test("readIndexSettings() refuses settings it cannot follow", async () => {
  const cases: readonly (readonly [Environment, RegExp])[] = [
    [{ PIP_INDEX_URL: "pypi" }, /^PIP_INDEX_URL is not an address with https:\/\/$/],
    [
      { PIP_INDEX_URL: "file:///simple" },
      /^PIP_INDEX_URL names file:\/\/\/simple; UNfold reads indexes over https/,
    ],
    [{ PIP_NO_INDEX: "1" }, /^PIP_NO_INDEX is set/],
    [
      { PIP_CERT: "/nowhere/ca.pem" },
      /^the certificate file that PIP_CERT names cannot be read: .+; correct or unset/,
    ],
  ];
  for (const [environment, words] of cases) {
    assert.match(await failure(readIndexSettings({ ...BARE, ...environment })), words);
  }
});
