/** The CUDA runtime as far as running an engine needs it: memory, streams, events, graphs. */
export { DeviceBuffer } from "./buffer.ts";
export { Event } from "./event.ts";
export { Graph } from "./graph.ts";
export { Cuda, type CudaOptions, type Device, loadCuda } from "./load.ts";
export { locateCuda, type LocateCudaOptions } from "./locate.ts";
export { PinnedBuffer } from "./pinned.ts";
export { Stream } from "./stream.ts";
