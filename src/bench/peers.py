"""PyTorch's side of `deno task bench`: the same networks with Layer Normalization, taking turns with UNfold's process.

One JSON object per line comes in and one goes out; whatever libraries print goes to stderr. A turn times itself, so the
pipe between the processes is not measured, and ends with a pause in which the library's threads go to sleep, so that they
are not measured either, at the cost of whoever comes next.

Commands: {"do": "hello", "threads": 2}; {"do": "open", "network", "weights", "inputs", "folder", "compile"}; {"do": "run",
"variant"}; {"do": "close"}; {"do": "plans", "network", "weights", "inputs", "folder"}. An answer with "error" says why something could not be done.
"""

import importlib.util
import json
import os
import platform
import sys
import time
import warnings

ANSWERS = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from torch import nn  # noqa: E402

SETTLE_S = 0.01


class Block(nn.Module):
    def __init__(self, channels, heads, hidden):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.attn = nn.Module()
        for name in ("q_proj", "k_proj", "v_proj"):
            setattr(self.attn, name, nn.Linear(channels, channels, bias=False))
        self.attn.out_proj = nn.Linear(channels, channels)
        self.mlp = nn.Module()
        self.mlp.fc1 = nn.Linear(channels, hidden)
        self.mlp.fc2 = nn.Linear(hidden, channels)

    def forward(self, x):
        batch, tokens, channels = x.shape
        y = self.norm1(x)
        q, k, v = (
            product(y).view(batch, tokens, self.heads, -1).transpose(1, 2)
            for product in (self.attn.q_proj, self.attn.k_proj, self.attn.v_proj)
        )
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.attn.out_proj(y.transpose(1, 2).reshape(batch, tokens, channels))
        return x + self.mlp.fc2(nn.functional.gelu(self.mlp.fc1(self.norm2(x))))


class Encoder(nn.Module):
    def __init__(self, channels=512, depth=6, heads=8, hidden=2048, classes=10):
        super().__init__()
        self.blocks = nn.ModuleList(Block(channels, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, classes)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


class Logits(nn.Module):
    """Of a language model of transformers, nothing but its logits."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids):
        return self.model(input_ids=ids, use_cache=False).logits


def encoder(weights):
    model = Encoder()
    model.load_state_dict(weights)
    return model


def vit(weights):
    import timm

    model = timm.create_model("deit_small_patch16_224")
    model.load_state_dict(weights)
    return model


def swin(weights):
    import timm

    model = timm.create_model("swin_tiny_patch4_window7_224")

    # timm counts a merging to the scale behind it, the paper's code to the one before.
    def renamed(name):
        parts = name.split(".")
        if parts[0] == "head":
            return ".".join(["head", "fc", *parts[1:]])
        if parts[0] == "layers" and parts[2] == "downsample":
            parts[1] = str(int(parts[1]) + 1)
        return ".".join(parts)

    known = model.state_dict()
    buffers = {name: value for name, value in known.items() if name.endswith(("index", "attn_mask"))}
    model.load_state_dict({**buffers, **{renamed(name): value for name, value in weights.items()}})
    return model


def gpt2(weights):
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(attn_implementation="sdpa"))
    own = {name: value for name, value in weights.items() if not name.startswith("lm_head.")}
    # Conv1D stores its weight the other way round.
    turned = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")
    state = {
        f"transformer.{name}": value.t().contiguous() if name.endswith(turned) else value
        for name, value in own.items()
    }
    state["lm_head.weight"] = state["transformer.wte.weight"]
    model.load_state_dict(state)
    return Logits(model)


class Affine(nn.Module):
    """What an offline normalization is at inference: a scale and a shift of each channel."""

    def __init__(self, norm):
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x):
        return x * self.weight + self.bias


def with_affines(model):
    norms = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.LayerNorm)]
    for name, module in norms:
        model.set_submodule(name, Affine(module))
    return model


NETWORKS = {"encoder": encoder, "vit": vit, "swin": swin, "gpt2": gpt2}


def export(model, inputs, folder, dynamo=None):
    path = os.path.join(folder, "torch.onnx")
    if dynamo or dynamo is None and importlib.util.find_spec("onnxscript") is not None:
        torch.onnx.export(model, inputs, path, dynamo=True, external_data=True, verbose=False, optimize=True)
    else:
        torch.onnx.export(model, inputs, path, dynamo=False, opset_version=17)
    return path


def inputs_of(path, dtype=torch.float32):
    return tuple(
        value.to(dtype) if value.is_floating_point() else value.long() for value in load_file(path).values()
    )


def reason(error):
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"


class Peers:
    def __init__(self):
        self.calls = {}
        self.inputs = ()

    def hello(self, threads):
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        return {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]}

    def open(self, network, weights, inputs, folder, compile):
        self.calls = {}
        torch._dynamo.reset()
        model = NETWORKS[network](load_file(weights)).eval()
        self.inputs = inputs_of(inputs)
        skipped, outputs, exported = {}, {}, None
        variants = {"lnTorch": lambda: model}
        if compile:
            variants["lnTorchCompiled"] = lambda: torch.compile(model, dynamic=False)
        for name, make in variants.items():
            try:
                call = make()
                outputs[name] = call(*self.inputs).contiguous().clone()
                self.calls[name] = call
            except Exception as error:
                skipped[name] = reason(error)
        try:
            exported = export(model, self.inputs, folder)
        except Exception as error:
            skipped["lnTorchExport"] = reason(error)
        path = os.path.join(folder, "torch.safetensors")
        save_file(outputs, path)
        return {"variants": list(self.calls), "export": exported, "outputs": path, "skipped": skipped}

    def plans(self, network, weights, inputs, folder):
        """Plans in fp16 of both exporters' files, by NVIDIA's parser."""
        import onnx_plan

        plans, skipped = {}, {}
        for norm, changed in {"ln": lambda model: model, "affine": with_affines}.items():
            for exporter, dynamo in {"Export": True, "Script": False}.items():
                name = f"{norm}Torch{exporter}"
                plan = os.path.join(folder, f"{name}.plan")
                try:
                    model = changed(NETWORKS[network](load_file(weights))).eval().half()
                    onnx_plan.plan_of(export(model, inputs_of(inputs, torch.float16), folder, dynamo), plan)
                    plans[name] = plan
                except Exception as error:
                    skipped[name] = reason(error)
        return {"plans": plans, "skipped": skipped, "version": onnx_plan.VERSION}

    def run(self, variant):
        call = self.calls[variant]
        start = time.perf_counter()
        call(*self.inputs)
        ms = (time.perf_counter() - start) * 1e3
        time.sleep(SETTLE_S)
        return {"ms": ms}

    def close(self):
        self.calls = {}
        return {}


peers = Peers()
for line in sys.stdin:
    command = json.loads(line)
    try:
        answer = getattr(peers, command.pop("do"))(**command)
    except Exception as error:
        answer = {"error": reason(error)}
    ANSWERS.write(json.dumps(answer) + "\n")
