// What the stand-ins of CUDA, TensorRT and NVML share: a count of live objects by type, and one way to stop. None of this
// is NVIDIA's code, and none of it reaches a GPU: it computes in host memory, on a clock of its own.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#define EXPORT extern "C" __attribute__((visibility("default")))

// Objects of `type` made (+1) or destroyed (-1).
EXPORT void stand_in_count(char const* type, int change);
// How many objects live, and which ("2 Stream, 1 Event") in `text` of `size` bytes.
EXPORT int stand_in_live(char* text, size_t size);
// Whether `size` bytes from `address` on lie in one live allocation of device memory.
EXPORT bool stand_in_device_holds(void const* address, size_t size);
// Whether what is enqueued on a stream is recorded into a graph rather than run.
EXPORT bool stand_in_is_capturing(void* stream);

// Puts work on a stream: `run` when the stream is drained, and `ms` on its clock.
__attribute__((visibility("default"))) void stand_in_enqueue(void* stream, std::function<void()> run, double ms);

// A mistake of the caller's that a real library would answer with undefined behaviour.
[[noreturn]] inline void stand_in_die(std::string const& what) {
    std::fprintf(stderr, "stand-in: %s\n", what.c_str());
    std::fflush(stderr);
    std::abort();
}
