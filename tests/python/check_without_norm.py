"""Checks examples/pytorch/without_norm.py on the CPU, where torch and timm are there: its intervals, that forms replace every
Layer Normalization and compute what they say, and a whole run. Prints "ok" for each; exits with 77 where one is missing."""
import contextlib
import io
import json
import math
import pathlib
import sys
import tempfile

try:
    import timm  # noqa: F401
    import torch
except ImportError:
    sys.exit(77)

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples/pytorch"))
import without_norm


def check_interval():
    # Nine values: between the second and the eighth lies the median in 96 % of cases; with six it takes all of them.
    assert without_norm.interval([5, 1, 9, 3, 7, 2, 8, 4, 6]) == (5, 2, 8)
    assert without_norm.interval([6, 1, 5, 2, 4, 3]) == (3.5, 1, 6)
    for count in range(6, 40):
        _, low, high = without_norm.interval(range(count))
        outside = lambda rank: 2 * sum(math.comb(count, k) for k in range(rank + 1)) / 2**count
        assert outside(low) <= 0.05 < outside(low + 1) and high == count - 1 - low


def check_forms():
    torch.manual_seed(0)
    x = torch.randn(2, 128, 512)
    outputs = {}
    with torch.inference_mode():
        for form in without_norm.FORMS:
            torch.manual_seed(0)
            model = without_norm.Encoder().eval()
            assert without_norm.in_form(model, form) == 13
            kept = sum(isinstance(module, torch.nn.LayerNorm) for module in model.modules())
            assert kept == (13 if form == "ln" else 0)
            if form == "ln-1.10":
                norms = [m for m in model.modules() if isinstance(m, without_norm.UnalignedLayerNorm)]
                assert all(t.data_ptr() % 16 != 0 for norm in norms for t in (norm.s, norm.t))
            outputs[form] = model(x)
    near = lambda a, b: torch.allclose(outputs[a], outputs[b], rtol=1e-4, atol=1e-5)
    assert near("ln", "ln-1.10") and near("affine", "folded") and not near("ln", "folded")


def check_run():
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as printed:
        file = pathlib.Path(folder, "rows.jsonl")
        sys.argv = ["without_norm.py", "--models", "encoder", "--batch", "1", "--precisions", "fp32", "--rounds", "6",
                    "--json", str(file)]
        assert without_norm.main() == 0
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["form"] for row in rows] == ["ln", "affine", "folded", "ln again"]
    assert rows[0]["speed"] == 1 and all(len(row["times"]) == 6 and row["finite"] for row in rows)
    assert printed.getvalue().count("speed over ln") == 4


for check in (check_interval, check_forms, check_run):
    check()
    print(f"ok {check.__name__}")
