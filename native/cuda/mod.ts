/** The CUDA runtime as far as running an engine needs it: memory, streams, events. */
export { DeviceBuffer } from "./buffer.ts";
export { Event } from "./event.ts";
export { Cuda, type CudaOptions, type Device, loadCuda } from "./load.ts";
export { Stream } from "./stream.ts";
