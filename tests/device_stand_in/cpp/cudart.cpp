// A stand-in of the CUDA runtime, as far as native/cuda calls it. Device memory is host memory. Streams keep their work
// until they are synchronized, each with a clock that advances by what its work is said to cost: a copied byte 1/1024 ms.
// Memory is checked: every copy against the bounds of its allocation, every allocation's margins when it is freed.
#include "stand_in.h"
#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

namespace {
using Error = int;
enum : Error {
    kOk = 0, kInvalidValue = 1, kOutOfMemory = 2, kNoDevice = 100, kNotReady = 600, kCaptureUnsupported = 900,
    kCaptureInvalidated = 901
};
constexpr double kMsPerByte = 1.0 / 1024;
constexpr size_t kMargin = 64;
constexpr size_t kDeviceBytes = size_t(1) << 30;

struct EventState { double at = 0; bool reached = false; struct Stream* stream = nullptr; };
struct Event { std::shared_ptr<EventState> state = std::make_shared<EventState>(); };
struct Op { std::function<void(struct Stream&)> run; double ms; };
struct Graph { std::vector<Op> ops; };
struct GraphExec { std::vector<Op> ops; };
struct Stream { std::deque<Op> queue; double now = 0; Graph* capture = nullptr; bool invalidated = false; };
struct Allocation { size_t size; bool device; };

std::recursive_mutex mutex;
std::map<std::string, int> counts;
std::map<uintptr_t, Allocation> allocations;
std::set<void*> handles;
std::set<Stream*> streams;
std::map<std::string, std::pair<int, Error>> planned;  // failures asked for: which call, with what
Error last = kOk;
using Lock = std::lock_guard<std::recursive_mutex>;

Error fail(Error error) { return last = error; }

// The error that stand_in_fail_call planned for this call of `function`.
Error plannedFor(char const* function) {
    auto it = planned.find(function);
    if (it == planned.end() || --it->second.first > 0) return kOk;
    Error const error = it->second.second;
    planned.erase(it);
    return fail(error);
}
#define MAY_FAIL() Lock lock(mutex); if (Error planned_ = plannedFor(__func__)) return planned_

bool hasDevice() { return std::getenv("UNFOLD_STAND_IN_NO_DEVICE") == nullptr; }

template <class T> T* create(char const* type) {
    T* object = new T();
    handles.insert(object);
    stand_in_count(type, 1);
    return object;
}
template <class T> T& alive(void* handle, char const* type) {
    if (!handles.count(handle)) stand_in_die(std::string(type) + " was used that is not alive");
    return *static_cast<T*>(handle);
}
template <class T> Error destroy(void* handle, char const* type) {
    delete &alive<T>(handle, type);
    handles.erase(handle);
    stand_in_count(type, -1);
    return kOk;
}

// The live allocation that `address` lies in, or null.
std::pair<uintptr_t const, Allocation>* allocationOf(void const* address) {
    auto it = allocations.upper_bound(uintptr_t(address));
    if (it == allocations.begin()) return nullptr;
    --it;
    return uintptr_t(address) <= it->first + it->second.size ? &*it : nullptr;
}
bool holds(void const* address, size_t size, bool device) {
    auto* found = allocationOf(address);
    return found && found->second.device == device &&
        uintptr_t(address) + size <= found->first + found->second.size;
}

void push(Stream& stream, Op op) {
    if (stream.capture) stream.capture->ops.push_back(std::move(op));
    else stream.queue.push_back(std::move(op));
}
void step(Stream& stream) {
    Op op = std::move(stream.queue.front());
    stream.queue.pop_front();
    stream.now += op.ms;
    op.run(stream);
}
void drain(Stream& stream) { while (!stream.queue.empty()) step(stream); }
void drainUntil(EventState& state) {
    while (!state.reached && state.stream && streams.count(state.stream) && !state.stream->queue.empty()) {
        step(*state.stream);
    }
}

Error allocate(void** out, size_t size, bool device) {
    auto* base = static_cast<unsigned char*>(std::malloc(size + 2 * kMargin));
    std::memset(base, 0xa5, size + 2 * kMargin);
    *out = base + kMargin;
    allocations[uintptr_t(*out)] = {size, device};
    stand_in_count(device ? "device memory" : "pinned memory", 1);
    return kOk;
}
Error release(void* address, bool device) {
    for (Stream* stream : streams) drain(*stream);  // cudaFree waits for the device
    auto it = allocations.find(uintptr_t(address));
    if (it == allocations.end() || it->second.device != device) stand_in_die("memory was freed that is not allocated");
    auto* base = static_cast<unsigned char*>(address) - kMargin;
    for (size_t i = 0; i < kMargin; ++i) {
        if (base[i] != 0xa5 || base[kMargin + it->second.size + i] != 0xa5) {
            stand_in_die("memory was written outside an allocation of " + std::to_string(it->second.size) + " bytes");
        }
    }
    allocations.erase(it);
    std::free(base);
    stand_in_count(device ? "device memory" : "pinned memory", -1);
    return kOk;
}

struct AtUnload {
    ~AtUnload() {
        char text[512];
        int const live = stand_in_live(text, sizeof text);
        if (live == 0 && !std::getenv("UNFOLD_STAND_IN_REPORT")) return;
        std::fprintf(stderr, "stand-in: %d live objects at unload%s%s\n", live, live ? ": " : "", text);
    }
} atUnload;
}  // namespace

void stand_in_count(char const* type, int change) { Lock lock(mutex); counts[type] += change; }
int stand_in_live(char* text, size_t size) {
    Lock lock(mutex);
    std::string said;
    int total = 0;
    for (auto const& [type, count] : counts) {
        if (count == 0) continue;
        total += count;
        said += (said.empty() ? "" : ", ") + std::to_string(count) + " " + type;
    }
    std::snprintf(text, size, "%s", said.c_str());
    return total;
}
bool stand_in_device_holds(void const* address, size_t size) { Lock lock(mutex); return holds(address, size, true); }
bool stand_in_is_capturing(void* stream) { Lock lock(mutex); return alive<Stream>(stream, "Stream").capture != nullptr; }
void stand_in_enqueue(void* stream, std::function<void()> run, double ms) {
    Lock lock(mutex);
    push(alive<Stream>(stream, "Stream"), {[run = std::move(run)](Stream&) { run(); }, ms});
}
// The `call`th call of `function` from now on answers `error`, once.
EXPORT void stand_in_fail_call(char const* function, int call, Error error) {
    Lock lock(mutex);
    planned[function] = {call, error};
}
EXPORT char const* unfold_stand_in_version() { return "UNfold stand-in of the CUDA runtime 13.0"; }

EXPORT char const* cudaGetErrorName(Error error) {
    switch (error) {
        case kOk: return "cudaSuccess";
        case kOutOfMemory: return "cudaErrorMemoryAllocation";
        case kNoDevice: return "cudaErrorNoDevice";
        case kNotReady: return "cudaErrorNotReady";
        case kCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
        case kCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
        default: return "cudaErrorInvalidValue";
    }
}
EXPORT char const* cudaGetErrorString(Error error) {
    return error == kOutOfMemory ? "stand-in: out of memory" : error == kNoDevice ? "stand-in: no device" : "stand-in: refused";
}
EXPORT Error cudaGetLastError() { Lock lock(mutex); return std::exchange(last, kOk); }
EXPORT Error cudaRuntimeGetVersion(int* out) { *out = 13000; return kOk; }
EXPORT Error cudaDriverGetVersion(int* out) { *out = 13000; return kOk; }
EXPORT Error cudaGetDeviceCount(int* out) { *out = hasDevice(); return hasDevice() ? kOk : fail(kNoDevice); }
EXPORT Error cudaDeviceGetAttribute(int* out, int attribute, int) {
    bool const hopper = std::getenv("UNFOLD_STAND_IN_HOPPER") != nullptr;
    *out = attribute == 75 ? (hopper ? 9 : 8) : attribute == 76 ? (hopper ? 0 : 9) : attribute == 16 ? 1 : 0;
    return kOk;
}
EXPORT Error cudaGetDeviceProperties(char* properties, int) { std::strcpy(properties, "UNfold stand-in GPU"); return kOk; }
EXPORT Error cudaDeviceGetPCIBusId(char* out, int size, int) { std::snprintf(out, size, "00000000:5A:00.0"); return kOk; }
EXPORT Error cudaMemGetInfo(size_t* free, size_t* total) { *free = *total = kDeviceBytes; return kOk; }

EXPORT Error cudaMalloc(void** out, size_t size) {
    MAY_FAIL();
    return size > kDeviceBytes ? fail(kOutOfMemory) : allocate(out, size, true);
}
EXPORT Error cudaFree(void* address) { Lock lock(mutex); return release(address, true); }
EXPORT Error cudaMallocHost(void** out, size_t size) { MAY_FAIL(); return allocate(out, size, false); }
EXPORT Error cudaFreeHost(void* address) { Lock lock(mutex); return release(address, false); }
EXPORT Error cudaMemcpyAsync(void* to, void const* from, size_t size, int kind, void* handle) {
    MAY_FAIL();
    Stream& stream = alive<Stream>(handle, "Stream");
    void const* const device = kind == 1 ? to : from;
    void const* const host = kind == 1 ? from : to;
    if ((kind != 1 && kind != 2) || !holds(device, size, true)) return fail(kInvalidValue);
    bool const pinned = holds(host, size, false);
    if (!pinned && allocationOf(host)) return fail(kInvalidValue);  // device memory, or past the end of pinned memory
    if (!pinned && stream.capture) { stream.invalidated = true; return fail(kCaptureUnsupported); }
    push(stream, {[=](Stream&) { std::memcpy(to, from, size); }, size * kMsPerByte});
    return kOk;
}
EXPORT Error cudaMemsetAsync(void* to, int value, size_t size, void* stream) {
    MAY_FAIL();
    if (!holds(to, size, true)) return fail(kInvalidValue);
    push(alive<Stream>(stream, "Stream"), {[=](Stream&) { std::memset(to, value, size); }, size * kMsPerByte});
    return kOk;
}

EXPORT Error cudaStreamCreateWithFlags(void** out, unsigned) {
    MAY_FAIL();
    auto* stream = create<Stream>("Stream");
    streams.insert(stream);
    *out = stream;
    return kOk;
}
EXPORT Error cudaStreamSynchronize(void* handle) {
    MAY_FAIL();
    Stream& stream = alive<Stream>(handle, "Stream");
    if (stream.capture) { stream.invalidated = true; return fail(kCaptureUnsupported); }
    drain(stream);
    return kOk;
}
EXPORT Error cudaStreamDestroy(void* handle) {
    Lock lock(mutex);
    Stream& stream = alive<Stream>(handle, "Stream");
    if (stream.capture) stand_in_die("a Stream was destroyed in the middle of a capture");
    drain(stream);
    streams.erase(&stream);
    return destroy<Stream>(handle, "Stream");
}
EXPORT Error cudaStreamWaitEvent(void* stream, void* event, unsigned) {
    MAY_FAIL();
    auto state = alive<Event>(event, "Event").state;
    push(alive<Stream>(stream, "Stream"), {[state](Stream& own) {
        drainUntil(*state);
        own.now = std::max(own.now, state->at);
    }, 0});
    return kOk;
}
EXPORT Error cudaStreamBeginCapture(void* handle, int) {
    MAY_FAIL();
    Stream& stream = alive<Stream>(handle, "Stream");
    if (stream.capture) return fail(kCaptureUnsupported);
    stream.capture = create<Graph>("Graph");
    stream.invalidated = false;
    return kOk;
}
EXPORT Error cudaStreamEndCapture(void* handle, void** out) {
    Lock lock(mutex);
    Stream& stream = alive<Stream>(handle, "Stream");
    *out = nullptr;
    if (!stream.capture) return fail(kInvalidValue);
    Graph* graph = std::exchange(stream.capture, nullptr);
    Error const error = stream.invalidated ? kCaptureInvalidated : plannedFor(__func__);
    if (error) { destroy<Graph>(graph, "Graph"); return fail(error); }
    *out = graph;
    return kOk;
}
EXPORT Error cudaGraphInstantiate(void** out, void* graph, unsigned long long) {
    MAY_FAIL();
    auto* exec = create<GraphExec>("GraphExec");
    exec->ops = alive<Graph>(graph, "Graph").ops;
    *out = exec;
    return kOk;
}
EXPORT Error cudaGraphLaunch(void* exec, void* stream) {
    MAY_FAIL();
    for (Op const& op : alive<GraphExec>(exec, "GraphExec").ops) push(alive<Stream>(stream, "Stream"), op);
    return kOk;
}
EXPORT Error cudaGraphDestroy(void* graph) { Lock lock(mutex); return destroy<Graph>(graph, "Graph"); }
EXPORT Error cudaGraphExecDestroy(void* exec) { Lock lock(mutex); return destroy<GraphExec>(exec, "GraphExec"); }

EXPORT Error cudaEventCreateWithFlags(void** out, unsigned) { MAY_FAIL(); *out = create<Event>("Event"); return kOk; }
EXPORT Error cudaEventRecord(void* event, void* handle) {
    MAY_FAIL();
    Stream& stream = alive<Stream>(handle, "Stream");
    auto state = alive<Event>(event, "Event").state;
    state->reached = false;
    state->stream = &stream;
    push(stream, {[state](Stream& own) { state->at = own.now; state->reached = true; }, 0});
    return kOk;
}
EXPORT Error cudaEventSynchronize(void* event) {
    MAY_FAIL();
    drainUntil(*alive<Event>(event, "Event").state);
    return kOk;
}
EXPORT Error cudaEventElapsedTime(float* out, void* start, void* end) {
    MAY_FAIL();
    auto const& [from, to] = std::pair(alive<Event>(start, "Event").state, alive<Event>(end, "Event").state);
    if (!from->reached || !to->reached) return fail(kNotReady);
    *out = float(to->at - from->at);
    return kOk;
}
EXPORT Error cudaEventDestroy(void* event) { Lock lock(mutex); return destroy<Event>(event, "Event"); }
