"""`examples/reproduce`: what it measures against other statements of it, its quick form, and its page against its results."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "examples" / "reproduce"
sys.path.insert(0, str(EXAMPLE))
from measure import Recorder, cka, normality, pnac  # noqa: E402
from norms import ABLATIONS, AblatedUnifiedNorm  # noqa: E402
from tasks import Numbers, in_words  # noqa: E402
from unified_norm import UnifiedNorm  # noqa: E402


def check_normality() -> None:
    x = torch.arange(40.0, dtype=torch.float64)
    columns = torch.stack([x * x * 7 % 41, (x % 7).exp(), (x * 0.7).sin() + x / 9, torch.full_like(x, 3)], dim=1)
    # scipy.stats.normaltest, scipy 1.17.1, of the first three.
    expected = torch.tensor([0.13631307958695582, 3.1920529018994185e-05, 0.40679084368081275], dtype=torch.float64)
    torch.testing.assert_close(normality(columns)[:3], expected, rtol=1e-9, atol=0)
    assert normality(columns)[3] == 0 and pnac(columns) == 50, pnac(columns)
    print("ok normality is scipy's, and a constant channel is not normal")


def check_cka() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 50, 8, generator=generator).double()
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=generator).double())[0]
    centred = [m - m.mean(0) for m in (a, b)]
    crossed = (centred[0].T @ centred[1]).square().sum()
    own = [(m.T @ m).norm() for m in centred]
    expected = crossed / (own[0] * own[1])  # Kornblith et al. 2019, by features in place of samples.
    found = cka([a, 3 * a @ rotation + 1], [a, b])
    torch.testing.assert_close(found, torch.stack([torch.stack([torch.tensor(1.0).double(), expected])] * 2))
    print("ok CKA is that of features, whatever their rotation, scale and shift")


def check_recorder() -> None:
    torch.manual_seed(0)
    norm, x = UnifiedNorm(4, warmup=5), torch.randn(3, 6, 4)
    recorder = Recorder({"norm": norm})
    (norm(x) * torch.randn(3, 6, 4)).sum().backward()
    squares, gradients = recorder.close()
    torch.testing.assert_close(squares[0, 0], norm.buffer_x2[0])
    torch.testing.assert_close(gradients[0, 0], norm.buffer_gz[0])
    print("ok the recorded statistics are those that UnifiedNorm keeps")


def steps_of(norm: torch.nn.Module) -> list[torch.Tensor]:
    """Outputs and input gradients of a few steps, one of them an outlier, and the state behind them."""
    generator, kept = torch.Generator().manual_seed(0), []
    for step in range(12):
        x = torch.randn(5, 7, 6, generator=generator) * (9 if step == 8 else 1)
        x.requires_grad_()
        y = norm(x)
        (y * torch.randn(y.shape, generator=generator)).sum().backward()
        kept += [y.detach(), x.grad]
    return kept + [value.clone() for value in norm.state_dict().values()]


def check_ablations() -> None:
    options = {"warmup": 4}
    whole = steps_of(UnifiedNorm(6, **options))
    same = steps_of(AblatedUnifiedNorm(6, **options))
    assert all(torch.equal(a, b) for a, b in zip(whole, same, strict=True))
    for name, changed in ABLATIONS.items():
        other = steps_of(AblatedUnifiedNorm(6, **options, **changed))
        assert not all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(whole, other)), name
    # Without any moving average a step is PN-V: its gradient is that of autograd through the batch's own statistic.
    bare = AblatedUnifiedNorm(6, warmup=0, window=2, without=("forward", "arithmetic", "momentum"), filtration=False)
    x, dy = torch.randn(2, 40, 6, dtype=torch.float64)[:, None]
    for _ in range(4):
        ours, theirs = (x.clone().requires_grad_() for _ in range(2))
        bare.double()(ours).backward(dy)
        (theirs * torch.rsqrt(theirs.square().mean((0, 1)) + bare.eps)).backward(dy)
        torch.testing.assert_close(ours.grad, theirs.grad)
    print("ok UN without nothing is UN, without all it is the exact gradient, and each ablation changes it")


def check_words() -> None:
    for number, words in {
        7: "seven", 19: "nineteen", 40: "forty", 312: "three hundred and twelve", 1005: "one thousand and five",
        20100: "twenty thousand one hundred", 99999: "ninety nine thousand nine hundred and ninety nine",
    }.items():  # fmt: skip
        assert in_words(number) == words, in_words(number)
    every = {in_words(number) for number in range(1, 100_000)}
    assert len(every) == 99_999
    task = Numbers()
    drawn = next(task.batches(torch.Generator().manual_seed(1)))
    assert len(task.held) == 300 and drawn[0].shape[0] == drawn[1].shape[0] == 32
    print("ok numbers have words of their own")


def reproduce(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-B", str(EXAMPLE / "reproduce.py"), *arguments], capture_output=True, text=True)


def without_time(path: Path) -> list[dict]:
    return [{k: v for k, v in json.loads(line).items() if k != "cpu_seconds"} for line in path.read_text().splitlines()]


def check_quick() -> None:
    with tempfile.TemporaryDirectory() as folder:
        done = reproduce("--quick", "--out", folder)
        assert done.returncode == 0, done.stderr
        page, trainings = Path(folder, "reproduce.md"), Path(folder, "results", "trainings.jsonl")
        first, lines = page.read_text(), without_time(trainings)
        # As a killed run leaves it: the last line but one is gone, and the last is cut off.
        text = trainings.read_text().splitlines(keepends=True)
        trainings.write_text("".join(text[:-2]) + text[-1][:40])
        again = reproduce("--quick", "--out", folder)
        assert again.returncode == 0 and "2/2 " in again.stderr, again.stderr
        assert without_time(trainings) == lines
        assert page.read_text() == first
    assert "give it an --out" in reproduce("--quick").stderr
    print("ok the quick form runs, goes on where it was stopped, and writes the same again")


def check_page() -> None:
    from page import write_page
    from plan import full_plan
    from reproduce import read_lines

    results = [read_lines(EXAMPLE / "results" / f"{name}.jsonl") for name in ("trainings", "measured")]
    with tempfile.TemporaryDirectory() as folder:
        write_page(full_plan(), *results, Path(folder))
        made = {path.relative_to(folder): path.read_text() for path in Path(folder).rglob("*") if path.is_file()}
        for name, text in made.items():
            assert (ROOT / "docs" / name).read_text() == text, f"docs/{name}: run examples/reproduce/reproduce.py --report"
        there = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs" / "reproduce").iterdir()}
        assert there == set(made) - {Path("reproduce.md")}, there
    print("ok the page and its plots are what the committed results make them")


if __name__ == "__main__":
    torch.set_num_threads(1)
    check_normality()
    check_cka()
    check_recorder()
    check_ablations()
    check_words()
    check_quick()
    check_page()
