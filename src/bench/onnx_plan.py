"""The plan that TensorRT for RTX makes of an ONNX file by NVIDIA's own parser, without a GPU.

    python onnx_plan.py FILE.onnx PLAN [COMPUTE_CAPABILITY ...]

Needs NVIDIA's bindings (pip install tensorrt-rtx). An engine is built as UNfold builds it: strongly typed, without
TF32, its kernels named in the plan. Inputs must have fixed sizes.
"""

import sys

import tensorrt_rtx_bindings as trt

VERSION = trt.__version__


def plan_of(onnx, path, capabilities=()):
    """Writes the plan of `onnx` to `path`; a RuntimeError says what the parser or the builder refuses."""
    log = Log()
    builder = trt.Builder(log)
    # Types are as the file has them: TensorRT for RTX knows no other network.
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(onnx):
        raise RuntimeError("; ".join(str(parser.get_error(i).desc()) for i in range(parser.num_errors)))
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)
    if capabilities:
        config.num_compute_capabilities = len(capabilities)
    for i, capability in enumerate(capabilities):
        config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability.replace('.', '')}"), i)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError(log.errors[-1] if log.errors else "no plan was built")
    with open(path, "wb") as file:
        file.write(plan)


class Log(trt.ILogger):
    """Keeps what went wrong."""

    def __init__(self):
        super().__init__()
        self.errors = []

    def log(self, severity, message):
        if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
            self.errors.append(message)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        plan_of(sys.argv[1], sys.argv[2], sys.argv[3:])
    except RuntimeError as error:
        sys.exit(f"error: {error}")
