// A stand-in of NVIDIA's management library: one GPU whose readings are constants, one of them not given.
#include "stand_in.h"
#include <cstring>

EXPORT int nvmlInit_v2() { stand_in_count("NVML session", 1); return 0; }
EXPORT int nvmlShutdown() { stand_in_count("NVML session", -1); return 0; }
EXPORT char const* nvmlErrorString(int status) { return status == 6 ? "stand-in: no such GPU" : "stand-in: refused"; }
EXPORT int nvmlSystemGetDriverVersion(char* out, unsigned size) { std::snprintf(out, size, "580.00-stand-in"); return 0; }
EXPORT int nvmlDeviceGetHandleByPciBusId_v2(char const* id, void** out) {
    static int device;
    *out = &device;
    return std::strcmp(id, "00000000:5A:00.0") == 0 ? 0 : 6;
}
EXPORT int nvmlDeviceGetClockInfo(void*, unsigned clock, unsigned* out) { *out = clock == 1 ? 1500 : 9000; return 0; }
EXPORT int nvmlDeviceGetMaxClockInfo(void*, unsigned, unsigned* out) { *out = 2000; return 0; }
EXPORT int nvmlDeviceGetTemperature(void*, unsigned, unsigned* out) { *out = 61; return 0; }
EXPORT int nvmlDeviceGetPowerUsage(void*, unsigned*) { return 3; /* NVML_ERROR_NOT_SUPPORTED */ }
EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* out) { *out = 0x4 | 0x1; return 0; }
