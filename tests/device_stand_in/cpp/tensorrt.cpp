// A stand-in of TensorRT's runtime, as far as native/tensorrt calls it: engines of one linear layer, y = x W^T + b, run on
// the stand-in of CUDA. Objects are laid out as NVIDIA's: a shell {vtable, implementation}, the methods on the
// implementation's table. The tables are generated from UNfold's layouts (slots.inc), so that a method that is called at
// a wrong slot is another one; those that are not written here stop the process with their name.
#include "tensorrt_objects.h"

#define METHOD(Result, Interface, Name) static Result Interface##_##Name

METHOD(void*, IHostMemory, data)(HostMemory* self) { return self->bytes.data(); }
METHOD(size_t, IHostMemory, size)(HostMemory* self) { return self->bytes.size(); }

METHOD(Shell*, IRuntime, deserializeCudaEngine)(Runtime* self, void const* blob, size_t size) {
    Engine* engine = readPlan(self, blob, size);
    // As the library does, from a thread of its own, which needs the event loop to turn.
    std::thread([&] { if (engine) log(3, "loaded an engine"); else refuse("IRuntime::deserializeCudaEngine", refused); }).join();
    return shellOf(engine);
}
METHOD(int64_t, IRuntime, getEngineHeaderSize)(Runtime*) { return sizeof(Plan); }
METHOD(int32_t, IRuntime, getEngineValidity)(Runtime*, void const* blob, int64_t size, uint64_t* diagnostics) {
    Plan plan;
    *diagnostics = 0;
    if (size != sizeof plan || (std::memcpy(&plan, blob, size), std::memcmp(plan.magic, kMagic, 16))) { *diagnostics = 32; return 2; }
    if (plan.flags & kOtherGpu) { *diagnostics = 2; return 2; }
    return plan.flags & kSuboptimal ? 1 : 0;
}

METHOD(char const*, ICudaEngine, getName)(Engine*) { return "stand-in engine"; }
METHOD(int32_t, ICudaEngine, getNbLayers)(Engine*) { return 2; }
METHOD(bool, ICudaEngine, isRefittable)(Engine* self) { return self->plan.flags & kRefittable; }
METHOD(int32_t, ICudaEngine, getNbOptimizationProfiles)(Engine* self) { return self->plan.profiles; }
METHOD(int32_t, ICudaEngine, getNbIOTensors)(Engine*) { return 2; }
METHOD(char const*, ICudaEngine, getIOTensorName)(Engine*, int32_t index) { return index == 0 ? "x" : "y"; }
METHOD(int32_t, ICudaEngine, getTensorIOMode)(Engine*, char const* name) { return tensorOf(name) + 1; }
METHOD(int32_t, ICudaEngine, getTensorDataType)(Engine*, char const*) { return 0; }
METHOD(Dims, ICudaEngine, getTensorShape)(Engine* self, char const* name) {
    return dimsOf(*self, tensorOf(name), declaredBatch(self->plan));
}
METHOD(Dims, ICudaEngine, getProfileShape)(Engine* self, char const* name, int32_t profile, int32_t selector) {
    if (tensorOf(name) != 0 || profile < 0 || profile >= self->plan.profiles) return {-1, {}};
    return dimsOf(*self, 0, self->plan.sizes[profile][selector]);
}
METHOD(size_t, ICudaEngine, getDeviceMemorySize)(Engine*) { return 4096; }
METHOD(int64_t, ICudaEngine, getDeviceMemorySizeV2)(Engine*) { return 4096; }
METHOD(Shell*, ICudaEngine, serialize)(Engine* self) {
    std::string bytes(reinterpret_cast<char const*>(&self->plan), sizeof self->plan);
    for (auto const& values : self->weights) bytes.append(reinterpret_cast<char const*>(values.data()), 4 * values.size());
    return memoryOf(bytes.data(), bytes.size());
}
METHOD(Shell*, ICudaEngine, createExecutionContext)(Engine* self, int32_t) { return contextOf(self, self, nullptr); }
METHOD(Shell*, ICudaEngine, createEngineInspector)(Engine* self) {
    return create<Inspector>(table_IEngineInspector, "IEngineInspector", self)->shell;
}
METHOD(Shell*, ICudaEngine, createRuntimeConfig)(Engine* self) {
    return create<RuntimeConfig>(table_IRuntimeConfig, "IRuntimeConfig", self)->shell;
}
METHOD(Shell*, ICudaEngine, createExecutionContextWithRuntimeConfig)(Engine* self, Shell* config) {
    return contextOf(self, self, static_cast<RuntimeConfig*>(config->impl)->cache);
}
METHOD(int64_t, ICudaEngine, getStreamableWeightsSize)(Engine* self) {
    return self->plan.flags & kStreamable ? self->weightBytes() : 0;
}
METHOD(int64_t, ICudaEngine, getWeightStreamingBudgetV2)(Engine* self) { return self->budget; }
METHOD(int64_t, ICudaEngine, getWeightStreamingAutomaticBudget)(Engine* self) { return self->weightBytes() / 2; }
METHOD(bool, ICudaEngine, setWeightStreamingBudgetV2)(Engine* self, int64_t budget) {
    char const* const method = "ICudaEngine::setWeightStreamingBudgetV2";
    if (!(self->plan.flags & kStreamable)) return refuse(method, "the engine was not built with kWEIGHT_STREAMING");
    if (self->contexts) return refuse(method, "there are execution contexts");
    if (budget < 0) return refuse(method, "the budget is negative");
    self->budget = std::min(budget, self->weightBytes());
    return true;
}

METHOD(Shell*, IRuntimeConfig, createRuntimeCache)(RuntimeConfig*) {
    return create<RuntimeCache>(table_IRuntimeCache, "IRuntimeCache", nullptr)->shell;
}
METHOD(bool, IRuntimeConfig, setRuntimeCache)(RuntimeConfig* self, Shell* cache) {
    self->cache = static_cast<RuntimeCache*>(cache->impl);
    return true;
}
METHOD(Shell*, IRuntimeCache, serialize)(RuntimeCache* self) {
    std::string bytes = "stand-in cache";
    for (int32_t batch : self->compiled) bytes += " " + std::to_string(batch);
    return memoryOf(bytes.data(), bytes.size());
}
METHOD(bool, IRuntimeCache, deserialize)(RuntimeCache* self, void const* blob, size_t size) {
    std::string const text(static_cast<char const*>(blob), size);
    if (text.rfind("stand-in cache", 0) != 0) return refuse("IRuntimeCache::deserialize", "no runtime cache");
    for (size_t at = text.find(' ', 14); at != std::string::npos; at = text.find(' ', at + 1)) {
        self->compiled.insert(std::atoi(text.c_str() + at));
    }
    return true;
}

METHOD(bool, IEngineInspector, setExecutionContext)(Inspector* self, Shell* context) {
    return self->hasContext = context->impl->type == std::string("IExecutionContext");
}
METHOD(char const*, IEngineInspector, getEngineInformation)(Inspector* self, int32_t format) {
    if (format != 1) stand_in_die("the stand-in's inspector speaks JSON only");
    self->text = std::string("{\"Layers\": [{\"Name\": \"fc.weight\", \"LayerType\": \"stand-in product\"}, ") +
        "{\"Name\": \"fc.bias\", \"LayerType\": \"stand-in sum\"}], \"Bindings\": [\"x\", \"y\"], \"Context\": " +
        (self->hasContext ? "true" : "false") + "}";
    return self->text.c_str();
}

static int32_t placesOf(std::vector<int> const& layers, int32_t size, char const** names, int32_t* roles) {
    for (int32_t i = 0; i < size && i < int32_t(layers.size()); ++i) {
        names[i] = kLayers[layers[i]];
        roles[i] = 4;
    }
    return layers.size();
}
// As fused layers do: who replaces one of the two must replace both.
static std::vector<int> missingOf(Refitter const& self) {
    std::vector<int> missing;
    for (int i = 0; i < 2; ++i) if (self.given.size() == 1 && !self.given.count(i)) missing.push_back(i);
    return missing;
}
METHOD(int32_t, IRefitter, getAll)(Refitter*, int32_t size, char const** names, int32_t* roles) {
    return placesOf({0, 1}, size, names, roles);
}
METHOD(int32_t, IRefitter, getMissing)(Refitter* self, int32_t size, char const** names, int32_t* roles) {
    return placesOf(missingOf(*self), size, names, roles);
}
METHOD(bool, IRefitter, setWeights)(Refitter* self, char const* layer, int32_t role, Weights weights) {
    for (int i = 0; i < 2; ++i) {
        if (std::strcmp(layer, kLayers[i]) != 0 || role != 4) continue;
        if (weights.type != 0 || weights.count != int64_t(static_cast<Engine*>(self->parent)->weights[i].size())) {
            return refuse("IRefitter::setWeights", "type " + std::to_string(weights.type) + ", count " + std::to_string(weights.count));
        }
        self->given[i] = weights;
        return true;
    }
    return refuse("IRefitter::setWeights", std::string("no such weights: ") + layer);
}
METHOD(bool, IRefitter, refitCudaEngine)(Refitter* self) {
    if (!missingOf(*self).empty()) return refuse("IRefitter::refitCudaEngine", "weights are missing");
    for (auto const& [i, weights] : self->given) {
        std::memcpy(static_cast<Engine*>(self->parent)->weights[i].data(), weights.values, 4 * weights.count);
    }
    return true;
}

METHOD(int32_t, IExecutionContext, getOptimizationProfile)(Context* self) { return self->profile; }
METHOD(bool, IExecutionContext, setOptimizationProfileAsync)(Context* self, int32_t profile, void*) {
    if (profile < 0 || profile >= self->engine->plan.profiles) {
        return refuse("IExecutionContext::setOptimizationProfileAsync", "no such profile");
    }
    self->profile = profile;
    self->batch = declaredBatch(self->engine->plan);
    return true;
}
METHOD(bool, IExecutionContext, setInputShape)(Context* self, char const* name, Dims const& dims) {
    auto const& sizes = self->engine->plan.sizes[self->profile];
    bool const fits = tensorOf(name) == 0 && dims.nbDims == 2 && dims.d[1] == self->engine->plan.inputs &&
        sizes[0] <= dims.d[0] && dims.d[0] <= sizes[2];
    if (!fits) return refuse("IExecutionContext::setInputShape", std::string("a shape outside the profile for ") + name);
    self->batch = dims.d[0];
    return true;
}
METHOD(Dims, IExecutionContext, getTensorShape)(Context* self, char const* name) {
    return dimsOf(*self->engine, tensorOf(name), self->batch);
}
METHOD(bool, IExecutionContext, setTensorAddress)(Context* self, char const* name, void* address) {
    if (tensorOf(name) < 0) return refuse("IExecutionContext::setTensorAddress", std::string("no tensor ") + name);
    self->addresses[name] = address;
    return true;
}
METHOD(void, IExecutionContext, setProfiler)(Context* self, IProfiler* profiler) {
    checkKind(profiler, "IProfiler");
    self->profiler = profiler;
}
METHOD(void, IExecutionContext, setEnqueueEmitsProfile)(Context* self, bool emits) { self->emits = emits; }
METHOD(bool, IExecutionContext, reportToProfiler)(Context* self) {
    if (!self->profiler || !self->hasRun) return refuse("IExecutionContext::reportToProfiler", "no run has ended");
    for (int i = 0; i < 2; ++i) self->profiler->reportLayerTime(kLayers[i], self->engine->plan.layerMs[i]);
    self->hasRun = false;
    return true;
}
METHOD(bool, IExecutionContext, enqueueV3)(Context* self, void* stream) {
    char const* const method = "IExecutionContext::enqueueV3";
    Engine& engine = *self->engine;
    Plan const& plan = engine.plan;
    int64_t const batch = self->batch;
    if (batch < 0) return refuse(method, "the shape of x is not set");
    auto const* x = static_cast<float const*>(self->addresses["x"]);
    auto* y = static_cast<float*>(self->addresses["y"]);
    if (!stand_in_device_holds(x, 4 * batch * plan.inputs) || !stand_in_device_holds(y, 4 * batch * plan.outputs)) {
        return refuse(method, "a tensor does not lie in device memory");
    }
    if ((plan.flags & kNotCapturable) && stand_in_is_capturing(stream)) return refuse(method, "this engine cannot be captured");
    if (self->profiler && self->emits) stand_in_die("runs report their layers when asked, here");
    if (self->cache) self->cache->compiled.insert(batch);
    double const streamed = 1 - double(engine.budget) / engine.weightBytes();
    stand_in_enqueue(stream, [=, &engine] {
        for (int64_t row = 0; row < batch; ++row) {
            for (int o = 0; o < plan.outputs; ++o) {
                float sum = engine.weights[1][o];
                for (int k = 0; k < plan.inputs; ++k) sum += x[row * plan.inputs + k] * engine.weights[0][o * plan.inputs + k];
                y[row * plan.outputs + o] = sum;
            }
        }
        self->hasRun = true;
    }, plan.layerMs[0] + plan.layerMs[1] + streamed);
    return true;
}

EXPORT int32_t getInferLibVersion() { return LIB_VERSION; }
EXPORT char const* unfold_stand_in_version() { return "UNfold stand-in of TensorRT, in the layout of " LAYOUT_NAME; }
EXPORT Shell* createInferBuilder_INTERNAL(ILogger* given, int32_t) {
    logger = given;
    log(1, "it builds no engines");
    return nullptr;
}
EXPORT Shell* createInferRuntime_INTERNAL(ILogger* given, int32_t version) {
    checkKind(given, "ILogger");
    logger = given;
    if (version != LIB_VERSION) { log(1, "another version was asked for"); return nullptr; }
    return create<Runtime>(table_IRuntime, "IRuntime", nullptr)->shell;
}
EXPORT Shell* createInferRefitter_INTERNAL(Shell* shell, ILogger*, int32_t) {
    auto* engine = static_cast<Engine*>(shell->impl);
    if (!(engine->plan.flags & kRefittable)) { refuse("createInferRefitter", "the engine is not refittable"); return nullptr; }
    return create<Refitter>(table_IRefitter, "IRefitter", engine)->shell;
}

#include "slots.inc"
