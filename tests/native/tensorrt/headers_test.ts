/**
 * The header parser on snippets written for these tests: each exercises one construct that NVIDIA's headers use. The
 * real headers are not in the repository; `deno task check-abi` compares them.
 */

import { deepStrictEqual, rejects, strictEqual, throws } from "node:assert/strict";
import { NativeError } from "../../../native/error.ts";
import { parseHeaders, readHeaders } from "../../../native/tensorrt/headers.ts";

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

Deno.test("parseHeaders() keeps virtual methods in order of declaration and leaves the others out", () => {
  deepStrictEqual(
    methods(`
      virtual void setName(char const* name) noexcept = 0;
      void helper(int32_t a, int32_t b) const { if (a < b) { call(); } }
      virtual Dims
          getDimensions(
              char const* name, int32_t index = 0) const noexcept
          = 0;
      static bool equal(int a, int b) { return a == b; }
      VThing& operator=(VThing const&) & = default;
      friend class VOther;
      virtual void notPure() { std::vector<int> v{1, 2}; }
    `),
    ["setName", "getDimensions", "notPure"],
  );
});

Deno.test("parseHeaders() gives every overload a slot of its own", () => {
  deepStrictEqual(
    methods(`
      virtual ICudaEngine* load(void const* blob, std::size_t size) noexcept = 0;
      virtual ICudaEngine* load(IStream& stream) noexcept = 0;
      virtual bool load(IStream& stream) const noexcept = 0;
    `),
    ["load", "load", "load"],
  );
});

Deno.test("parseHeaders() skips comments, strings, attributes and annotating macros", () => {
  deepStrictEqual(
    methods(`
      // virtual void commented() = 0;
      /* virtual void
         alsoCommented() = 0; */
      TRT_NODISCARD virtual bool one() noexcept = 0;
      TRT_DEPRECATED_BECAUSE("use virtual void two(); instead {") virtual bool two() noexcept = 0;
      [[deprecated("three")]] virtual bool three() noexcept = 0;
      __attribute__((noinline)) virtual char const* four() { return "}//"; }
    `),
    ["one", "two", "three", "four"],
  );
});

Deno.test("parseHeaders() compiles conditions as a compiler on Linux would", () => {
  deepStrictEqual(
    methods(`
#if !STRIPPED_SOMEWHERE
      virtual void kept() = 0;
#endif
#ifdef _WIN32
      virtual void windows() = 0;
#elif defined(__linux__) && NV_TENSORRT_MAJOR >= 12
      virtual void linux12() = 0;
#else
      virtual void other() = 0;
#endif
#if 0
#  if 1
      virtual void hidden() = 0;
#  else
      virtual void hiddenToo() = 0;
#  endif
#endif
#define SWITCH \\
        (NV_TENSORRT_MINOR == 2 || !defined __linux__)
#if SWITCH
      virtual void not3() = 0;
#endif
#undef SWITCH
#ifndef SWITCH
      virtual void undefined() = 0;
#endif
    `),
    ["kept", "linux12", "undefined"],
  );
});

Deno.test("parseHeaders() says where a condition cannot be evaluated", () => {
  throws(() => methods("#if __has_include(<x>)\n#endif"), {
    name: "NativeError",
    message: /^NvInferImpl\.h:4: cannot evaluate the condition "__has_include\(<x>\)"$/,
  });
  throws(() => methods("#endif"), /NvInferImpl\.h:4: #endif without #if/);
});

Deno.test("parseHeaders() keeps an override in its base's slot and appends what is new", () => {
  const { interfaces } = headers({
    implementation: `
      class VBase : public VRoot { public:
        virtual void first(int32_t count) = 0;
        virtual void second() const = 0;
      };
      class VDerived final : public VBase, private VMixin { public:
        ~VDerived() override;
        virtual void third() = 0;
        void second() const override;
        virtual void first(int32_t n) = 0;
        virtual void second() = 0;
      };`,
    shells: "class IDerived { public: virtual ~IDerived(); protected: apiv::VDerived* mImpl{}; };",
  });
  deepStrictEqual(interfaces["IDerived"]!.methods, ["first", "second", "third", "second"]);
  strictEqual(interfaces["IDerived"]!.implementation, "VDerived");
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

Deno.test("parseHeaders() passes over templates, enums, functions and linkage blocks", () => {
  const shells = `
    template <> struct EnumMax<Kind> { static constexpr int32_t kVALUE = 3; };
    template <typename T> inline constexpr T max() noexcept { return T{}; }
    enum class Kind : int32_t { kA = 0, kB = 1 };
    struct Forward;
    extern "C" void* createThing_INTERNAL(void* logger, int32_t version) noexcept;
    extern "C" { struct Context; }
    namespace { inline int twice(int n) { return n * 2; } }
    class IThing { public: virtual ~IThing(); apiv::VThing* mImpl; };`;
  const { interfaces } = headers({
    implementation: "class VThing : public VRoot { public: virtual void go() = 0; };",
    shells,
  });
  deepStrictEqual(Object.keys(interfaces), ["IThing"]);
});

Deno.test("parseHeaders() says what is not closed or not declared", () => {
  throws(() => methods("virtual void open() {"), { name: "NativeError", message: /never closed/ });
  throws(
    () => headers({ shells: "class ILost { apiv::VLost* mImpl; };" }),
    /name apiv::VLost in nvinfer1::ILost but do not declare it/,
  );
});

Deno.test("readHeaders() says what a folder lacks", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await rejects(readHeaders(directory), (error: unknown) => {
      strictEqual(error instanceof NativeError, true);
      return /has no NvInferVersion\.h; .*include has no NvInferVersion\.h/.test((error as Error).message);
    });
    await Deno.writeTextFile(`${directory}/NvInferVersion.h`, VERSION);
    await rejects(readHeaders(directory), /has no NvInferRuntimeBase\.h/);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
