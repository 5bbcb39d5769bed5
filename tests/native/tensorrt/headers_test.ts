/**
 * What is read from NVIDIA's headers, on snippets written for these tests. The real headers are not in the
 * repository; `deno task check-abi` compares them.
 */

import { deepStrictEqual, rejects, throws } from "node:assert/strict";
import { parseHeaders, readHeaders } from "../../../native/tensorrt/abi/headers.ts";
import { refusal, TemporaryFolder } from "../support.ts";

interface Snippets {
  readonly version?: string;
  readonly base?: string;
  readonly implementation?: string;
  readonly shells?: string;
  readonly logger?: string;
}

const VERSION = `
#define TRT_MAJOR_ENTERPRISE 12
#define TRT_MINOR_ENTERPRISE 3
#define NV_TENSORRT_MAJOR TRT_MAJOR_ENTERPRISE //!< the major version
#define NV_TENSORRT_MINOR TRT_MINOR_ENTERPRISE /* the minor one */
#define NV_TENSORRT_PATCH 4
`;

const BASE = `
#define NV_TENSORRT_VERSION_INT(major, minor, patch) ((major) *10000L + (minor) *100L + (patch) *1L)
namespace nvinfer1 {
class IVersionedInterface
{
public:
    virtual int getAPILanguage() const noexcept { return 0; }
    virtual InterfaceInfo getInterfaceInfo() const noexcept = 0;
    virtual ~IVersionedInterface() noexcept = default;
};
namespace v_1_0 {
class IProgressMonitor : public IVersionedInterface
{
public:
    virtual ~IProgressMonitor() noexcept = default;
    InterfaceInfo getInterfaceInfo() const noexcept override { return InterfaceInfo{"IProgressMonitor", 1, 0}; }
    virtual void phaseStart(char const* name, char const* parent, int32_t steps) noexcept = 0;
};
}
using IProgressMonitor = v_1_0::IProgressMonitor;
}
`;

const PLAIN_LOGGER = `
class ILogger {
public:
    enum class Severity : int32_t { kERROR = 1, };
    virtual void log(Severity severity, char const* message) noexcept = 0;
    ILogger() = default;
    virtual ~ILogger() = default;
};`;

const ROOT = "class VRoot { public: virtual ~VRoot() noexcept = default; };";

function headers({ version = VERSION, base = BASE, implementation = "", shells = "", logger }: Snippets) {
  return parseHeaders(
    new Map([
      ["NvInferVersion.h", version],
      ["NvInferRuntimeBase.h", base],
      ["NvInferImpl.h", `namespace nvinfer1 { namespace apiv {\n${ROOT}\n${implementation}\n} }`],
      ["NvInfer.h", `namespace nvinfer1 {\n${logger ?? PLAIN_LOGGER}\n${shells}\n}`],
    ]),
  );
}

/** Methods of one implementation class with the given body, behind a shell of its own. */
function methods(body: string): readonly string[] {
  const parsed = headers({
    implementation: `class VThing : public VRoot { public:\n${body}\n};`,
    shells: "class IThing { public: virtual ~IThing(); protected: apiv::VThing* mImpl; };",
  });
  return parsed.interfaces["IThing"]!.methods;
}

Deno.test("parseHeaders() reads version, flavour and the answer of getInferLibVersion()", () => {
  const { flavour, version, libVersion } = headers({});
  deepStrictEqual({ flavour, version, libVersion }, {
    flavour: "enterprise",
    version: "12.3",
    libVersion: 120304,
  });
  const rtx = headers({
    version: `#define TRT_MAJOR_RTX 1
      #define NV_TENSORRT_MAJOR TRT_MAJOR_RTX
      #define NV_TENSORRT_MINOR 7
      #define NV_TENSORRT_PATCH 1`,
  });
  deepStrictEqual([rtx.flavour, rtx.version, rtx.libVersion], ["rtx", "1.7", 10701]);
});

Deno.test("parseHeaders() refuses headers that do not state a version", () => {
  throws(() => headers({ version: "#define NV_TENSORRT_MAJOR ten" }), {
    name: "NativeError",
    message: /NvInferVersion\.h does not define NV_TENSORRT_MAJOR as a number/,
  });
  throws(() => headers({ base: "" }), /NV_TENSORRT_VERSION_INT/);
});

Deno.test("parseHeaders() knows the version in conditions, and NVIDIA's annotating macros", () => {
  deepStrictEqual(
    methods(`
#if defined(__linux__) && NV_TENSORRT_MAJOR >= 12
      TRT_NODISCARD virtual bool one() noexcept = 0;
#endif
#if NV_TENSORRT_MINOR == 2
      virtual void two() noexcept = 0;
#endif
      TRT_DEPRECATED_BECAUSE("use virtual void two(); instead {") virtual bool three() noexcept = 0;
    `),
    ["one", "three"],
  );
});

Deno.test("parseHeaders() refuses an implementation whose destructor does not come first", () => {
  throws(
    () =>
      headers({
        implementation: "class VLate { public: virtual void first() = 0; virtual ~VLate(); };",
        shells: "class ILate { apiv::VLate* mImpl; };",
      }),
    /VLate: its first two slots are not the destructor's/,
  );
});

Deno.test("parseHeaders() finds where an object keeps its implementation", () => {
  const { interfaces } = headers({
    implementation: `
      class VLayer : public VRoot { public: virtual int getType() = 0; };
      class VGateLayer : public VRoot {};
      class VSized : public VRoot {};`,
    shells: `
      class INoCopy { protected: virtual ~INoCopy() = default; INoCopy(INoCopy const&) = delete; };
      class ILayer : public INoCopy { public: int getType() { return mLayer->getType(); } protected:
        virtual ~ILayer() noexcept = 0; apiv::VLayer* mLayer; };
      inline ILayer::~ILayer() noexcept = default;
      class IGateLayer : public ILayer { public: using ILayer::getType; class Inner; protected:
        static constexpr int32_t kLIMIT = 8; void (*mCallback)(int); apiv::VGateLayer* mImpl = nullptr; };
      class ISized : public INoCopy { Dims mDims; apiv::VSized* mImpl; };`,
  });
  deepStrictEqual(interfaces, {
    ILayer: { implementation: "VLayer", offsetBytes: 8, methods: ["getType"] },
    IGateLayer: { implementation: "VGateLayer", offsetBytes: 24, methods: [] },
    ISized: { implementation: "VSized", offsetBytes: undefined, methods: [] },
  });
});

Deno.test("parseHeaders() finds the callbacks' slots in plain and in versioned interfaces", () => {
  const plain = headers({});
  deepStrictEqual([plain.loggerSlot, plain.progressSlot], [0, 4]);
  const versioned = headers({
    logger: `namespace v_1_0 { class ILogger : public IVersionedInterface { public:
        InterfaceInfo getInterfaceInfo() const noexcept override { return {"ILogger", 1, 0}; }
        virtual void log(Severity severity, char const* message) noexcept = 0;
        ~ILogger() override = default; }; }
      using ILogger = v_1_0::ILogger;`,
  });
  deepStrictEqual([versioned.loggerSlot, versioned.progressSlot], [4, 4]);
});

Deno.test("parseHeaders() says what is not declared", () => {
  throws(
    () => headers({ shells: "class ILost { apiv::VLost* mImpl; };" }),
    /name apiv::VLost in nvinfer1::ILost but do not declare it/,
  );
});

Deno.test("readHeaders() says what a folder lacks", async () => {
  await using folder = await TemporaryFolder.make();
  await rejects(
    readHeaders(folder.path),
    refusal(/has no NvInferVersion\.h; .*include has no NvInferVersion\.h/),
  );
  await Deno.writeTextFile(`${folder.path}/NvInferVersion.h`, VERSION);
  await rejects(readHeaders(folder.path), /has no NvInferRuntimeBase\.h/);
});
