"""Saves every ViT, DeiT and Swin of timm, its DINOv3, and every network of transformers that UNfold reads, at tiny sizes with
examples/pytorch/save_for_unfold.py, has UNfold build ONNX from each and compare, and prints docs/save_for_unfold_census.md.
Then each file once more with a wrong head count, epsilon and activation: none may pass. Exits with 1 where a network that
UNfold takes is not PyTorch's, or a planted value is not noticed.

    pip install torch==2.13.0 timm==1.0.31 transformers==5.24.0 torchvision
    python tests/census/prove_families.py [PATTERN]
"""

import collections
import copy
import datetime
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import warnings

import timm
import torch
import transformers
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples/pytorch"))
from save_for_unfold import save_for_unfold  # noqa: E402

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

DOCUMENT = """# What `save_for_unfold` proves

Each network below, at a tiny size with random weights, is saved by `examples/pytorch/save_for_unfold.py`, built
to ONNX by UNfold in fp32, run by ONNX Runtime, and compared with PyTorch's own outputs in the file.

```sh
python tests/census/prove_families.py
```

Measured on {date} with torch {torch}, timm {timm} and transformers {transformers} on a virtual machine of
{cores} cores. Errors are of the largest output.

{counts}

A wrong value is then planted in what each file says, one at a time, where it says one: heads halved or
doubled, an epsilon of 1e-2, another activation. Caught is what is refused, or differs by more than 1e-4:

{planted}

Proven is what the tensors tell, said what the file's metadata does, assumed or published what neither does.

{table}

Refused, each with what is missing:

{refused}"""


def tiny_timm(name):
    """As small as the class allows, with everything that makes the architecture another one left as it is."""
    if name.startswith("swin"):
        sizes = {"img_size": 56, "window_size": 7, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4)}
    else:
        sizes = {"img_size": 28, "patch_size": 14, "embed_dim": 24, "depth": 2, "num_heads": 2}
    model = timm.create_model(name, pretrained=False, num_classes=5, **sizes)
    return model, torch.rand(2, 3, sizes["img_size"], sizes["img_size"])


SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
IDS = {"vocab_size": 24, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
IMAGE = {"image_size": 28, "patch_size": 14}
TEXT = {**SIZES, **IDS, "max_position_embeddings": 8}
SIDE = 4 * IMAGE["patch_size"]


def tiny_transformers():
    """Name, class, configuration, and inputs."""
    t = transformers
    words = {"input_ids": torch.randint(3, 24, (2, 5))}
    ended = {"input_ids": torch.cat([words["input_ids"], torch.full((2, 1), IDS["eos_token_id"])], 1)}
    filled = {"input_ids": torch.randint(3, 24, (2, 8))}
    images = {"pixel_values": torch.rand(2, 3, 28, 28)}
    labels = {"num_labels": 5}
    dino = {key: value for key, value in SIZES.items() if key != "intermediate_size"}

    for kind in (t.BertModel, t.BertForMaskedLM, t.BertForSequenceClassification):
        yield kind, t.BertConfig(**TEXT), words
    roberta = {**TEXT, "max_position_embeddings": 12, "type_vocab_size": 1}
    for kind in (t.RobertaModel, t.RobertaForMaskedLM, t.RobertaForSequenceClassification):
        yield kind, t.RobertaConfig(**roberta), words
    yield t.XLMRobertaModel, t.XLMRobertaConfig(**roberta), words
    yield t.CamembertModel, t.CamembertConfig(**roberta), words
    distilled = t.DistilBertConfig(dim=16, n_layers=2, n_heads=4, hidden_dim=24, max_position_embeddings=8, **IDS)
    for kind in (t.DistilBertModel, t.DistilBertForMaskedLM):
        yield kind, distilled, words
    gpt2 = t.GPT2Config(n_embd=16, n_layer=2, n_head=4, n_positions=8, **IDS)
    for kind in (t.GPT2Model, t.GPT2LMHeadModel):
        yield kind, gpt2, words
    yield t.LlamaForCausalLM, t.LlamaConfig(**TEXT, num_key_value_heads=2), words
    for form in ("relu", "gated-gelu"):
        t5 = t.T5Config(d_model=16, num_layers=2, num_heads=4, d_ff=24, d_kv=4, feed_forward_proj=form, **IDS)
        yield t.T5EncoderModel, t5, words
    whisper = t.WhisperConfig(
        d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=24, decoder_ffn_dim=24, num_mel_bins=8, max_source_positions=10, decoder_start_token_id=0, **IDS,
    )
    yield t.models.whisper.modeling_whisper.WhisperEncoder, whisper, {"input_features": torch.rand(2, 8, 20)}

    for kind in (t.ViTModel, t.ViTForImageClassification):
        yield kind, t.ViTConfig(**SIZES, **IMAGE, **labels), images
    for kind in (t.DeiTModel, t.DeiTForImageClassification, t.DeiTForImageClassificationWithTeacher):
        yield kind, t.DeiTConfig(**SIZES, **IMAGE, **labels), images
    for gated in (False, True):
        config = t.Dinov2Config(**dino, **IMAGE, **labels, use_swiglu_ffn=gated)
        yield t.Dinov2Model, config, images
        yield t.Dinov2WithRegistersModel, t.Dinov2WithRegistersConfig(**dino, **IMAGE, **labels, use_swiglu_ffn=gated), images
        yield t.DINOv3ViTModel, t.DINOv3ViTConfig(**SIZES, **IMAGE, use_gated_mlp=gated), images
    yield t.Dinov2ForImageClassification, t.Dinov2Config(**dino, **IMAGE, **labels), images
    yield t.Dinov2WithRegistersForImageClassification, t.Dinov2WithRegistersConfig(**dino, **IMAGE, **labels), images
    for kind in (t.SwinModel, t.SwinForImageClassification):
        config = t.SwinConfig(image_size=56, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=7, **labels)
        yield kind, config, {"pixel_values": torch.rand(2, 3, SIDE, SIDE)}
    for kind in (t.CLIPVisionModel, t.CLIPVisionModelWithProjection):
        yield kind, t.CLIPVisionConfig(**SIZES, **IMAGE, projection_dim=8), images
    for kind in (t.CLIPTextModel, t.CLIPTextModelWithProjection):
        yield kind, t.CLIPTextConfig(**TEXT, projection_dim=8), ended
    yield t.SiglipVisionModel, t.SiglipVisionConfig(**SIZES, **IMAGE), images
    yield t.SiglipTextModel, t.SiglipTextConfig(**TEXT), filled


def spread(model):
    """Weights so large that a wrong head count or epsilon shows."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
        else:
            torch.nn.init.uniform_(parameter, 0.1, 0.6)
    return model


def save(folder, pattern):
    """The files, by what they are of; and what could not be made."""
    files, failed = {}, {}

    def add(name, family, model, inputs):
        path = f"{folder}/{len(files)}.safetensors"
        save_for_unfold(model, path, inputs)
        files[name] = (family, path)

    for module in ("vision_transformer", "deit", "swin_transformer", "eva"):
        for name in timm.list_models("*dinov3*" if module == "eva" else "", module=module):
            if pattern not in name:
                continue
            try:
                model, inputs = tiny_timm(name)
                add(name, f"timm {module}", spread(model), inputs)
            except Exception as error:  # Of timm's: a size that this class does not take.
                failed[name] = f"{type(error).__name__}: {error}"
    for kind, config, inputs in tiny_transformers():
        gated = getattr(config, "use_swiglu_ffn", False) or getattr(config, "use_gated_mlp", False)
        gated = gated or getattr(config, "is_gated_act", False)
        name = kind.__name__ + (", gated" if gated else "")
        if pattern not in name:
            continue
        model = spread(kind(config))
        add(name, "transformers", model, inputs)
        # Under the names that save_pretrained writes, where the live modules have others.
        model.save_pretrained(f"{folder}/saved")
        saved = load_file(f"{folder}/saved/model.safetensors")
        if not saved.keys() <= model.state_dict().keys():
            model.state_dict = lambda saved=saved: saved
            add(f"{name}, as saved", "transformers", model, inputs)
    return files, failed


WRONG = {
    "heads": (
        ("num_attention_heads", "n_head", "n_heads", "encoder_attention_heads", "num_heads"),
        lambda heads: heads // 2 if heads % 2 == 0 else 2 * heads,
    ),
    "epsilon": (("layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps"), lambda _: 1e-2),
    "activation": (
        ("hidden_act", "activation", "activation_function", "dense_act_fn", "feed_forward_proj"),
        lambda name: {"relu": "gelu", "gated-gelu": "gated-silu"}.get(name, "relu"),
    ),
}


def planted(path, settled):
    """Copies of a file, each with one wrong value where it says one that the network has."""
    used = {value["name"] for value in settled}
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    facts = json.loads(header["__metadata__"]["unfold"])
    for what, (keys, wrong) in WRONG.items():
        changed = copy.deepcopy(facts)
        target, names = (changed["config"], keys) if "config" in changed else (changed, (what,))
        there = [name for name in names if isinstance(target.get(name), (int, float, str))]
        if not there or what not in used:
            continue
        for name in there:
            target[name] = wrong(target[name])
        text = json.dumps({**header, "__metadata__": {"format": "pt", "unfold": json.dumps(changed)}}).encode()
        copied = f"{path}.{what}.safetensors"
        pathlib.Path(copied).write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
        yield what, copied


def answers(paths):
    command = ["deno", "run", "-A", "--config", ROOT / "deno.json", ROOT / "tests/census/prove.ts"]
    lines = "".join(f"{path}\n" for path in paths)
    told = subprocess.run(command, input=lines, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(zip(paths, map(json.loads, told), strict=True))


def names_of(settled, *bases):
    return sorted({value["name"] for one in settled for value in one if value["basis"] in bases})


def table(files, told):
    """A row per network of transformers, and per module of timm."""
    rows = collections.defaultdict(list)
    for name, (family, path) in files.items():
        if "agrees" in told[path]:
            rows[family if family.startswith("timm") else name].append(told[path])
    lines = [
        "| network | files | proven | said | assumed or published | largest error |",
        "| ------- | ----- | ------ | ---- | -------------------- | ------------- |",
    ]
    for name, found in rows.items():
        settled = [answer["settled"] for answer in found]
        sides = (names_of(settled, "tensors"), names_of(settled, "said"), names_of(settled, "assumed", "published"))
        error = max(answer["maxRelError"] for answer in found)
        lines.append(f"| {name} | {len(found)} | {' | '.join(', '.join(side) for side in sides)} | {error:.1e} |")
    return "\n".join(lines)


def main(pattern=""):
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        files, failed = save(folder, pattern)
        told = answers([path for _, path in files.values()])
        right = {name: path for name, (_, path) in files.items() if told[path].get("agrees")}
        wrong = [(name, what, path) for name in right for what, path in planted(right[name], told[right[name]]["settled"])]
        caught = answers([path for _, _, path in wrong])
    problems = [f"{name} was not made: {why}" for name, why in failed.items()]
    problems += [
        f"{name} differs by {told[path]['maxRelError']:.1e}"
        for name, (_, path) in files.items()
        if told[path].get("agrees") is False
    ]
    problems += [f"{name}: a wrong {what} was not noticed" for name, what, path in wrong if caught[path].get("agrees")]
    refused = {name: told[path]["refused"].replace(path, "it") for name, (_, path) in files.items() if "refused" in told[path]}
    largest = max((told[path]["maxRelError"] for path in right.values()), default=0)
    tally = collections.defaultdict(collections.Counter)
    for _, what, path in wrong:
        verdict = "refused" if "refused" in caught[path] else "not noticed" if caught[path]["agrees"] else "differ"
        tally[what][verdict] += 1
    print(DOCUMENT.format(
        date=datetime.date.today(), torch=torch.__version__.split("+")[0], timm=timm.__version__,
        transformers=transformers.__version__, cores=os.cpu_count(),
        counts=f"- {len(right)} of {len(files)} files are equal: at most {largest:.1e}; the bound is 1e-4.\n"
        f"- {len(refused)} are refused.\n- {len(problems)} are wrong.",
        planted="\n".join(
            f"- {what}: {sum(counts.values())} files, " + ", ".join(f"{many} {how}" for how, many in sorted(counts.items()))
            for what, counts in tally.items()
        ),
        table=table(files, told),
        refused="\n".join(f"- `{name}`: {why}" for name, why in refused.items()),
    ))
    print("\n".join(problems), file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
