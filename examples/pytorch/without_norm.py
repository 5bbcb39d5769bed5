"""Times networks in PyTorch with Layer Normalization, with an offline normalization in its place, and folded.

What folding can gain depends on the GPU, the batch, the precision and the software: measure it on yours before
anything is trained. Forms of one network, all with the same random weights, take turns in shuffled order:

    ln       torch's layer_norm
    ln-1.10  the two kernels that layer_norm was until the end of 2021 (PyTorch 1.10). Today's PyTorch keeps them
             for weights that do not begin at a multiple of 16 bytes, and such are given here. GPU; not compiled
    affine   y = s x + t per channel in its place: a normalization with constant statistics, as it is before a fold
    folded   nothing in its place; s and t are in the weights of the products around it, which keep their shapes

A round gives each form one turn; a ratio is that of two turns of a round, shown as the median over rounds with its
95 % interval (order statistics). "ln again" is a second turn of the same network: what noise looks like. Weights and
inputs are random and no image is classified: the speed is measured, and nothing else.

    python without_norm.py
    python without_norm.py --models deit_small_patch16_224 --batch 1,8 --modes eager,graph --precisions fp16
    python without_norm.py --models encoder,gpt2 --batch 8 --modes compile --json times.jsonl

Models are timm's names, or "encoder" (six blocks of timm's, 512 channels, 128 tokens) or "gpt2" (128 tokens; needs
transformers). Modes: eager; graph, the same in one CUDA graph; compile, torch.compile; compile-graph, both.
"""
import argparse
import itertools
import json
import math
import random
import re
import statistics
import sys
import time

import torch
from torch import nn

PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
MODES = ("eager", "graph", "compile", "compile-graph")
FORMS = ("ln", "ln-1.10", "affine", "folded")
TURN_SECONDS = 0.03
NORM_KERNELS = re.compile("layer_?norm|RowwiseMoments", re.IGNORECASE)


class Affine(nn.Module):
    """y = s x + t, one multiply and add per channel."""

    def __init__(self, norm):
        super().__init__()
        self.s, self.t = nn.Parameter(torch.ones_like(norm.weight)), nn.Parameter(torch.zeros_like(norm.weight))

    def forward(self, x):
        return torch.addcmul(self.t, x, self.s)


class UnalignedLayerNorm(nn.Module):
    """Layer Normalization whose weights begin one element behind a multiple of 16 bytes."""

    def __init__(self, norm):
        super().__init__()
        channels, self.eps = norm.normalized_shape[0], norm.eps
        self.register_buffer("s", norm.weight.new_ones(channels + 1)[1:], persistent=False)
        self.register_buffer("t", norm.weight.new_zeros(channels + 1)[1:], persistent=False)

    def forward(self, x):
        return nn.functional.layer_norm(x, self.s.shape, self.s, self.t, self.eps)


REPLACEMENTS = {"affine": Affine, "folded": lambda _: nn.Identity(), "ln-1.10": UnalignedLayerNorm}


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        from timm.models.vision_transformer import Block
        self.blocks = nn.Sequential(*(Block(512, 8, qkv_bias=True) for _ in range(6)))
        self.norm, self.head = nn.LayerNorm(512), nn.Linear(512, 10)

    def forward(self, x):
        return self.head(self.norm(self.blocks(x)).mean(1))


class Gpt2(nn.Module):
    def __init__(self):
        super().__init__()
        from transformers import GPT2Config, GPT2Model
        self.model = GPT2Model(GPT2Config(use_cache=False))

    def forward(self, ids):
        return self.model(input_ids=ids).last_hidden_state


def network(name):
    if name == "encoder":
        return Encoder()
    if name == "gpt2":
        return Gpt2()
    import timm
    return timm.create_model(name)


def inputs(name, batch, dtype, device):
    if name == "encoder":
        return torch.randn(batch, 128, 512, device=device, dtype=dtype)
    if name == "gpt2":
        return torch.randint(50257, (batch, 128), device=device)
    return torch.randn(batch, 3, 224, 224, device=device, dtype=dtype)


def in_form(model, form):
    """Replaces every Layer Normalization of the model, in place; answers how many there are."""
    found = 0
    for name, child in model.named_children():
        if isinstance(child, nn.LayerNorm):
            found += 1
            if form in REPLACEMENTS:
                setattr(model, name, REPLACEMENTS[form](child))
        else:
            found += in_form(child, form)
    return found


def in_graph(call, x):
    """The call as one CUDA graph of the same input, which gives the same output tensor each time."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call(x)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = call(x)

    def replay(_):
        graph.replay()
        return y
    return replay


def interval(values):
    """The median of the values, and the two of them that hold the true one in 95 % of cases; 6 values at least."""
    ordered, count = sorted(values), len(values)
    rank, below = 0, 0.5**count
    while below + math.comb(count, rank + 1) * 0.5**count <= 0.025:
        rank += 1
        below += math.comb(count, rank) * 0.5**count
    return statistics.median(ordered), ordered[rank], ordered[-1 - rank]


def synchronize():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def turn(call, x, calls):
    """Seconds a call takes; one that is not counted goes first."""
    call(x)
    synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        call(x)
    synchronize()
    return (time.perf_counter() - start) / calls


def peak_bytes(call, x, model):
    """Activations of one call at their peak, with the weights and the input."""
    synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call(x)
    synchronize()
    weights = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    return torch.cuda.max_memory_allocated() - before + weights + x.nbytes


def kernels(call, x):
    """How many kernels one call starts, and their milliseconds: of all, and of those that compute a normalization."""
    from torch.profiler import ProfilerActivity, profile
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiled:
        call(x)
        synchronize()
    of_gpu = [e for e in profiled.events() if e.device_type == torch.autograd.DeviceType.CUDA
              and not getattr(e, "is_user_annotation", False) and not e.name.startswith(("Memcpy", "Memset", "#"))]
    norms = [e for e in of_gpu if NORM_KERNELS.search(e.name)]
    milliseconds = lambda events: sum(e.time_range.elapsed_us() for e in events) / 1e3
    return {"kernels": len(of_gpu), "gpu_ms": milliseconds(of_gpu), "norm_kernels": len(norms),
            "norm_ms": milliseconds(norms), "norm_names": sorted({e.name[:120] for e in norms})}


def measure(name, batch, precision, mode, options):
    """One network at one batch, precision and mode: every form, in turns. Answers a row for each form."""
    device, dtype = ("cuda" if torch.cuda.is_available() else "cpu"), PRECISIONS[precision]
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.compiler.reset()
    forms = [form for form in options.forms if form != "ln-1.10" or not mode.startswith("compile")]
    x, models, calls, rows = inputs(name, batch, dtype, device), {}, {}, {}
    for form in forms:
        torch.manual_seed(0)
        models[form] = model = network(name).eval().to(device, dtype)
        found = in_form(model, form)
        call = model
        if mode.startswith("compile"):
            call = torch.compile(model, mode=options.compile_mode, dynamic=False)
        for _ in range(3):
            y = call(x)
        calls[form] = in_graph(call, x) if mode.endswith("graph") else call
        rows[form] = {"model": name, "batch": batch, "precision": precision, "mode": mode, "form": form,
                      "norms": found, "finite": bool(torch.isfinite(y).all())}
        if device == "cuda" and not mode.endswith("graph"):
            rows[form]["peak_mb"] = peak_bytes(call, x, model) / 1e6
    slowest = max(turn(call, x, 1) for call in calls.values())
    count = max(1, math.ceil(TURN_SECONDS / slowest))
    turns = {**calls, **({f"{forms[0]} again": calls[forms[0]]} if len(forms) > 1 else {})}
    rows.update({key: {**rows[forms[0]], "form": key} for key in turns if key not in rows})
    times = {key: [] for key in turns}
    for _ in range(options.rounds):
        for key in random.sample(list(turns), len(turns)):
            times[key].append(turn(turns[key], x, count))
    for key, row in rows.items():
        median, low, high = interval([a / b for a, b in zip(times[forms[0]], times[key])])
        row.update(ms=statistics.median(times[key]) * 1e3, over=forms[0], speed=median, low=low, high=high,
                   calls=count, times=times[key])
    if options.kernels and device == "cuda":
        for key, row in rows.items():
            row.update(kernels(turns[key], x))
    return list(rows.values())


def line(row):
    rate = row["batch"] / row["ms"] * 1e3
    memory = f"{row['peak_mb']:7.0f} MB" if "peak_mb" in row else ""
    started = (f"{row['kernels']} kernels, {row['norm_ms']:.2f} of {row['gpu_ms']:.2f} ms in normalizations"
               if "kernels" in row else "")
    return (f"{row['model'][:12]:12s} {row['batch']:4d} {row['precision']} {row['mode']:13s} {row['form']:8s} "
            f"{row['ms']:9.3f} ms {rate:9.1f}/s  speed over {row['over']} {row['speed']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
            f" {memory} {started}{'' if row['finite'] else ' NOT FINITE'}").rstrip()


def listed(kind, allowed=None):
    """Reads "a,b" as a list, each one of `allowed`."""
    def read(text):
        values = [kind(one) for one in text.split(",")]
        for one in values:
            if allowed is not None and one not in allowed:
                raise argparse.ArgumentTypeError(f"{one!r} is none of {', '.join(allowed)}")
        return values
    return read


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("--models", type=listed(str), default=["swin_tiny_patch4_window7_224"], help="names; swin_tiny_patch4_window7_224")
    option("--batch", type=listed(int), default=[512], help="sizes; 512")
    option("--precisions", type=listed(str, PRECISIONS), default=["fp32", "fp16"], help="of " + ", ".join(PRECISIONS))
    option("--modes", type=listed(str, MODES), default=["eager"], help="of " + ", ".join(MODES))
    option("--forms", type=listed(str, FORMS), default=["ln", "affine", "folded"],
           help=f"of {', '.join(FORMS)}; the first is what the others are compared with")
    option("--rounds", type=int, default=21, help="6 at least; %(default)s")
    option("--compile-mode", default="default", help="as torch.compile's mode")
    option("--kernels", action="store_true", help="also how many kernels, and their time, by torch.profiler")
    option("--json", help="a file to add each row to, as a line of JSON")
    options = parser.parse_args()
    if options.rounds < 6:
        parser.error("fewer than 6 rounds have no interval of 95 %")
    if not torch.cuda.is_available():
        if any(mode.endswith("graph") for mode in options.modes) or "ln-1.10" in options.forms:
            parser.error("CUDA graphs and the form ln-1.10 need a GPU, and PyTorch finds none")
    random.seed(0)
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"{where}, PyTorch {torch.__version__}, {options.rounds} rounds", flush=True)
    failed = 0
    for name, batch, mode, precision in itertools.product(
            options.models, options.batch, options.modes, options.precisions):
        try:
            with torch.inference_mode():
                rows = measure(name, batch, precision, mode, options)
        except (ImportError, RuntimeError) as error:
            print(f"error: {name}, batch {batch}, {precision}, {mode}: {str(error)[:600]}", file=sys.stderr)
            failed += 1
            continue
        for row in rows:
            print(line(row), flush=True)
        if options.json:
            with open(options.json, "a") as file:
                file.writelines(json.dumps({"device": where, "torch": torch.__version__, **row}) + "\n" for row in rows)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
