"""The plan that TensorRT for RTX makes of an ONNX file by NVIDIA's own parser, without a GPU.

    python onnx_plan.py FILE.onnx PLAN [--floats fp16] [--shape NAME=8x3x224x224 ...] [COMPUTE_CAPABILITY ...]

Needs NVIDIA's bindings (pip install tensorrt-rtx). An engine is built as UNfold builds it: strongly typed, without
TF32, its kernels named in the plan. TensorRT for RTX takes types as the file has them; --floats casts the file's floats
first, one for one, which takes the package onnx. --shape fixes sizes that the file leaves open. It prints the version.
"""

import argparse
import os
import sys

import tensorrt_rtx_bindings as trt

VERSION = trt.__version__


def plan_of(onnx, path, capabilities=(), shapes={}):
    """Writes the plan of `onnx` to `path`; a RuntimeError says what the parser or the builder refuses."""
    log = Log()
    builder = trt.Builder(log)
    # Types are as the file has them: TensorRT for RTX knows no other network.
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(onnx):
        raise RuntimeError("; ".join(str(parser.get_error(i).desc()) for i in range(parser.num_errors)))
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        tensor.shape = shapes.get(tensor.name, tensor.shape)
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


def with_floats(path, to, written):
    """The path of a file whose floats are `to`, "fp16" or "fp32": `path`, where they are, else `written`."""
    import numpy
    import onnx
    from onnx import AttributeProto, TensorProto, helper, numpy_helper

    types = {"fp16": TensorProto.FLOAT16, "fp32": TensorProto.FLOAT}
    old, new = types["fp32" if to == "fp16" else "fp16"], types[to]
    model = onnx.load(path)
    cast = 0

    def tensor(value):
        nonlocal cast
        if value.data_type != old:
            return
        numbers, dtype = numpy_helper.to_array(value), helper.tensor_dtype_to_np_dtype(new)
        # Masks have the least float32, which is to stay finite.
        most = 65504 if to == "fp16" else None
        numbers = numbers if most is None else numbers.clip(-most, most)
        name = value.name
        value.CopyFrom(numpy_helper.from_array(numbers.astype(dtype), name))
        cast += 1

    def nodes(all_nodes):
        nonlocal cast
        for node in all_nodes:
            for attribute in node.attribute:
                if attribute.name in ("to", "dtype", "output_dtype") and attribute.i == old:
                    attribute.i = new
                    cast += 1
                if attribute.name in ("value_float", "value_floats"):
                    numbers = numpy.array(helper.get_attribute_value(attribute), numpy.float32)
                    attribute.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(numbers)))
                if attribute.type == AttributeProto.TENSOR and id(node) not in kept:
                    tensor(attribute.t)
                if attribute.type == AttributeProto.GRAPH:
                    graph(attribute.g)

    def graph(one):
        nonlocal cast
        # The standard has these in float32 alone.
        sizes = {name for node in one.node if node.op_type == "Resize" for name in node.input[1:3]}
        kept.update(id(node) for node in one.node if sizes.intersection(node.output))
        for value in one.initializer:
            if value.name not in sizes:
                tensor(value)
        nodes(one.node)
        for value in [*one.input, *one.output]:
            if value.type.tensor_type.elem_type == old:
                value.type.tensor_type.elem_type = new
                cast += 1
        del one.value_info[:]

    kept = set()
    graph(model.graph)
    for function in model.functions:
        nodes(function.node)
        del function.value_info[:]
    if cast == 0:
        return path
    onnx.save(model, written, save_as_external_data=True, location=f"{os.path.basename(written)}.data")
    return written


def shape(text):
    name, _, sizes = text.rpartition("=")
    return name, tuple(int(size) for size in sizes.split("x"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx")
    parser.add_argument("plan")
    parser.add_argument("capabilities", nargs="*")
    parser.add_argument("--floats", choices=["fp16", "fp32"])
    parser.add_argument("--shape", type=shape, action="append", default=[])
    asked = parser.parse_args()
    try:
        file = asked.onnx if asked.floats is None else with_floats(asked.onnx, asked.floats, f"{asked.plan}.onnx")
        plan_of(file, asked.plan, asked.capabilities, dict(asked.shape))
    except (RuntimeError, ImportError) as error:
        sys.exit(f"error: {error}")
    print(VERSION)


if __name__ == "__main__":
    main()
