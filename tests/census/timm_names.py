"""Every name of timm's ViT, DeiT and Swin modules and its DINOv3, saved as timm saves it with its config.json: read by UNfold, or refused with
what is missing; never wrong. Networks are as wide as published, with fewer blocks and smaller images, and random weights.

    python tests/census/timm_names.py [PART OF A NAME...]        needs torch, timm, safetensors, onnxruntime

Prints a row per name and the counts; exits with 1 where one is silently wrong. Tolerance: 1e-5 of the largest output, the
rounding of fp32 sums in another order.
"""
import json, pathlib, shutil, subprocess, sys, tempfile
import numpy as np
import onnxruntime
import timm
import torch
from timm.models import save_for_hf

MODULES = ("vision_transformer", "deit", "swin_transformer")
TOLERANCE = 1e-5
BATCH = 8
HERE = pathlib.Path(__file__).resolve().parent


def shake(model, generator):
    """Weights that let every part of a network be seen in its outputs."""
    with torch.no_grad():
        for parameter in model.parameters():
            fan = parameter[0].numel() if parameter.dim() > 1 else 1
            scale = 0.3 if parameter.dim() < 2 else fan**-0.5
            parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
    return model.eval()


def small(name):
    """The published network with two blocks, or two a scale, at the smallest image that keeps its form."""
    if name.startswith("swin"):
        full = timm.create_model(name, num_classes=8)
        return full, full.patch_embed.img_size
    patch = 16
    for size in (14, 32, 8):
        if f"patch{size}" in name:
            patch = size
    side = 4 * patch
    return timm.create_model(name, depth=2, img_size=side, num_classes=8), (side, side)


def make(name, folder, generator):
    model, size = small(name)
    model = shake(model, generator)
    save_for_hf(model, folder, model_args=None, safe_serialization=True)
    images = torch.randn(2, 3, *size, generator=generator)
    with torch.no_grad():
        outputs = model(images)
    return images.numpy(), outputs.numpy()


def judge(answer, images, outputs):
    if "refused" in answer:
        return "refused", answer["refused"]
    session = onnxruntime.InferenceSession(answer["onnx"], providers=["CPUExecutionProvider"])
    got = session.run(None, {session.get_inputs()[0].name: images})[0]
    if got.shape != outputs.shape:
        return "WRONG", f"shape {got.shape}, timm's {outputs.shape}"
    error = float(np.abs(got - outputs).max() / np.abs(outputs).max())
    return ("right" if error <= TOLERANCE else "WRONG"), f"{error:.1e}"


def main():
    names = [name for module in MODULES for name in timm.list_models(module=module)]
    names += timm.list_models("*dinov3*", module="eva")
    names = [name for name in names if not sys.argv[1:] or any(part in name for part in sys.argv[1:])]
    generator = torch.Generator().manual_seed(0)
    counts = {}
    for start in range(0, len(names), BATCH):
        work = pathlib.Path(tempfile.mkdtemp(prefix="unfold_census_"))
        try:
            made = {name: make(name, work / name, generator) for name in names[start : start + BATCH]}
            asked = "\n".join(
                json.dumps({"checkpoint": str(work / name / "model.safetensors"), "out": str(work / name / "out")})
                for name in made
            )
            answers = subprocess.run(
                ["deno", "run", "-A", str(HERE / "build.ts")], input=asked, capture_output=True, text=True, check=True
            ).stdout.splitlines()
            for (name, (images, outputs)), answer in zip(made.items(), answers, strict=True):
                verdict, why = judge(json.loads(answer), images, outputs)
                counts[verdict] = counts.get(verdict, 0) + 1
                print(f"{name} | {verdict} | {why.replace(str(work), '')}", flush=True)
        finally:
            shutil.rmtree(work)
    print(f"{sum(counts.values())} names: {counts}")
    return 1 if counts.get("WRONG") else 0


if __name__ == "__main__":
    sys.exit(main())
