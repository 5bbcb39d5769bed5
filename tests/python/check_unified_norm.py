"""Checks examples/pytorch/unified_norm.py, and nothing but torch is needed: each normalization against a restatement on plain
lists of what its paper says, gradients against finite differences, padding, half precision, torch.compile, gradient
accumulation, two processes; then `convert` and `distill`. Exits with 77 without torch.

    python check_unified_norm.py                  # the checks
    python check_unified_norm.py --fixture FILE   # sequences of steps in float64 for tests/norms/training_test.ts
"""

import json
import math
import os
import pathlib
import sys
import tempfile

try:
    import torch
except ImportError as error:
    print(error)
    sys.exit(77)

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples/pytorch"))
import unified_norm as un  # noqa: E402

CHANNELS, EPS = 5, 1e-5
close = torch.testing.assert_close
MAKERS = {
    "un": lambda c, **o: un.UnifiedNorm(c, **{"warmup": 6, "window": 4, **o}),
    "un-code": lambda c, **o: un.UnifiedNorm(c, **{"warmup": 6, "window": 4, "variant": "code", "filtration": True, **o}),
    "pn": lambda c, **o: un.PowerNorm(c, **{"warmup": 5, **o}),
    "pnv": lambda c, **o: un.PowerNormV(c, **o),
    "mabn": lambda c, **o: un.MovingAverageBatchNorm(c, **{"window": 3, "warmup": 5, **o}),
    "bn": lambda c, **o: un.BatchNorm(c, **o),
    "brn": lambda c, **o: un.BatchRenorm(c, **{"r_max": 2.0, "d_max": 1.0, **o}),
    "prepbn": lambda c, **o: un.ProgressiveRepBatchNorm(c, **{"steps": 12, "hold": 2, **o}),
}


def inputs(steps, channels=CHANNELS, shape=(8, 3), spike=15, seed=0):
    """Inputs and gradients of their outputs, in a calm swell; one step is an outlier."""
    torch.manual_seed(seed)
    for step in range(steps):
        size = 30.0 if step == spike else 1 + 0.2 * math.sin(step)
        x = (size * torch.randn(*shape, channels, dtype=torch.double)).requires_grad_()
        yield step, x, torch.randn_like(x)


def double(norm):
    """In float64, with weight and bias that are not ones and zeros."""
    torch.manual_seed(1)
    norm = norm.double()
    for name, parameter in norm.named_parameters():
        parameter.data.uniform_(*((0.5, 1.5) if "weight" in name else (-0.5, 0.5)))
    return norm


def moments(x, dz, scale):
    z = x * scale
    return z, (dz * z).mean((0, 1))


def check_paper(window):
    """Algorithm 2 with (18) and (19), by lists."""
    norm = double(un.UnifiedNorm(CHANNELS, window=window, warmup=6))
    a, warmup = 0.9, max(6, window)
    squares, gradients, outliers = [torch.ones(CHANNELS).double()] * window, [torch.zeros(CHANNELS).double()] * window, []
    running, psi = torch.ones(CHANNELS).double(), torch.zeros(CHANNELS).double()
    for step, x, dy in inputs(40, spike=25):
        y = norm(x)
        y.backward(dy)
        q = (x.detach() ** 2).mean((0, 1))
        last = torch.stack([*squares, q][-window:])
        product = last.prod(0) ** (1 / window)
        bound = window * torch.stack(squares[-window:]).sqrt().var(0, correction=0)
        outlier = step >= warmup and window > 1 and bool((last.mean(0) - product).mean() > bound.mean())
        own = step < warmup or outlier
        scale = ((q if own else product) + EPS) ** -0.5
        dz = norm.weight.detach() * dy
        z, g = moments(x.detach(), dz, scale)
        squares.append(running.clone() if outlier else q)
        gradients.append(psi.clone() if outlier else g)
        running = a * running + (1 - a) * (q if own else product)
        if not outlier:
            psi = a * psi + (1 - a) * torch.stack(gradients[-window:]).mean(0)
        close(y.detach(), norm.weight.detach() * z + norm.bias.detach())
        close(x.grad, (dz - z * (g if own else psi)) * scale)
        close(norm.running_var, running)
        close(norm.ema_gz, psi)
        outliers += [step] * outlier
    assert int(norm.skip_counter) == len(outliers) < 34 and (window == 1 or 25 in outliers), outliers
    return len(outliers)


def check_code(window, filtration):
    """The six points of the published code, by lists; its steps count from 1."""
    steps = 1100 if window == 4 else 60  # Point 1 begins behind a thousand.
    norm = double(un.UnifiedNorm(CHANNELS, window=window, warmup=20, variant="code", filtration=filtration))
    a, warmup = 0.9, 20
    squares, gradients = torch.zeros(window, CHANNELS).double(), torch.zeros(window, CHANNELS).double()
    running, psi, outliers, ratios = torch.ones(CHANNELS).double(), torch.zeros(CHANNELS).double(), 0, 0
    for step, x, dy in inputs(steps, spike=50):
        step += 1
        x.grad = norm.weight.grad = None
        y = norm(x)
        y.backward(dy)
        q = (x.detach() ** 2).mean((0, 1))
        threshold = window * squares.sqrt().var()  # Point 2: over all, unbiased.
        squares[step % window] = q
        product = squares.prod(0) ** (1 / window)
        outlier = window == 1
        if filtration and step >= warmup and bool((squares.mean(0) - product > threshold).any()):
            squares[step % window], outlier, outliers = running, True, outliers + 1
        own = step <= window or step < warmup or outlier
        var = q if own else product
        ratio = ((var + EPS) / (running + EPS)).sqrt().clamp(0.2, 5) if step > 1000 and not outlier else torch.ones(CHANNELS)
        ratios += step > 1000 and not outlier
        scale = (var + EPS) ** -0.5
        dz = norm.weight.detach() * dy * ratio  # Point 1.
        z, g = moments(x.detach(), dz, scale)
        running = a * running + (1 - a) * var
        gradients[step % window] = psi if outlier else g
        mean = g if own else gradients.mean(0)
        psi = a * psi + (1 - a) * mean  # Point 3.
        close(y.detach(), norm.weight.detach() * z + norm.bias.detach())
        close(x.grad, (dz - z * (mean if outlier else psi)) * scale)  # Point 4.
        close(norm.weight.grad, (dy * ratio * z).sum((0, 1)))
        close(norm.running_var, running)
        close(norm.ema_gz, psi)
    assert int(norm.skip_counter) == outliers and (not filtration or window == 1 or 0 < outliers)
    assert ratios > 0 or filtration or steps < 1000
    assert not un.UnifiedNorm(3, variant="code").filtration and un.UnifiedNorm(3).filtration  # Point 5.
    return outliers


def check_power_and_mabn():
    """PowerNorm's equations 8 to 13 after its warm-up; MABN's (14)."""
    norm = double(un.PowerNorm(CHANNELS, warmup=3))
    phi, nu = torch.ones(CHANNELS).double(), torch.zeros(CHANNELS).double()
    for step, x, dy in inputs(12):
        norm(x).backward(dy)
        q = (x.detach() ** 2).mean((0, 1))
        scale = ((q if step < 3 else phi) + EPS) ** -0.5
        dz = norm.weight.detach() * dy
        z, g = moments(x.detach(), dz, scale)
        close(x.grad, (dz - z * (g if step < 3 else nu)) * scale)
        phi = 0.9 * phi + 0.1 * q
        nu = nu * (1 - 0.1 * (z * z).mean((0, 1))) + 0.1 * g
        close(norm.running_phi, phi)
        close(norm.ema_gz, nu)

    norm = double(un.MovingAverageBatchNorm(CHANNELS, window=3, warmup=4))
    var, gradients = torch.ones(CHANNELS).double(), [torch.zeros(CHANNELS).double()] * 3
    for step, x, dy in inputs(12):
        norm(x).backward(dy)
        q = (x.detach() ** 2).mean((0, 1))
        var = 0.98 * var + 0.02 * q
        scale = ((q if step < 4 else var) + EPS) ** -0.5
        dz = norm.weight.detach() * dy
        z, g = moments(x.detach(), dz, scale)
        gradients = [*gradients[1:], g]
        close(x.grad, (dz - z * (g if step < 4 else sum(gradients) / 3)) * scale)
        close(norm.running_var, var)


def check_batch():
    """BatchNorm is nn.BatchNorm1d; BatchRenorm at r = 1, d = 0 is BatchNorm, and elsewhere its Algorithm 1; PRepBN's ends."""
    ours, theirs = double(un.BatchNorm(CHANNELS)), double(torch.nn.BatchNorm1d(CHANNELS, momentum=0.1))
    plain, free = double(un.BatchRenorm(CHANNELS)), double(un.BatchRenorm(CHANNELS, r_max=1e9, d_max=1e9))
    for _, x, dy in inputs(6):
        grads = []
        for norm in (ours, plain, theirs):
            x.grad = None
            flat = x.reshape(-1, CHANNELS)
            norm(flat).backward(dy.reshape(-1, CHANNELS))
            grads.append(x.grad)
        close(grads[0], grads[2])
        close(grads[1], grads[2])
        mean, deviation = free.running_mean.clone(), (free.running_var + EPS).sqrt()
        close(free(x), free.weight * (x - mean) / deviation + free.bias)  # Unbounded, it is the running statistics.
    for name in ("running_mean", "running_var"):
        close(getattr(ours, name), getattr(theirs, name))
    for norm in (ours, theirs):
        norm.eval()
    close(ours(x), theirs(x.reshape(-1, CHANNELS)).reshape(x.shape))

    norm = double(un.ProgressiveRepBatchNorm(CHANNELS, steps=10, hold=2))
    for step, x, _ in inputs(12):
        part = min(1, max(0, 1 - (step - 2) / 8))
        bn = (x - x.mean((0, 1))) / (x.var((0, 1), correction=0) + EPS).sqrt() * norm.norm2.bn.weight + norm.norm2.bn.bias
        close(norm(x), part * norm.norm1(x) + (1 - part) * (bn + norm.norm2.alpha * x))


def check_gradients():
    """Where the statistic is the batch's own, the gradient is that of finite differences."""
    shapes = ((3, 4, CHANNELS), (CHANNELS,), (CHANNELS,))
    torch.manual_seed(0)
    values = [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes]
    norms = {"un": un.UnifiedNorm(CHANNELS, warmup=10**9), "pnv": un.PowerNormV(CHANNELS), "bn": un.BatchNorm(CHANNELS)}
    norms |= {"pn": un.PowerNorm(CHANNELS, warmup=10**9), "mabn": un.MovingAverageBatchNorm(CHANNELS, warmup=10**9)}
    for norm in norms.values():
        norm = norm.double()
        call = lambda x, w, b: torch.func.functional_call(norm, {"weight": w, "bias": b}, (x,))  # noqa: B023, E731
        torch.autograd.gradcheck(call, values)
    return list(norms)


def check_padding():
    """What is padding changes nothing of what other tokens get, whatever it holds; but for g in the authors' code."""
    for name, make in MAKERS.items():
        torch.manual_seed(2)
        a, b = double(make(CHANNELS)), double(make(CHANNELS))
        for _, x, dy in inputs(14):
            mask = torch.zeros(x.shape[:2], dtype=torch.bool)
            mask[:, 2] = True
            short, padded = x.detach()[:, :2].clone().requires_grad_(), x.detach().clone()
            padded[:, 2] = 1e3
            padded.requires_grad_()
            dy[:, 2] = 0  # What is padding has no gradient.
            y, z = a(short), b(padded, mask)
            close(y, z[:, :2])
            y.backward(dy[:, :2])
            z.backward(dy)
            if name != "un-code":
                close(short.grad, padded.grad[:, :2])
    model = torch.nn.Sequential(un.BatchNorm(CHANNELS))
    un.set_padding_mask(model, mask)
    close(model(torch.randn(8, 3, CHANNELS)).shape, torch.Size([8, 3, CHANNELS]))
    try:
        model(torch.randn(8, 4, CHANNELS))
        raise AssertionError("a mask of another shape was taken")
    except ValueError as error:
        assert "padding mask (8, 3)" in str(error), error


def check_half_and_compile():
    """bfloat16 in gives bfloat16 out, of float32 statistics; a compiled step is the step, with all its buffers."""
    for name, make in MAKERS.items():
        norm = make(CHANNELS)
        x = torch.randn(8, 3, CHANNELS, dtype=torch.bfloat16, requires_grad=True)
        y = norm(x)
        y.float().square().sum().backward()
        assert y.dtype == x.grad.dtype == torch.bfloat16 and all(b.dtype != torch.bfloat16 for b in norm.buffers()), name
        with torch.autocast("cpu", torch.bfloat16):
            norm(torch.nn.functional.linear(torch.randn(4, 3, 7), torch.randn(CHANNELS, 7))).sum().backward()

        torch._dynamo.reset()
        plain, compiled = double(make(CHANNELS)), double(make(CHANNELS))
        # No compiler is called for; the graph is taken apart into forward and backward as for any other.
        step = torch.compile(compiled, fullgraph=True, backend="aot_eager")
        for _, x, dy in inputs(12, spike=9):
            again = x.detach().clone().requires_grad_()
            a, b = plain(x), step(again)
            a.backward(dy), b.backward(dy)
            close(a, b)
            close(x.grad, again.grad)
        for key, value in plain.state_dict().items():
            close(value, compiled.state_dict()[key], msg=lambda text, n=name, k=key: f"{n} {k}: {text}")


def check_accumulation():
    """Two forward passes before their backward passes."""
    for make in MAKERS.values():
        norm = double(make(CHANNELS))
        for _, x, dy in inputs(3):
            y = norm(x)
            (y * dy + norm(2 * x)).sum().backward()
        norm.eval()
        close(norm(x), norm(x))


def process(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    result = {}
    for name, make in MAKERS.items():
        norm, grads = double(make(CHANNELS)), []
        for _, x, dy in inputs(12, spike=9):
            x, dy = x.detach().chunk(2)[rank].requires_grad_(), dy.chunk(2)[rank]
            norm(x).backward(dy)
            grads.append(x.grad)
        result[name] = (norm.state_dict(), torch.stack(grads))
    torch.save(result, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def check_processes():
    """Two processes with half a batch each do what one does with the whole."""
    import socket

    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        torch.multiprocessing.spawn(process, (port, folder), nprocs=2)
        halves = [torch.load(f"{folder}/{rank}.pt") for rank in (0, 1)]
    for name, make in MAKERS.items():
        norm, grads = double(make(CHANNELS)), []
        for _, x, dy in inputs(12, spike=9):
            norm(x).backward(dy)
            grads.append(x.grad)
        close(torch.cat([half[name][1] for half in halves], 1), torch.stack(grads))
        for half in halves:
            for key, value in norm.state_dict().items():
                close(half[name][0][key], value, msg=lambda text, n=name, k=key: f"{n} {k}: {text}")


def check_convert():
    """Names stay, the teacher too; what was lost is learned back in part, for random weights a small one; errors are said."""
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, norm_first=True)
    teacher = torch.nn.TransformerEncoder(layer, 2, norm=torch.nn.LayerNorm(16), enable_nested_tensor=False).eval()
    # Tokens of three sizes: what a constant cannot follow, and products behind it can.
    sizes = torch.tensor([4.0, 1.0, 0.5] * 2)[:, None]
    batches = [sizes * torch.randn(64, 6, 16) for _ in range(6)]
    student = un.convert(teacher, batches[:4])
    names = [name for name, module in student.named_modules() if isinstance(module, un.UnifiedNorm)]
    assert len(names) == 5 and "norm" in names and "layers.1.norm2" in names, names
    assert not any(isinstance(module, un.OfflineNorm) for module in teacher.modules())
    error = lambda: ((student(batches[5]) - teacher(batches[5])) / teacher(batches[5]).std()).square().mean().item()  # noqa: E731
    with torch.no_grad():
        before = error()
    losses = un.distill(student, teacher, batches[:4], un.Recipe(steps=40, lr=1e-2, ramp=5, output="mse", output_weight=1.0))
    with torch.no_grad():
        after = error()
    assert len(losses) == 40 and after < before < 0.5 and sum(losses[-5:]) < 0.9 * sum(losses[:5]), (before, after, losses)
    assert len(un.convert(teacher, batches[:1], only=lambda name: name == "norm").norm.weight) == 16

    # At inference without gradients torch computes an encoder layer by itself, LayerNorm too, unless something asks it not to.
    with torch.no_grad():
        alone = student(batches[5])
    close(alone, student(batches[5]), msg=lambda text: f"torch's own LayerNorm in place of UnifiedNorm: {text}")

    class RmsNorm(torch.nn.Module):  # As timm calls it.
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(16))

        def forward(self, x):
            return x * x.square().mean(-1, keepdim=True).rsqrt() * self.weight

    class LayerNormAct(torch.nn.LayerNorm):
        def forward(self, x):
            return super().forward(x).relu()

    shared = torch.nn.LayerNorm(16)
    model = torch.nn.Sequential(shared, torch.nn.Linear(16, 16), shared, RmsNorm(), LayerNormAct(16), torch.nn.BatchNorm1d(6))
    model[5].eval()
    converted = un.convert(model, batches[:1])
    assert [type(module).__name__ for module in converted] == [
        "UnifiedNorm", "Linear", "UnifiedNorm", "UnifiedNorm", "LayerNormAct", "BatchNorm1d",
    ] and converted[0] is converted[2], converted  # fmt: skip
    assert converted[0].training and not converted[5].training
    assert isinstance(un.convert(shared, batches[:1]), un.UnifiedNorm)
    model[0].eps, model[3].variance_epsilon = 1e-12, 1e-6  # As BERT and Llama have them, and their config.json.
    assert [un.convert(model, batches[:1])[i].eps for i in (0, 3)] == [1e-12, 1e-6]

    class Half(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.reached, self.missed = torch.nn.LayerNorm(16), torch.nn.LayerNorm(16)

        def forward(self, x):
            return self.reached(x)

    for call, words in [
        (lambda: un.convert(teacher, []), "no samples"),
        (lambda: un.convert(teacher, batches[0]), "one batch"),
        (lambda: un.convert(Half(), batches), "missed: not reached"),
        (lambda: un.convert(teacher, batches, norm=torch.nn.BatchNorm1d), "BatchNorm1d"),
        (lambda: un.convert(torch.nn.LayerNorm(16, device="meta"), batches), "meta"),
        (lambda: un.distill(student, student, batches), "the teacher is not"),
        (lambda: un.distill(student, teacher, batches[0]), "one batch"),
        (lambda: un.distill(student, teacher, batches, un.Recipe(steps=1.5)), "1.5 steps"),
        (lambda: un.UnifiedNorm(16.0), "16.0"),
        (lambda: un.UnifiedNorm(1).eval()(batches[0]), "1 channels"),
        (lambda: un.UnifiedNorm(16)(batches[0], torch.zeros(64, 6)), "is bool"),
        (lambda: un.UnifiedNorm(16).bfloat16()(batches[0].bfloat16()), "float32"),
        (lambda: un.convert(student, batches), "no LayerNorm"),
        (lambda: un.convert(teacher, [batches[0] * math.nan]), "not finite"),
        (lambda: un.distill(student, teacher, []), "no batches"),
        (lambda: un.distill(teacher, teacher, batches), "convert it first"),
        (lambda: un.distill(student, teacher, batches, un.Recipe(output="l1")), "'l1'"),
        (lambda: un.UnifiedNorm(4, variant="published"), "'published'"),
    ]:
        try:
            call()
        except ValueError as error:
            assert words in str(error), error
        else:
            raise AssertionError(f"no error says {words}")
    return f"relative squared error {before:.3f} to {after:.3f}"


def fixture(path):
    """Of each family some steps: what goes in, what comes out, and the state behind each, in float64."""
    kinds = {name: (make, {}) for name, make in MAKERS.items()}
    for window in (1, 2, 10):
        kinds[f"un-{window}"] = (MAKERS["un"], {"window": window, "warmup": 3})
        kinds[f"un-code-{window}"] = (MAKERS["un-code"], {"window": window, "warmup": 3})
    digits = lambda t: [float(f"{value:.10g}") for value in t.flatten().tolist()]  # noqa: E731
    found = {}
    for name, (make, options) in kinds.items():
        norm, steps = double(make(3, **options)), []
        for parameter in norm.parameters():
            parameter.data.copy_(parameter.data.mul(100).round().div(100))
        parameters = {key: digits(value) for key, value in norm.named_parameters()}
        for step, x, dy in inputs(18, channels=3, shape=(4, 1), spike=11):
            if step == 13 and name not in ("bn", "brn", "prepbn"):  # A batch of one; its variance would be zero.
                x, dy = x[:1], dy[:1]
            if step == 14:  # A channel that is constant, and one that is zero.
                x = torch.cat([torch.full_like(x[..., :1], 2), x[..., 1:2], 0 * x[..., 2:]], -1)
            x, dy = (t.detach().mul(100).round().div(100) for t in (x, dy))
            x.requires_grad_()
            norm.zero_grad()
            y = norm(x)
            y.backward(dy)
            steps.append({
                **{key: digits(value) for key, value in {"x": x, "dy": dy, "y": y, "dx": x.grad}.items()},
                "gradients": {key: digits(value.grad) for key, value in norm.named_parameters()},
                "state": {key: digits(value) for key, value in norm.named_buffers()},
            })
        found[name] = {"options": options, "parameters": parameters, "steps": steps}
    pathlib.Path(path).write_text(json.dumps(found, separators=(",", ":")) + "\n")


def main():
    if sys.argv[1:2] == ["--fixture"]:
        return fixture(sys.argv[2])
    torch.set_num_threads(1)
    print("ok paper:", *(check_paper(window) for window in (1, 2, 4, 10)), "outliers")
    print("ok code:", *(check_code(window, filtration) for window in (1, 2, 4, 10) for filtration in (False, True)), "outliers")
    check_power_and_mabn()
    print("ok PowerNorm and MABN")
    check_batch()
    print("ok batch, renorm and PRepBN")
    print("ok gradients:", *check_gradients())
    check_padding()
    print("ok padding")
    check_half_and_compile()
    print("ok half precision and torch.compile")
    check_accumulation()
    print("ok accumulation")
    check_processes()
    print("ok two processes")
    print("ok convert and distill:", check_convert())


if __name__ == "__main__":
    main()
