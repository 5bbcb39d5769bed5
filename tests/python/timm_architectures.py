"""What timm publishes of the architectures of its ViT, DeiT and Swin modules and of DINOv3, as the JSON that UNfold keeps: sizes that tell
whether a file is of that architecture, and what no tensor tells. Run with the timm of the version it prints:

    python tests/python/timm_architectures.py > src/checkpoints/layouts/timm_architectures.json
"""
import functools, json
import timm
from timm.models import deit, eva, swin_transformer, vision_transformer

MODULES = ("vision_transformer", "deit", "swin_transformer")


class Found(Exception):
    pass


def spy(cls):
    def init(self, *args, **kwargs):
        raise Found(cls.__name__, kwargs)

    cls.__init__ = init


for cls in (vision_transformer.VisionTransformer, swin_transformer.SwinTransformer, deit.VisionTransformerDistilled, eva.Eva):
    spy(cls)


def name_of(value, default):
    value = default if value is None else value
    if isinstance(value, functools.partial):
        value = value.func
    return value if isinstance(value, str) else value.__name__


def facts(name):
    try:
        timm.create_model(name)
    except Found as found:
        kind, kw = found.args
    side = kw.get("img_size", 224)
    said = {"channels": kw["embed_dim"], "depth": sum(kw["depths"]) if kind == "SwinTransformer" else kw["depth"],
            "image": list(side) if isinstance(side, (tuple, list)) else [side, side]}
    if kind == "SwinTransformer":
        return said
    norm = kw.get("norm_layer")
    eps = norm.keywords.get("eps") if isinstance(norm, functools.partial) else None
    rms = "rms" in name_of(norm, "LayerNorm").lower()
    said |= {"heads": kw["num_heads"], "epsilon": eps or 1e-6}
    if kw.get("global_pool", "token") != "token":
        said["pool"] = kw["global_pool"]
    if name_of(kw.get("act_layer"), "gelu").lower() != "gelu":
        said["activation"] = name_of(kw["act_layer"], "gelu").lower()
    if rms:
        said["normalization"] = "rms"
    if kind == "Eva":
        said |= {"positions": kw["rope_type"], "pool": kw.get("global_pool", "avg"),
                 "image": list(timm.get_pretrained_cfg(name).input_size[1:])}
        if kw.get("swiglu_mlp"):
            said["activation"] = "silu"
    if name_of(kw.get("block_fn"), "Block") != "Block":
        said["block"] = name_of(kw["block_fn"], "Block")
    if kw.get("pool_include_prefix"):
        said["poolsPrefix"] = True
    return said


names = [name for module in MODULES for name in timm.list_models(module=module)] + timm.list_models("*dinov3*", module="eva")
lines = [f'  {json.dumps(name)}: {json.dumps(facts(name))}' for name in names]
print("{\n" + ",\n".join(lines) + "\n}")
