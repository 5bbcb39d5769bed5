// The objects of the TensorRT stand-in: their layout, who made whom, and what they hold. Methods are in tensorrt.cpp.
#pragma once
#include "stand_in.h"
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>
#include "layout.inc"  // LIB_VERSION, IS_VERSIONED, and the tables' declarations

namespace {
struct Dims { int32_t nbDims; int64_t d[8]; };
struct Weights { int32_t type; void const* values; int64_t count; };
struct InterfaceInfo { char const* kind; int32_t major, minor; };

// The interfaces UNfold implements, as real C++ classes: the compiler places their methods, not a table of ours.
#if IS_VERSIONED
struct IVersionedInterface {
    virtual int32_t getAPILanguage() const noexcept = 0;
    virtual InterfaceInfo getInterfaceInfo() const noexcept = 0;
    virtual ~IVersionedInterface() noexcept = default;
};
struct ILogger : IVersionedInterface { virtual void log(int32_t severity, char const* text) noexcept = 0; };
struct IProfiler : IVersionedInterface { virtual void reportLayerTime(char const* layer, float ms) noexcept = 0; };
template <class T> void checkKind(T* object, char const* kind) {
    InterfaceInfo const info = object->getInterfaceInfo();
    if (object->getAPILanguage() != 0 || std::strcmp(info.kind, kind) != 0 || info.major != 1 || info.minor != 0) {
        stand_in_die(std::string("an object is no ") + kind + " 1.0");
    }
}
#else
struct ILogger { virtual void log(int32_t severity, char const* text) noexcept = 0; virtual ~ILogger() = default; };
struct IProfiler { virtual void reportLayerTime(char const* layer, float ms) noexcept = 0; virtual ~IProfiler() = default; };
template <class T> void checkKind(T*, char const*) {}
#endif

ILogger* logger = nullptr;
void log(int32_t severity, std::string const& text) { logger->log(severity, ("stand-in: " + text).c_str()); }
bool refuse(std::string const& method, std::string const& why) {
    log(1, method + ": Error Code 3: API Usage Error (" + why + ")");
    return false;
}

struct Object;
struct Shell { virtual ~Shell(); Object* impl; };
struct Object {
    void const* const* table;
    char const* type;
    Object* parent;
    void (*destroy)(Object*);
    int children = 0;
    Shell* shell = new Shell();
};
std::set<Object*> living;
std::mutex mutex;  // objects end on threads of their own

template <class T> T* create(void const* const* table, char const* type, Object* parent) {
    if (table[0] == nullptr) stand_in_die(std::string(type) + " is not in this layout");
    T* object = new T();
    static_cast<Object&>(*object) = {table, type, parent, [](Object* self) { delete static_cast<T*>(self); }, 0, object->shell};
    object->shell->impl = object;
    std::lock_guard<std::mutex> lock(mutex);
    if (parent) ++parent->children;
    living.insert(object);
    stand_in_count(type, 1);
    return object;
}
Shell::~Shell() {
    std::lock_guard<std::mutex> lock(mutex);
    if (!living.erase(impl)) stand_in_die("an object was destroyed twice");
    if (impl->children) stand_in_die(std::string(impl->type) + " was destroyed before what it made");
    if (impl->parent) --impl->parent->children;
    stand_in_count(impl->type, -1);
    impl->destroy(impl);
}
template <class T> Shell* shellOf(T* object) { return object ? object->shell : nullptr; }

struct Plan {
    char magic[16];
    uint32_t flags;  // 1 refittable, 2 not capturable, 4 weights streamable, 8 suboptimal here, 16 for another GPU
    int32_t inputs, outputs, profiles;
    int32_t sizes[4][3];  // min, opt, max of the batch
    float layerMs[2];
};
enum { kRefittable = 1, kNotCapturable = 2, kStreamable = 4, kSuboptimal = 8, kOtherGpu = 16 };
char const kMagic[17] = "UNFOLD STAND-IN\n";
char const* const kLayers[2] = {"fc.weight", "fc.bias"};

struct HostMemory : Object { std::vector<char> bytes; };
struct Runtime : Object {};
struct Engine : Object {
    Plan plan;
    std::vector<float> weights[2];
    int64_t budget = 0;
    int contexts = 0;
    int64_t weightBytes() const { return 4 * int64_t(weights[0].size() + weights[1].size()); }
};
struct RuntimeConfig : Object { struct RuntimeCache* cache = nullptr; };
struct RuntimeCache : Object { std::set<int32_t> compiled; };
struct Inspector : Object { std::string text; bool hasContext = false; };
struct Refitter : Object { std::map<int, Weights> given; };
struct Context : Object {
    Engine* engine;
    RuntimeCache* cache = nullptr;
    int32_t profile = 0;
    int64_t batch = -1;
    std::map<std::string, void*> addresses;
    IProfiler* profiler = nullptr;
    bool emits = true, hasRun = false;
    ~Context() {
        --engine->contexts;
        if (cache) --cache->children;
    }
};

std::string refused;  // why readPlan refused
Engine* readPlan(Object* parent, void const* blob, size_t size) {
    Plan plan;
    if (size < sizeof plan) { refused = "the plan is cut short"; return nullptr; }
    std::memcpy(&plan, blob, sizeof plan);
    if (std::memcmp(plan.magic, kMagic, 16) != 0) { refused = "magic number is not that of a stand-in's plan"; return nullptr; }
    size_t const counts[2] = {size_t(plan.inputs) * plan.outputs, size_t(plan.outputs)};
    if (size != sizeof plan + 4 * (counts[0] + counts[1])) { refused = "the plan's weights are cut short"; return nullptr; }
    auto* engine = create<Engine>(table_ICudaEngine, "ICudaEngine", parent);
    engine->plan = plan;
    char const* from = static_cast<char const*>(blob) + sizeof plan;
    for (int i = 0; i < 2; ++i) {
        engine->weights[i].resize(counts[i]);
        std::memcpy(engine->weights[i].data(), from, 4 * counts[i]);
        from += 4 * counts[i];
    }
    engine->budget = engine->weightBytes();
    return engine;
}
Shell* memoryOf(void const* bytes, size_t size) {
    auto* memory = create<HostMemory>(table_IHostMemory, "IHostMemory", nullptr);
    memory->bytes.assign(static_cast<char const*>(bytes), static_cast<char const*>(bytes) + size);
    return memory->shell;
}
int tensorOf(char const* name) { return std::strcmp(name, "x") == 0 ? 0 : std::strcmp(name, "y") == 0 ? 1 : -1; }
Dims dimsOf(Engine const& engine, int tensor, int64_t batch) {
    return tensor < 0 ? Dims{-1, {}} : Dims{2, {batch, tensor == 0 ? engine.plan.inputs : engine.plan.outputs}};
}
int64_t declaredBatch(Plan const& plan) {
    return plan.profiles == 1 && plan.sizes[0][0] == plan.sizes[0][2] ? plan.sizes[0][0] : -1;
}
Shell* contextOf(Engine* engine, Object* parent, RuntimeCache* cache) {
    auto* context = create<Context>(table_IExecutionContext, "IExecutionContext", parent);
    context->engine = engine;
    context->cache = cache;
    if (cache) ++cache->children;
    ++engine->contexts;
    context->batch = declaredBatch(engine->plan);
    return context->shell;
}
}  // namespace
