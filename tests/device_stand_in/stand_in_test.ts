/**
 * Everything that runs on the stand-ins of CUDA, TensorRT and NVML. One module, since modules are tested side
 * by side in one process and the stand-ins count the objects of a process.
 */
import "./command_cases.ts";
import "./cuda_cases.ts";
import "./engine_cases.ts";
import "./profile_cases.ts";
import "./sanitizer_cases.ts";
