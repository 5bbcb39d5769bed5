"""Checks an emitted ONNX file with tools that UNfold does not use: onnx's checker and Python's onnxruntime.

    pip install onnx onnxruntime safetensors numpy
    python tests/python/check_onnx.py build/digits/un.onnx examples/digits/heldout.safetensors

Every held-out image goes through the network; its logits are compared with those that PyTorch computed when the
network was trained, normwise: max |a - b| / max |b|. Exits with 1 where anything is wrong.
"""

import argparse
import os
import sys

# Read when the library's environment is created: without it, onnxruntime reports its use to Microsoft.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

# Float32 through four blocks, and the same with float16 activations.
TOLERANCE = {np.float32: 1e-4, np.float16: 2e-2}
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


def check(condition: bool, problem: str) -> None:
    if not condition:
        sys.exit(f"FAILED: {problem}")


def run_all(session: onnxruntime.InferenceSession, images: np.ndarray, batch: int) -> np.ndarray:
    """Logits of all images, in batches of a fixed size, the last one filled up with zeros."""
    (port,) = session.get_inputs()
    logits = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        padding = np.zeros((batch - len(part), *part.shape[1:]), part.dtype)
        (output,) = session.run(None, {port.name: np.concatenate([part, padding])})
        logits.append(output[: len(part)])
    return np.concatenate(logits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="the ONNX file")
    parser.add_argument("heldout", help="safetensors with images, labels and PyTorch's logits")
    parser.add_argument("--logits", default="logits.un", help="which of them (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="images at a time where the batch is open (default: 64)")
    parser.add_argument("--tolerance", type=float, help="in place of 1e-4 (fp32) or 2e-2 (fp16)")
    options = parser.parse_args()
    check(options.batch >= 1, f"--batch {options.batch}: at least one image at a time")

    for path in (options.model, options.heldout):
        check(os.path.isfile(path), f"{path} is no file")

    try:
        # By path, so that external data is found and files above 2 GB are taken.
        onnx.checker.check_model(options.model, full_check=True)
    except onnx.checker.ValidationError as error:
        sys.exit(f"FAILED: onnx's checker refuses {options.model}: {error}")
    model = onnx.load(options.model, load_external_data=False)
    check(model.producer_name == "UNfold" and model.producer_version != "", "the file does not say who wrote it")
    about = {prop.key.removeprefix("unfold."): prop.value for prop in model.metadata_props}
    missing = {"version", "precision", "normalization", "normalizations_folded", "normalizations_remaining"} - set(about)
    check(not missing, f"metadata_props do not name {', '.join(sorted(missing))}")
    print(", ".join(f"{key} {value}" for key, value in sorted(about.items())))
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    check(opsets == {"": 17}, f"operator sets {opsets}; only the standard's 17 is needed")
    domains = {node.domain for node in model.graph.node}
    check(domains <= {"", "ai.onnx"}, f"operators outside the standard's domain: {sorted(domains)}")

    heldout = load_file(options.heldout)
    check(options.logits in heldout, f"{options.heldout} has no {options.logits}; it has {', '.join(sorted(heldout))}")
    session = onnxruntime.InferenceSession(options.model, providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), session.get_outputs()
    check(len(inputs) == 1 and len(outputs) == 1, f"{len(inputs)} inputs and {len(outputs)} outputs; one of each needed")
    check(inputs[0].type in TYPES, f"the input is {inputs[0].type}; float or float16 needed")
    dtype = TYPES[inputs[0].type]
    size = inputs[0].shape[0]
    batch = size if isinstance(size, int) else options.batch

    logits = run_all(session, heldout["images"].astype(dtype), batch).astype(np.float64)
    expected = heldout[options.logits].astype(np.float64)
    check(logits.shape == expected.shape, f"the logits are {logits.shape}, {expected.shape} expected")
    check(bool(np.isfinite(logits).all()), "logits that are not finite")

    error = np.abs(logits - expected).max() / np.abs(expected).max()
    accuracy = (logits.argmax(axis=1) == heldout["labels"]).mean()
    agreement = (logits.argmax(axis=1) == expected.argmax(axis=1)).mean()
    tolerance = TOLERANCE[dtype] if options.tolerance is None else options.tolerance
    print(f"onnx {onnx.__version__}: well-formed")
    print(f"onnxruntime {onnxruntime.__version__}: {len(logits)} images in batches of {batch}, {np.dtype(dtype)}")
    print(f"accuracy {100 * accuracy:.2f} %, {100 * agreement:.2f} % of classes as PyTorch's")
    print(f"largest difference from PyTorch's logits: {error:.2e} of the largest logit (at most {tolerance:.0e})")
    check(error <= tolerance, f"the logits are not PyTorch's: {error:.2e} > {tolerance:.0e}")


if __name__ == "__main__":
    main()
