/**
 * The Enterprise slot tables, held to what is known of them from elsewhere, and the check-abi command on
 * headers written out from a layout.
 */

import { deepStrictEqual, match, strictEqual, throws } from "node:assert/strict";
import { changesFrom, checkAbi, compareLayout, layoutFor } from "../../../native/tensorrt/abi/check_abi.ts";
import type { TensorRtHeaders } from "../../../native/tensorrt/abi/headers.ts";
import { FIRST_SLOT, type Layout } from "../../../native/tensorrt/abi/layout.ts";
import { ENTERPRISE_10 } from "../../../native/tensorrt/abi/layouts/enterprise_10.ts";
import { ENTERPRISE_11 } from "../../../native/tensorrt/abi/layouts/enterprise_11.ts";
import { RTX_1 } from "../../../native/tensorrt/abi/layouts/rtx_1.ts";
import { layoutsFromReleases } from "../../../native/tensorrt/abi/releases.ts";
import { TemporaryFolder } from "../support.ts";

const ENTERPRISE = [...ENTERPRISE_10, ...ENTERPRISE_11];
const KNOWN = [...ENTERPRISE, ...RTX_1];

function layout(version: string): Layout {
  return KNOWN.find((candidate) => candidate.version === version)!;
}

function slot(version: string, method: `${string}.${string}`): number {
  const [name = "", word = ""] = method.split(".");
  return layout(version).interfaces[name]!.indexOf(word) + FIRST_SLOT;
}

/** What parsing headers of exactly this layout would give. */
function headersOf(
  { flavour, version, libVersions, loggerSlot, progressSlot, interfaces }: Layout,
): TensorRtHeaders {
  return {
    flavour,
    version,
    libVersion: libVersions[0],
    loggerSlot,
    progressSlot,
    interfaces: Object.fromEntries(
      Object.entries(interfaces).map(([name, methods]) => [name, {
        implementation: `V${name.slice(1)}`,
        offsetBytes: name !== "ILayer" && name.endsWith("Layer") ? 16 : 8,
        methods: methods.map((method) => method ?? "unknown"),
      }]),
    ),
  };
}

/** A folder of headers that declare exactly this layout. */
async function withHeaders(of: Layout, body: (directory: string) => Promise<void>): Promise<void> {
  const [major, minor] = of.version.split(".");
  const tables = Object.entries(of.interfaces);
  const versioned = of.loggerSlot === 4;
  const files = {
    "NvInferVersion.h": `#define NV_TENSORRT_MAJOR ${major}
      #define NV_TENSORRT_MINOR ${minor}
      #define NV_TENSORRT_PATCH 0`,
    "NvInferRuntimeBase.h": "#define NV_TENSORRT_VERSION_INT(a, b, c) ((a) *10000L + (b) *100L + (c) *1L)",
    "NvInferImpl.h": `namespace nvinfer1 { namespace apiv {
      class VRoot { public: virtual ~VRoot(); };
      ${
      tables.map(([name, methods]) =>
        `class V${name.slice(1)} : public VRoot { public:
        ${methods.map((method, index) => `virtual void ${method}(T${index}) = 0;`).join("\n")} };`
      ).join("\n")
    } } }`,
    "NvInferRuntime.h": `namespace nvinfer1 {
      class Versioned { public: virtual int language(); virtual int info(); virtual ~Versioned(); };
      class ILogger ${
      versioned ? ": public Versioned " : ""
    }{ public: virtual void log(); virtual ~ILogger(); };
      class IProgressMonitor : public Versioned { public: virtual void phaseStart(); }; }`,
    "NvInfer.h": `namespace nvinfer1 { class INoCopy { protected: virtual ~INoCopy(); };
      class ILayer : public INoCopy { apiv::VLayer* mLayer; };
      ${
      tables.filter(([name]) => name !== "ILayer").map(([name]) =>
        `class ${name} : public ${name.endsWith("Layer") ? "ILayer" : "INoCopy"} { apiv::V${
          name.slice(1)
        }* mImpl; };`
      ).join("\n")
    } }`,
  };
  await using folder = await TemporaryFolder.make();
  await Deno.mkdir(`${folder.path}/include`);
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(`${folder.path}/include/${name}`, text);
  }
  await body(folder.path);
}

async function run(args: readonly string[], layouts: readonly Layout[] = ENTERPRISE) {
  const out: string[] = [];
  const errors: string[] = [];
  const status = await checkAbi(args, {
    layouts,
    print: (text) => out.push(text),
    printError: (text) => errors.push(text),
  });
  return { status, out: out.join("\n"), errors: errors.join("\n") };
}

Deno.test("ENTERPRISE_10 and ENTERPRISE_11 hold each minor version once, in order", () => {
  deepStrictEqual(
    ENTERPRISE_10.map(({ version }) => version),
    Array.from({ length: 17 }, (_, i) => `10.${i}`),
  );
  deepStrictEqual(ENTERPRISE_11.map(({ version }) => version), ["11.0", "11.1"]);
  ENTERPRISE.forEach(({ flavour, exercised, libVersions: [first, last] }, index) => {
    deepStrictEqual([flavour, exercised, last - first], ["enterprise", false, 99]);
    if (index > 0) strictEqual(first > ENTERPRISE[index - 1]!.libVersions[1], true);
  });
  deepStrictEqual(layout("10.16").libVersions, [101600, 101699]);
});

Deno.test("ENTERPRISE_10 and ENTERPRISE_11 name each method once, but for one overload", () => {
  for (const { version, interfaces } of ENTERPRISE) {
    for (const [name, methods] of Object.entries(interfaces)) {
      const repeated = methods.filter((method, index) => methods.indexOf(method) !== index);
      const expected = name === "IRuntime" && version.startsWith("10.") ? ["deserializeCudaEngine"] : [];
      deepStrictEqual(repeated, expected, `${version} ${name}`);
      strictEqual(methods.every((method) => method !== null && /^[a-z]\w+$/.test(method)), true);
    }
  }
});

Deno.test("ENTERPRISE_11 has the slots that are known of 11.1", () => {
  strictEqual(slot("11.1", "INetworkDefinition.addNormalization"), 58);
  strictEqual(slot("11.1", "INetworkDefinition.addCast"), 59);
  strictEqual(slot("11.1", "INetworkDefinition.addAttention"), 81);
  strictEqual(slot("11.1", "ITensor.setBroadcastAcrossBatch"), 9);
  strictEqual(slot("11.1", "ITensor.setAllowedFormats"), 13);
  strictEqual(slot("11.1", "IBuilderConfig.setProgressMonitor"), 45);
  strictEqual(slot("11.1", "IBuilderConfig.getAllBuildRoutes"), 59);
  strictEqual(slot("11.1", "IRuntime.deserializeCudaEngineV2"), 22);
  strictEqual(layout("11.1").loggerSlot, 4);
  deepStrictEqual(
    layout("11.0").interfaces["INetworkDefinition"],
    layout("11.1").interfaces["INetworkDefinition"],
  );
});

Deno.test("ENTERPRISE_10 has the slots that are known of 10.x", () => {
  strictEqual(slot("10.16", "INetworkDefinition.addNormalization"), 61);
  strictEqual(slot("10.16", "IBuilder.buildSerializedNetwork"), 14);
  strictEqual(slot("10.0", "ITensor.setAllowedFormats"), 19);
  strictEqual(layout("10.16").loggerSlot, 0);
  strictEqual(layout("10.13").interfaces["IAttention"], undefined);
  strictEqual(slot("10.14", "INetworkDefinition.addAttention"), 84);
});

Deno.test("RTX_1 has the slots that were measured from 1.7.1, and is the one that tests run", () => {
  strictEqual(slot("1.7", "IBuilder.buildSerializedNetwork"), 11);
  strictEqual(slot("1.7", "INetworkDefinition.addNormalization"), 56);
  strictEqual(slot("1.7", "INetworkDefinition.addSqueezeV2"), 87);
  strictEqual(slot("1.7", "ITensor.setAllowedFormats"), 9);
  strictEqual(slot("1.7", "IBuilderConfig.setComputeCapability"), 57);
  strictEqual(slot("1.7", "IBuilderConfig.getAllBuildRoutes"), 61);
  strictEqual(slot("1.7", "IExecutionContext.isStreamCapturable"), 52);
  strictEqual(slot("1.7", "IRuntime.getEngineValidity"), 24);
  strictEqual(slot("1.7", "IRuntimeConfig.createRuntimeCache"), 5);
  deepStrictEqual(layout("1.7").libVersions, [10700, 10799]);
  deepStrictEqual(KNOWN.filter(({ exercised }) => exercised), [layout("1.7")]);
});

Deno.test("ENTERPRISE_10 only grows at the end, but for addCumulative in 10.8", () => {
  ENTERPRISE_10.slice(1).forEach(({ version, interfaces }, index) => {
    for (const [name, before] of Object.entries(ENTERPRISE_10[index]!.interfaces)) {
      if (name === "INetworkDefinition" && (version === "10.8" || version === "10.9")) continue;
      deepStrictEqual(interfaces[name]!.slice(0, before.length), before, `${version} ${name}`);
    }
  });
  strictEqual(slot("10.8", "INetworkDefinition.addCumulative"), 63);
  strictEqual(slot("10.9", "INetworkDefinition.addCumulative"), 78);
  strictEqual(slot("10.9", "INetworkDefinition.getBuilder"), slot("10.7", "INetworkDefinition.getBuilder"));
});

Deno.test("layoutsFromReleases() refuses a release that names a missing method", () => {
  throws(
    () =>
      layoutsFromReleases([{ minor: 0, removed: { ITensor: "setName" } }], {
        flavour: "enterprise",
        major: 12,
        loggerSlot: 4,
        progressSlot: 4,
        from: {},
      }),
    { name: "NativeError", message: /release \.0 names ITensor::setName, which is not there/ },
  );
});

Deno.test("layoutFor() gives the layout of a version or the nearest of its flavour", () => {
  const version = (libVersion: number) => {
    const { layout, exact } = layoutFor({ flavour: "enterprise", libVersion }, ENTERPRISE);
    return [layout?.version, exact];
  };
  deepStrictEqual(version(101303), ["10.13", true]);
  deepStrictEqual(version(101702), ["10.16", false]);
  deepStrictEqual(version(110200), ["11.1", false]);
  deepStrictEqual(layoutFor({ flavour: "rtx", libVersion: 10701 }, ENTERPRISE), {
    layout: undefined,
    exact: false,
  });
});

Deno.test("compareLayout() finds no difference in a layout's own headers", () => {
  for (const known of ENTERPRISE) {
    const { equal, interfaces } = compareLayout(known, headersOf(known));
    strictEqual(equal, true);
    strictEqual(interfaces.length, Object.keys(known.interfaces).length + 2);
  }
});

Deno.test("compareLayout() names the first slot that differs and both methods", () => {
  const differences = (known: Layout, headers: TensorRtHeaders) =>
    compareLayout(known, headers).interfaces.flatMap(({ name, equalSlots, difference }) =>
      difference === null ? [] : [`${name} ${equalSlots} ${difference}`]
    );
  deepStrictEqual(differences(layout("11.0"), headersOf(layout("11.1"))), [
    "IBuilderConfig 55 slot 57: the layout says nothing, the headers say setBuildRoute",
  ]);
  deepStrictEqual(
    differences(layout("10.8"), headersOf(layout("10.9")))[0],
    "INetworkDefinition 61 slot 63: the layout says addCumulative, the headers say getBuilder",
  );
  const headers = headersOf(layout("11.1"));
  const { IMoELayer: _, ...others } = headers.interfaces;
  deepStrictEqual(
    differences(layout("11.1"), {
      ...headers,
      loggerSlot: 0,
      interfaces: { ...others, ITensor: { ...others["ITensor"]!, offsetBytes: 16 } },
    }),
    [
      "ILogger::log 0 the layout says slot 4, the headers say slot 0",
      "ITensor 17 the object keeps its implementation at byte 16, not at 8",
      "IMoELayer 0 not in these headers",
    ],
  );
});

Deno.test("compareLayout() takes a slot the layout does not know as equal", () => {
  const known = layout("11.1");
  const [first, , ...rest] = known.interfaces["IRuntime"]!;
  const partial = { ...known, interfaces: { ...known.interfaces, IRuntime: [first!, null, ...rest] } };
  const { equal, interfaces } = compareLayout(partial, headersOf(known));
  strictEqual(equal, true);
  strictEqual(interfaces.find(({ name }) => name === "IRuntime")!.equalSlots, 20);
});

Deno.test("changesFrom() says what a new version's tables would be", () => {
  deepStrictEqual(changesFrom(layout("11.0"), headersOf(layout("11.1"))), [
    "IBuilderConfig: appended setBuildRoute getBuildRoute getAllBuildRoutes",
  ]);
  const changes = changesFrom(layout("10.16"), headersOf(layout("11.0")));
  strictEqual(
    changes.includes(
      "INetworkDefinition: removed addFill addDequantize addQuantize; appended addAttentionV2",
    ),
    true,
  );
  match(
    changes.find((change) => change.startsWith("IRuntime"))!,
    /^IRuntime: now getPImpl deserializeCudaEngine setDLACore /,
  );
});

Deno.test("checkAbi() exits 0 for headers of a known layout and says that nothing was run", async () => {
  await withHeaders(layout("11.1"), async (directory) => {
    const { status, out } = await run(["--headers", directory]);
    strictEqual(status, 0, out);
    match(
      out,
      /^Headers of TensorRT 11\.1 \(library version 110100\)\n.*layout 11\.1, which its tests do not run/,
    );
    match(out, /INetworkDefinition\s+87 {2}equal/);
    match(out, /All 580 slots are equal\.\nCompared with headers only/);
    const json = JSON.parse((await run(["--headers", `${directory}/include`, "--json"])).out);
    deepStrictEqual([json.equal, json.layout.version, json.interfaces.length], [true, "11.1", 43]);
  });
  await withHeaders(layout("10.16"), async (directory) => {
    strictEqual((await run(["--headers", directory])).status, 0);
  });
});

Deno.test("checkAbi() exits 1 on a difference and for a version without a layout", async () => {
  await withHeaders(layout("11.1"), async (directory) => {
    const args = ["--headers", directory];
    const wrong = await run(args, [{ ...layout("11.0"), libVersions: layout("11.1").libVersions }]);
    strictEqual(wrong.status, 1);
    match(wrong.out, /slot 57: the layout says nothing, the headers say setBuildRoute/);
    match(wrong.out, /1 of 43 rows differ/);

    const unknown = await run(args, [layout("11.0")]);
    strictEqual(unknown.status, 1);
    match(unknown.out, /no layout for it and refuses such a library; compared with the nearest, 11\.0/);
    match(unknown.out, /From 11\.0 to these headers:\n {2}IBuilderConfig: appended setBuildRoute/);

    strictEqual((await run(args, [{ ...layout("11.1"), libVersions: [110200, 110299] }])).status, 1);
    const none = await run(args, []);
    strictEqual(none.status, 1);
    match(none.out, /no layout of TensorRT at all/);
  });
});

Deno.test("checkAbi() exits 2 with one line for wrong arguments or headers it cannot read", async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /--headers DIR is missing/],
    [["--headers"], /--headers/],
    [["--header", "x"], /Unknown option '--header'/],
    [["include"], /Unexpected argument 'include'/],
    [["--headers", "/nowhere/at/all"], /\/nowhere\/at\/all has no NvInferVersion\.h/],
  ];
  for (const [args, message] of cases) {
    const { status, out, errors } = await run(args);
    strictEqual(status, 2);
    strictEqual(out, "");
    match(errors, message);
    strictEqual(errors.includes("\n"), false);
  }
});

Deno.test("checkAbi() prints its usage on --help", async () => {
  const { status, out } = await run(["--help"]);
  strictEqual(status, 0);
  match(out, /deno task check-abi --headers DIR/);
});
