"""Saves every ViT, DeiT and Swin of timm, and every network of transformers that UNfold reads, at tiny sizes with
examples/pytorch/save_for_unfold.py, has UNfold read and compare each, and prints a table. Exits with 1 where a network that
UNfold takes is not PyTorch's.

    pip install torch==2.13.0 timm==1.0.31 transformers==5.24.0 torchvision
    python tests/census/prove_families.py [PATTERN]
"""

import collections
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import timm
import torch
import transformers

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples/pytorch"))
from save_for_unfold import save_for_unfold  # noqa: E402

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()


def tiny_timm(name):
    """As small as the class allows, with everything that makes the architecture another one left as it is."""
    if name.startswith("swin"):
        sizes = {"img_size": 56, "window_size": 7, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4)}
    else:
        sizes = {"img_size": 28, "patch_size": 14, "embed_dim": 24, "depth": 2, "num_heads": 2}
    model = timm.create_model(name, pretrained=False, num_classes=5, **sizes)
    return model, torch.rand(2, 3, sizes["img_size"], sizes["img_size"])


COMMON = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
IDS = {"vocab_size": 24, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
IMAGE = {"image_size": 28, "patch_size": 14, "num_labels": 5}


def tiny_transformers():
    t = transformers
    bert = t.BertConfig(**COMMON, **IDS, max_position_embeddings=8)
    gpt2 = t.GPT2Config(n_embd=16, n_layer=2, n_head=4, n_positions=8, **IDS)
    llama = t.LlamaConfig(**COMMON, **IDS, num_key_value_heads=2, max_position_embeddings=8)
    vit = t.ViTConfig(**COMMON, **IMAGE)
    swin = t.SwinConfig(image_size=56, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=7, num_labels=5)
    words = {"input_ids": torch.randint(3, 24, (2, 5))}
    images = {"pixel_values": torch.rand(2, 3, 28, 28)}
    for kind in (t.BertModel, t.BertForMaskedLM, t.BertForSequenceClassification):
        yield kind.__name__, kind(bert), words
    for kind in (t.GPT2Model, t.GPT2LMHeadModel):
        yield kind.__name__, kind(gpt2), words
    yield "LlamaForCausalLM", t.LlamaForCausalLM(llama), words
    yield "ViTForImageClassification", t.ViTForImageClassification(vit), images
    yield "SwinForImageClassification", t.SwinForImageClassification(swin), {"pixel_values": torch.rand(2, 3, 56, 56)}


def spread(model):
    """Weights so large that a wrong head count or epsilon shows."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
        else:
            torch.nn.init.uniform_(parameter, 0.1, 0.6)
    return model


def networks(pattern):
    for name, model, inputs in tiny_transformers():
        if pattern in name:
            yield name, lambda model=model, inputs=inputs: (model, inputs)
    for module in ("vision_transformer", "deit", "swin_transformer"):
        for name in timm.list_models(module=module):
            if pattern in name:
                yield name, lambda name=name: tiny_timm(name)


def main(pattern=""):
    torch.manual_seed(0)
    saved, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in networks(pattern):
            path = f"{folder}/{name}.safetensors"
            try:
                model, inputs = make()
                save_for_unfold(spread(model), path, inputs)
                saved.append((name, path))
            except Exception as error:  # Of timm's: a size that this class does not take.
                rows.append((name, "not made", f"{type(error).__name__}: {error}"))
        command = ["deno", "run", "-A", "--config", ROOT / "deno.json", ROOT / "tests/census/prove.ts"]
        lines = "".join(f"{path}\n" for _, path in saved)
        answers = subprocess.run(command, input=lines, capture_output=True, text=True, check=True).stdout.splitlines()
    for (name, path), line in zip(saved, answers, strict=True):
        answer = json.loads(line)
        if "refused" in answer:
            rows.append((name, "refused", answer["refused"].replace(path, "it")))
        else:
            verdict = "equal" if answer["agrees"] else "DIFFERS"
            rows.append((name, verdict, f"{answer['maxRelError']:.1e}"))
    for row in sorted(rows, key=lambda row: (row[1], row[0])):
        print(f"{row[1]:9} {row[0]:50} {row[2][:150]}")
    counts = collections.Counter(verdict for _, verdict, _ in rows)
    print(dict(counts))
    return 1 if counts["DIFFERS"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
