"""Checks examples/pytorch/save_for_unfold.py where torch is there, and nothing else: its docstrings, what it says of torch's
own modules, the file that it writes, and what it leaves as it was. Exits with 77 without torch."""

import doctest
import json
import os
import pathlib
import struct
import sys
import tempfile

try:
    import torch
except ImportError as error:
    print(error)
    sys.exit(77)

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples/pytorch"))
import save_for_unfold as module  # noqa: E402


def read(path):
    """The header of a file and a reader of its data, as the format says."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert length % 8 == 0
    spans = sorted(entry["data_offsets"] for name, entry in header.items() if name != "__metadata__")
    assert [begin for begin, _ in spans] == [0, *(end for _, end in spans[:-1])], "holes"
    assert spans[-1][1] == len(data) - 8 - length

    def floats(name):
        begin, end = header[name]["data_offsets"]
        return torch.frombuffer(bytearray(data[8 + length + begin : 8 + length + end]), dtype=torch.float32)

    return header, floats


def saved(model, inputs, **facts):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "m.safetensors")
        module.save_for_unfold(model, path, inputs, **facts)
        assert os.listdir(folder) == ["m.safetensors"]
        return read(path)


def check_torch_modules():
    encoder = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(8, 2, 16, activation="relu", layer_norm_eps=1e-4, batch_first=True), 2
    )
    assert module.facts_of(encoder) == {"heads": 2, "epsilon": 1e-4, "activation": "relu", "normalization": "ln"}
    assert module.facts_of(torch.nn.MultiheadAttention(8, 4)) == {"heads": 4}
    mixed = torch.nn.Sequential(torch.nn.LayerNorm(4, eps=1e-6), torch.nn.BatchNorm1d(4))
    assert module.facts_of(mixed) == {"epsilon": [1e-6, 1e-5], "normalization": ["ln", "BatchNorm1d"]}
    tanh = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.GELU(approximate="tanh"))
    assert module.facts_of(tanh) == {"activation": "gelu_tanh"}


def check_libraries():
    """What transformers' and timm's modules say, of stand-ins that have their names."""

    class Output(dict):
        __getattr__ = dict.get

    class Encoder(torch.nn.Module):
        def forward(self, x):
            return Output(last_hidden_state=2 * x)

    class Config:
        def to_dict(self):
            return {"model_type": "standin", "architectures": None}

    class Model(torch.nn.Module):
        config = Config()

        def __init__(self, name):
            super().__init__()
            self.base_model, self.name = Encoder(), name

        def forward(self, x):
            return Output({self.name: self.base_model(x).last_hidden_state + 1})

    assert module.facts_of(Model("logits")) == {"config": {"model_type": "standin", "architectures": ["Model"]}}
    header, floats = saved(Model("logits"), torch.ones(2))
    assert floats("unfold.outputs.logits").tolist() == [3, 3]
    assert floats("unfold.outputs.last_hidden_state").tolist() == [2, 2]
    # A base model that stops earlier has not the last word.
    header, floats = saved(Model("last_hidden_state"), torch.ones(2))
    assert floats("unfold.outputs.last_hidden_state").tolist() == [3, 3]

    def timm(name, file="vision_transformer", **attributes):
        found = type(name, (torch.nn.Module,), {"__module__": f"timm.models.{file}"})()
        found.__dict__.update(attributes)
        return found

    vit = timm("VisionTransformer", patch_embed=None, pos_embed=None, global_pool="map", pool_include_prefix=True)
    vit.blocks = torch.nn.Sequential(timm("ResPostBlock"))
    told = {"pool": "map", "pool-prefix": True, "placement": "res-post", "positions": "none"}
    assert module.facts_of(vit) == told
    eva = timm("Eva", "eva", patch_embed=None, pos_embed=None)
    eva.blocks = torch.nn.Sequential()
    eva.rope = timm("RotaryEmbeddingDinoV3", "pos_embed_sincos", temperature=50.0)
    assert module.facts_of(eva) == {"positions": "dinov3", "rope-theta": 50.0}


def check_file():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2), torch.nn.Dropout())
    x = torch.rand(4, 3)
    header, floats = saved(model, x, heads=7)
    assert json.loads(header["__metadata__"]["unfold"])["heads"] == 7
    assert header["unfold.inputs.input"]["shape"] == [4, 3] and header["0.num_batches_tracked"]["shape"] == []
    assert model.training and model[2].training and int(model[0].num_batches_tracked) == 0, "the model is not as it was"
    expected = model.eval()(x).detach().flatten()
    assert torch.equal(floats("unfold.outputs.output"), expected)
    assert torch.equal(floats("1.weight"), model[1].weight.detach().flatten())
    # In half precision the weights stay as they are, and the outputs are computed in float32.
    header, floats = saved(model.half(), x)
    assert header["1.weight"]["dtype"] == "F16" and model[1].weight.dtype == torch.float16
    assert torch.allclose(floats("unfold.outputs.output"), expected, atol=1e-2)
    # A transposed weight is written as the state dict has it, not as its memory lies.
    model = torch.nn.Linear(2, 2, bias=False)
    model.weight = torch.nn.Parameter(torch.arange(4.0).view(2, 2).t())
    _, floats = saved(model, torch.rand(1, 2))
    assert floats("weight").tolist() == [0, 2, 1, 3]


class Words(torch.nn.Module):
    """Takes its mask behind something else, as GPT-2 does."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(5, 3)

    def forward(self, input_ids, past=None, attention_mask=None):
        assert past is None and attention_mask is not None
        return self.embedding(input_ids) * attention_mask[..., None]


def check_mask():
    """Words without a mask have one that hides none, however they are given."""
    ids = torch.tensor([[1, 2], [3, 4]])
    for inputs in (ids, (ids,), {"input_ids": ids}, {"input_ids": ids, "attention_mask": None}):
        header, floats = saved(Words(), inputs)
        assert header["unfold.inputs.attention_mask"]["shape"] == [2, 2]
        assert floats("unfold.outputs.output").shape == (12,)


def check_image_size():
    """Of the outermost module that says one, else of the example."""
    patches = [torch.nn.Conv2d(3, 3, 1) for _ in range(2)]
    told = torch.nn.Sequential(*patches)
    size = lambda model: json.loads(saved(model, torch.rand(1, 3, 4, 6))[0]["__metadata__"]["unfold"]).get("image-size")
    assert size(told) == [4, 6]
    patches[0].img_size, patches[1].img_size = 8, (2, 2)
    assert size(told) == [8, 8]
    assert saved(torch.nn.Linear(3, 2), torch.rand(1, 3))[0]["__metadata__"]["unfold"] == "{}"


def check_tensors():
    torch.manual_seed(0)
    twice = torch.nn.ReLU(inplace=True)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), twice, torch.nn.Linear(4, 2), twice)
    x = torch.rand(5, 3)
    header, floats = saved(model, x, tensors=True)
    names = sorted(name for name in header if name.startswith("unfold.tensors."))
    # As the product gave it, not as the activation that writes into it left it; of a module called twice nothing.
    assert names == ["unfold.tensors.0", "unfold.tensors.2"], names
    assert torch.equal(floats("unfold.tensors.0"), model[0](x).detach().flatten())
    assert not model[0]._forward_hooks, "a hook was left"
    header, _ = saved(model, x, tensors={"0": "blocks.0.fc1"})
    assert [name for name in header if name.startswith("unfold.tensors.")] == ["unfold.tensors.blocks.0.fc1"]
    try:
        saved(model, x, tensors=["fc7"])
    except ValueError as error:
        assert "there is no module 'fc7'" in str(error)
    else:
        raise AssertionError("a module that is not there was taken")


def check_refusals():
    for inputs, kind in (("words", TypeError), ([1], TypeError)):
        try:
            saved(torch.nn.Linear(2, 2), inputs)
        except kind as error:
            assert "give tensors" in str(error)
        else:
            raise AssertionError(f"{inputs!r} was taken")
    model = torch.nn.Linear(2, 2)
    model.register_buffer("wave", torch.zeros(2, dtype=torch.complex64))
    try:
        saved(model, torch.rand(1, 2))
    except TypeError as error:
        assert "wave is torch.complex64" in str(error)
    else:
        raise AssertionError("a complex tensor was taken")


assert doctest.testmod(module).failed == 0
for check in (check_torch_modules, check_libraries, check_file, check_mask, check_image_size, check_tensors, check_refusals):
    check()
    print(f"ok {check.__name__}")
