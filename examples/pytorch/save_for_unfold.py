"""Saves a PyTorch model so that UNfold can prove that it builds the same network.

One file that needs nothing but torch: copy it beside your code.

    import timm, torch
    from save_for_unfold import save_for_unfold

    model = timm.create_model("vit_small_patch16_224", pretrained=True)
    save_for_unfold(model, "m.safetensors", torch.rand(2, 3, 224, 224))

Then

    deno task build-engine --checkpoint m.safetensors

reads the network from the file, runs it on the same images and fails where its outputs are not the model's. The file is
safetensors: the weights under the names of the state dict; in `__metadata__` under "unfold" what the live modules say and
no tensor tells (heads, epsilon, activation, pooling, image size, ...), as JSON; the examples as `unfold.inputs.NAME` and
`unfold.outputs.NAME`. Other readers of safetensors see the last as tensors they have no use for.

Where the outputs are not the model's, what is in between says why: with `tensors=True` the outputs of all modules are
written too, as `unfold.tensors.NAME`, and `deno task compare --checkpoint m.safetensors` names the first that differs.
"""

import collections.abc
import copy
import ctypes
import inspect
import json
import os

import torch

INPUTS, OUTPUTS, TENSORS = "unfold.inputs.", "unfold.outputs.", "unfold.tensors."

# The format's words for element types.
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def save_for_unfold(model, path, example_inputs, *, tensors=False, **facts):
    """Writes weights, what the modules say, and the model's own outputs for `example_inputs`.

    `example_inputs` is what the model is called with: a tensor, a tuple or list of them, or a dict by name.

        save_for_unfold(vit, "m.safetensors", torch.rand(2, 3, 224, 224))
        save_for_unfold(bert, "m.safetensors", tokenizer(["a sentence"], return_tensors="pt"))

    Real images or sentences prove more than noise, and two to eight of them are enough. The outputs are computed in eval
    mode, in float32 on the CPU; a model that is elsewhere or in half precision is copied for that. The model itself stays as
    it is. `facts` are for what no module says, under UNfold's names (`deno task models --layouts` lists them):

        save_for_unfold(model, "m.safetensors", images, heads=6, epsilon=1e-3)

    `tensors` is for `deno task compare`: True for the output of every module that gives one tensor and is called once; a
    list of modules by name; or a dict from such names to those that UNfold has for the tensors, where they differ:

        save_for_unfold(vit, "m.safetensors", images, tensors=True)
        save_for_unfold(own, "m.safetensors", x, tensors={"layers.0.ffn.act": "blocks.0.mlp.fc1/gelu"})

    Returns the facts. Raises TypeError or ValueError for inputs and outputs that are no tensors, or a type that the format
    does not have. A file at `path` is replaced once the new one is whole.
    """
    inputs = _named_inputs(model, example_inputs)
    outputs, between = _outputs_of(model, inputs, by_place=_by_place(example_inputs), wanted=_wanted(model, tensors))
    said = {**_size_of(inputs), **facts_of(model), **facts}
    written = {name: value for name, value in model.state_dict().items() if torch.is_tensor(value)}
    reserved = [name for name in written if name.startswith((INPUTS, OUTPUTS, TENSORS))]
    if reserved:
        raise ValueError(f"the model has a tensor called {reserved[0]!r}; such names are for examples")
    written.update({INPUTS + name: value for name, value in inputs.items()})
    written.update({OUTPUTS + name: value for name, value in outputs.items()})
    written.update({TENSORS + name: value for name, value in between.items()})
    metadata = {"format": "pt", "unfold": json.dumps(said, default=str)}
    _write_safetensors(path, written, metadata)
    return said


def facts_of(model):
    """What the modules of a model say and its tensors do not, under UNfold's names.

    >>> layer = torch.nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, layer_norm_eps=1e-3, activation="gelu")
    >>> facts_of(layer)
    {'heads': 2, 'epsilon': 0.001, 'activation': 'gelu', 'normalization': 'ln'}

    A model of transformers says it all in its configuration, which is taken whole. A list means that modules differ.
    """
    config = getattr(model, "config", None)
    if hasattr(config, "to_dict"):
        # The class, as save_pretrained has it: GPT2Model has no head.
        return {"config": {**config.to_dict(), "architectures": [type(model).__name__]}}
    modules = [module for module in model.modules() if not isinstance(module, torch.nn.Identity)]
    # The linear half of SLAB's normalization is only for training.
    idle = {id(module.norm1) for module in modules if type(module).__name__ == "LinearNorm"}
    norms = [module for module in modules if _is_norm(module) and id(module) not in idle]
    found = {
        "heads": _heads(modules),
        "epsilon": [getattr(norm, "eps", getattr(norm, "epsilon", None)) for norm in norms],
        "activation": _activations(modules),
        "pool": [m.global_pool for m in modules if isinstance(getattr(m, "global_pool", None), str)],
        "pool-prefix": [m.pool_include_prefix for m in modules if isinstance(getattr(m, "pool_include_prefix", None), bool)],
        "placement": [PLACEMENTS.get(_class_name(m)) for m in modules],
        "positions": [_positions(m) for m in modules],
        "rope-theta": [m.temperature for m in modules if type(m).__name__ == DINOV3_ROTATIONS],
        # The network's own comes first; the patches of PVT's later stages say the size of what they get.
        "image-size": [_pair(size) for size in (_image_size(m) for m in modules) if size is not None][:1],
        "patch-size": [_pair(m.patch_size) for m in modules if _is_size(getattr(m, "patch_size", None))],
        "window": [_pair(m.window_size) for m in modules if _is_size(getattr(m, "window_size", None))],
        "normalization": [_norm_name(norm) for norm in norms],
    }
    return {name: fact for name, values in found.items() if (fact := _agreed(values)) is not None}


def _agreed(values):
    """The one value, a list of the several in the order of the modules, or None."""
    distinct = []
    for value in values:
        if value is not None and value not in distinct:
            distinct.append(value)
    return distinct[0] if len(distinct) == 1 else distinct or None


def _is_norm(module):
    scales = next(iter(module.parameters(recurse=False)), None) is not None or hasattr(module, "eps")
    return "norm" in type(module).__name__.lower() and scales


def _norm_name(norm):
    name = type(norm).__name__
    # T5 calls RMSNorm otherwise.
    if "rms" in name.lower() or name == "T5LayerNorm":
        return "rms"
    return "ln" if isinstance(norm, torch.nn.LayerNorm) else name


def _heads(modules):
    attentions = [m for m in modules if "att" in type(m).__name__.lower()] or modules
    names = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead")
    return [next((getattr(m, n) for n in names if isinstance(getattr(m, n, None), int)), None) for m in attentions]


ACTIVATIONS = {
    "gelu": "gelu",
    "geluactivation": "gelu",
    "gelutanh": "gelu_tanh",
    "newgeluactivation": "gelu_tanh",
    "quickgelu": "quick_gelu",
    "quickgeluactivation": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def _activations(modules):
    names = ("act", "act_fn", "activation", "activation_fn")
    given = [getattr(m, name) for m in modules for name in names if callable(getattr(m, name, None))]
    return [name for name in map(_activation_name, given or modules) if name is not None or given]


def _activation_name(activation):
    is_module = isinstance(activation, torch.nn.Module)
    name = type(activation).__name__ if is_module else getattr(activation, "__name__", "")
    if getattr(activation, "approximate", "none") == "tanh":
        return "gelu_tanh"
    return ACTIVATIONS.get(name.lower(), None if is_module and "lu" not in name.lower() else name or None)


# Where timm's blocks have their normalizations.
PLACEMENTS = {"timm.models.vision_transformer.Block": "pre", "timm.models.vision_transformer.ResPostBlock": "res-post"}
DINOV3_ROTATIONS = "RotaryEmbeddingDinoV3"


def _class_name(module):
    return f"{type(module).__module__}.{type(module).__name__}"


def _positions(module):
    """Of timm's ViTs: learned, none, or DINOv3's rotations; others are not told."""
    is_vit = hasattr(module, "patch_embed") and hasattr(module, "blocks") and hasattr(module, "pos_embed")
    if not is_vit:
        return "dinov3" if type(module).__name__ == DINOV3_ROTATIONS else None
    if getattr(module, "rope", None) is not None:
        return None
    return "none" if module.pos_embed is None else "learned"


def _image_size(module):
    return next((getattr(module, n) for n in ("img_size", "image_size") if _is_size(getattr(module, n, None))), None)


def _size_of(inputs):
    """Where no module says it: the size of the images that the model takes."""
    sizes = [[*value.shape[2:]] for value in inputs.values() if value.dim() == 4 and value.is_floating_point()]
    return {"image-size": sizes[0]} if len(sizes) == 1 else {}


def _is_size(value):
    sides = value if isinstance(value, (tuple, list)) else (value,)
    return 1 <= len(sides) <= 2 and all(isinstance(side, int) and side > 0 for side in sides)


def _pair(size):
    return [*size] if isinstance(size, (tuple, list)) and len(size) == 2 else [size] * 2 if isinstance(size, int) else [*size] * 2


def _by_place(example_inputs):
    """What the model is called with by place; nothing of a dict, which it is called with by name."""
    if isinstance(example_inputs, collections.abc.Mapping):
        return ()
    return tuple(example_inputs) if isinstance(example_inputs, (tuple, list)) else (example_inputs,)


def _named_inputs(model, example_inputs):
    """Inputs by the names of the model's own arguments."""
    takes = inspect.signature(model.forward).parameters
    given = _by_place(example_inputs)
    names = [name for name, parameter in takes.items() if parameter.kind <= parameter.POSITIONAL_OR_KEYWORD]
    names += [f"input_{i}" for i in range(len(names), len(given))]
    inputs = dict(zip(names, given)) or dict(example_inputs)
    # A model of words is called with a mask by whoever batches; none means that every token counts.
    if "input_ids" in inputs and "attention_mask" in takes and inputs.get("attention_mask") is None:
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    for name, value in inputs.items():
        if not torch.is_tensor(value):
            raise TypeError(f"example_inputs: {name} is {type(value).__name__}; give tensors")
    return {name: value.detach().cpu() for name, value in inputs.items()}


def _wanted(model, tensors):
    """UNfold's names of modules' outputs by the modules' own."""
    modules = [name for name, _ in model.named_modules() if name != ""]
    if isinstance(tensors, bool):
        return {name: name for name in modules} if tensors else {}
    wanted = dict(tensors) if isinstance(tensors, collections.abc.Mapping) else {name: name for name in tensors}
    unknown = [name for name in wanted if name not in modules]
    if unknown:
        raise ValueError(f"tensors: there is no module {unknown[0]!r}; named_modules() has {', '.join(modules[:5])}, ...")
    return wanted


def _outputs_of(model, inputs, by_place, wanted):
    """The tensors that the model gives, by name, its first first; of transformers the base model's states, too. And
    those that the modules of `wanted` give."""
    floats = [p for p in (*model.parameters(), *model.buffers()) if p.is_floating_point()]
    is_plain = all(p.dtype == torch.float32 and p.device.type == "cpu" for p in floats)
    runner = model if is_plain else copy.deepcopy(model).to("cpu", torch.float32)
    inputs = {name: v.float() if v.is_floating_point() else v for name, v in inputs.items()}
    states = {}
    between = {}

    def keeper(name):
        def keep(_module, _args, output):
            # What is called again, as a tied module, has no one output.
            is_one = name not in between and torch.is_tensor(output) and output.is_floating_point()
            # A copy: the next module may write into it.
            between[name] = output.detach().clone() if is_one else None

        return keep

    def keep(_module, _args, output):
        if torch.is_tensor(getattr(output, "last_hidden_state", None)):
            states["last_hidden_state"] = output.last_hidden_state

    base = getattr(runner, "base_model", runner)
    hooks = [base.register_forward_hook(keep)] if isinstance(base, torch.nn.Module) else []
    hooks += [m.register_forward_hook(keeper(wanted[n])) for n, m in runner.named_modules() if n in wanted]
    modes = [(module, module.training) for module in runner.modules()]
    try:
        runner.eval()
        with torch.no_grad():
            names = list(inputs)
            placed, named = names[: len(by_place)], names[len(by_place) :]
            result = runner(*(inputs[name] for name in placed), **{name: inputs[name] for name in named})
    finally:
        for module, mode in modes:
            module.training = mode
        for hook in hooks:
            hook.remove()
    if torch.is_tensor(result):
        result = {"output": result}
    elif isinstance(result, (tuple, list)):
        result = {f"output_{i}": value for i, value in enumerate(result)}
    elif not isinstance(result, collections.abc.Mapping):
        raise TypeError(f"the model gives {type(result).__name__}; a tensor, a tuple or a dict of tensors is needed")
    outputs = {name: v for name, v in result.items() if torch.is_tensor(v) and v.is_floating_point()}
    if not outputs:
        raise ValueError("the model gives no floating-point tensor to compare with")
    # What the model itself calls so counts: DINOv3's base model stops in front of the last normalization.
    outputs |= {name: value for name, value in states.items() if name not in outputs}
    return outputs, {name: tensor for name, tensor in between.items() if tensor is not None}


def _write_safetensors(path, tensors, metadata):
    """https://github.com/huggingface/safetensors: 8 bytes of length, a header of JSON, then all data without a hole."""
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            raise TypeError(f"{name} is {tensor.dtype}, which UNfold does not read: convert it first")
    # The widest elements first, so that each tensor begins at a multiple of its own.
    order = sorted(tensors, key=lambda name: -tensors[name].element_size())
    begin, places = 0, {}
    for name in order:
        end = begin + tensors[name].numel() * tensors[name].element_size()
        places[name] = [begin, end]
        begin = end
    header = {"__metadata__": metadata}
    for name, tensor in tensors.items():
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": [*tensor.shape], "data_offsets": places[name]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    partial = f"{os.fspath(path)}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in order:
                data = tensors[name].detach().cpu().contiguous()
                size = data.numel() * data.element_size()
                # The tensor's own memory, without a copy and without NumPy.
                file.write((ctypes.c_char * size).from_address(data.data_ptr()) if size else b"")
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)
