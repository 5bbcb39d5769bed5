"""Writes digits.onnx: the UN twin of un.safetensors, or the LN twin, as PyTorch exports it.

    pip install torch==2.14.1 onnxscript safetensors numpy
    python examples/digits/export.py
"""

import argparse
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from train import DigitTransformer, UnifiedNorm

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--norm", choices=["un", "ln"], default="un", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=HERE / "digits.onnx", help="default: %(default)s")
    args = parser.parse_args()
    norm = partial(UnifiedNorm, window=4) if args.norm == "un" else nn.LayerNorm
    model = DigitTransformer(norm).eval()
    model.load_state_dict(load_file(HERE / f"{args.norm}.safetensors"))
    names = {"input_names": ["images"], "output_names": ["logits"], "dynamic_shapes": {"images": {0: "batch"}}}
    program = torch.onnx.export(model, (torch.zeros(2, 1, 8, 8),), verbose=False, **names)
    for node in program.model.graph:
        # Where in whose folders each operator was called.
        node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)
    program.save(args.out, external_data=False)


if __name__ == "__main__":
    main()
