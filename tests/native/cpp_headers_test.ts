/** Classes on snippets written for these tests: each exercises one construct that interface headers use. */
import assert from "node:assert/strict";
import { CppClasses, unqualified } from "../../native/cpp/headers.ts";
import { preprocess } from "../../native/cpp/preprocessor.ts";

function read(code: string): CppClasses {
  const macros = new Map<string, string>();
  const classes = new CppClasses({ annotation: /^X_[A-Z_]+$/ });
  classes.read("a.h", preprocess(code, { file: "a.h", macros }), macros);
  return classes;
}

/** The virtual table of a class with this body. */
function methods(body: string): readonly string[] {
  return read(`class Thing { public:\n${body}\n};`).table("Thing");
}

Deno.test("CppClasses.table() keeps virtual methods in order of declaration and leaves the others out", () => {
  assert.deepEqual(
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

Deno.test("CppClasses.table() gives every overload a slot of its own", () => {
  assert.deepEqual(
    methods(`
      virtual ICudaEngine* load(void const* blob, std::size_t size) noexcept = 0;
      virtual ICudaEngine* load(IStream& stream) noexcept = 0;
      virtual bool load(IStream& stream) const noexcept = 0;
    `),
    ["load", "load", "load"],
  );
});

Deno.test("CppClasses.table() skips comments, strings, attributes and annotating macros", () => {
  assert.deepEqual(
    methods(`
      // virtual void commented() = 0;
      /* virtual void
         alsoCommented() = 0; */
      X_NODISCARD virtual bool one() noexcept = 0;
      X_DEPRECATED_BECAUSE("use virtual void two(); instead {") virtual bool two() noexcept = 0;
      [[deprecated("three")]] virtual bool three() noexcept = 0;
      __attribute__((noinline)) virtual char const* four() { return "}//"; }
    `),
    ["one", "two", "three", "four"],
  );
});

Deno.test("CppClasses.table() keeps an override in its base's slot and appends what is new", () => {
  const classes = read(`
    namespace api {
    class Root { public: virtual ~Root() noexcept = default; };
    class Base : public Root { public:
      virtual void first(int32_t count) = 0;
      virtual void second() const = 0;
    };
    class Derived final : public Base, private Mixin { public:
      ~Derived() override;
      virtual void third() = 0;
      void second() const override;
      virtual void first(int32_t n) = 0;
      virtual void second() = 0;
    };
    }`);
  assert.deepEqual(classes.table("api::Derived"), ["~", "~", "first", "second", "third", "second"]);
});

Deno.test("CppClasses.members() tells pointers from members of unknown size, bases apart", () => {
  const classes = read(`
    class Base { protected: Impl* mImpl{}; Dims mDims; };
    class Derived : public Base { public: using Base::get; class Inner; protected:
      static constexpr int32_t kLIMIT = 8; void (*mCallback)(int); api::Other* mOther = nullptr; };`);
  const types = (members: ReturnType<CppClasses["members"]>) => members.map(({ type }) => type);
  assert.deepEqual(types(classes.inheritedMembers("Derived")), ["Impl", undefined]);
  assert.deepEqual(types(classes.members("Derived")), ["*", "api::Other"]);
});

Deno.test("CppClasses.find() looks outwards and through aliases", () => {
  const classes = read(`
    namespace outer { namespace v_1_0 { class Thing { virtual void go() = 0; }; }
    using Thing = v_1_0::Thing; class User {}; }`);
  assert.equal(classes.find("Thing", "outer::User"), "outer::v_1_0::Thing");
  assert.deepEqual(classes.table("outer::Thing"), ["go"]);
  assert.equal(unqualified("outer::v_1_0::Thing"), "Thing");
  assert.throws(() => classes.find("Lost", "outer"), {
    name: "NativeError",
    message: "the headers name Lost in outer but do not declare it",
  });
});

Deno.test("CppClasses.names() passes over templates, enums, functions and linkage blocks", () => {
  const classes = read(`
    template <> struct EnumMax<Kind> { static constexpr int32_t kVALUE = 3; };
    template <typename T> inline constexpr T max() noexcept { return T{}; }
    enum class Kind : int32_t { kA = 0, kB = 1 };
    struct Forward;
    extern "C" void* createThing_INTERNAL(void* logger, int32_t version) noexcept;
    extern "C" { struct Context; }
    namespace { inline int twice(int n) { return n * 2; } }
    class Thing { public: virtual ~Thing(); Implementation* mImpl; };
    inline Thing::~Thing() noexcept = default;`);
  assert.deepEqual(classes.names(), ["Thing"]);
});

Deno.test("CppClasses.read() says what is not closed", () => {
  assert.throws(() => methods("virtual void open() {"), {
    name: "NativeError",
    message: /^a\.h:1: .*never closed$/,
  });
  assert.throws(() => read("}"), {
    name: "NativeError",
    message: "a.h:1: a closing brace without an opening one",
  });
});
