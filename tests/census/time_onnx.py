"""Times ONNX files of one network against the first of them, in turns, for the table of docs/onnx_in.md.

    pip install onnxruntime numpy
    python tests/census/time_onnx.py swin.onnx swin.folded.onnx --size batch=1

One thread and the processor time of this process alone, so that other programs' turns do not count; what they do to
caches and clocks does. Every file is loaded anew a few times; in each round all run once, in shuffled order. The first
stands beside itself: a ratio within the interval of that one is no difference. Open sizes are 1 unless given.
"""

import argparse
import os
import random
import time

# Read when the library's environment is created: without it, onnxruntime reports its use to Microsoft.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime

LOADINGS = 4
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}


def session(path: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def inputs(path: str, sizes: dict[str, int]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    feeds = {}
    for port in session(path).get_inputs():
        shape = [size if isinstance(size, int) else sizes.get(size, 1) for size in port.shape]
        values = rng.standard_normal(shape) if "float" in port.type else rng.integers(0, 2, shape)
        feeds[port.name] = values.astype(TYPES[port.type])
    return feeds


def seconds(run: onnxruntime.InferenceSession, feeds: dict[str, np.ndarray], calls: int = 1) -> float:
    begin = time.process_time()
    for _ in range(calls):
        run.run(None, feeds)
    return (time.process_time() - begin) / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="the ONNX files, the one to compare with first")
    parser.add_argument("--size", action="append", default=[], help="an open size: NAME=N")
    args = parser.parse_args()
    sizes = {name: int(size) for name, _, size in (text.partition("=") for text in args.size)}
    feeds = inputs(args.files[0], sizes)
    files = [args.files[0], *args.files]
    times: list[list[float]] = [[] for _ in files]
    for _ in range(LOADINGS):
        runs = {i: session(files[i]) for i in random.sample(range(len(files)), len(files))}
        for run in runs.values():
            run.run(None, feeds)
        once = seconds(runs[0], feeds)
        calls = max(1, int(0.01 / once))
        for _ in range(int(min(24, max(5, 0.8 / (once * calls))))):
            for i in random.sample(range(len(files)), len(files)):
                times[i].append(seconds(runs[i], feeds, calls))
    load, _, _ = os.getloadavg()
    print(f"{len(times[0])} rounds, load {load:.1f} of {os.cpu_count()} processors, onnxruntime {onnxruntime.__version__}")
    first, rng = np.array(times[0]), np.random.default_rng(0)
    for path, taken in zip(files[1:], times[1:]):
        ratios = np.array(taken) / first
        low, high = np.percentile(np.median(rng.choice(ratios, (2000, len(ratios))), axis=1), [2.5, 97.5])
        print(f"{1e3 * np.median(taken):9.2f} ms  {np.median(ratios):.3f} [{low:.3f}, {high:.3f}]  {path}")


if __name__ == "__main__":
    main()
