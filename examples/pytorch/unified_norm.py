"""Unified Normalization for PyTorch, and the normalizations it is compared with. One file that needs nothing but torch.

    from unified_norm import UnifiedNorm

    self.norm1 = UnifiedNorm(384)                       # in place of nn.LayerNorm(384)

and for a network that is trained already (README.md beside this file has the recipes, and what to expect of them):

    from unified_norm import Recipe, convert, distill

    student = convert(model, batches)                   # every LayerNorm becomes a UnifiedNorm with a fitted scale and shift
    distill(student, model, batches, Recipe(steps=300)) # and learns from the network it came from

At inference each of these normalizations is `y = s x + t` with one scale and one shift per channel, which UNfold folds into
the linear layers around it:

    save_for_unfold(student, "student.safetensors", batches[0])     # save_for_unfold.py, beside this file
    deno task build-engine --checkpoint student.safetensors

| class          | statistics (mean, deviation)             | gradient                      | paper                             |
| -------------- | ---------------------------------------- | ----------------------------- | --------------------------------- |
| `BatchNorm`    | the batch's mean and variance            | exact                         | Ioffe and Szegedy, ICML 2015      |
| `BatchRenorm`  | the same, corrected to the running ones  | exact, the correction held    | Ioffe, NeurIPS 2017               |
| `PowerNormV`   | the batch's quadratic mean               | exact                         | Shen et al., ICML 2020, sect. 4.1 |
| `PowerNorm`    | the running quadratic mean               | estimated, (11) to (13)       | Shen et al., ICML 2020, sect. 4.2 |
| `MovingAverageBatchNorm` | moving average of the quadratic mean | mean of the last M       | Yan et al., ICLR 2020             |
| `UnifiedNorm`  | geometric mean of the last M             | momentum over the last M      | Yang et al., ACM MM 2022          |
| `ProgressiveRepBatchNorm` | LayerNorm, replaced step by step by Batch Normalization | exact | Guo et al., ICML 2024       |

Numbers in parentheses in the code are equations of the Unified Normalization paper, unless said. `C` is the channels, which
are the last axis of every input; all other axes are samples, as the paper squeezes tokens into its batch B.

What holds for all of them:

- Padding. `norm(x, padding_mask)` leaves out of every statistic the tokens whose mask is True, as `key_padding_mask` of
  torch has it; `set_padding_mask(model, mask)` gives it to all normalizations of a network whose code passes none.
- Half precision. Statistics are float32 whatever the input is, the result has the input's type; autocast works.
- `torch.compile(model, fullgraph=True)` works: a step reads no value back from the device.
- Several processes. Where torch.distributed is initialized, means are taken over the tokens of all processes, in forward
  and backward alike, so that their buffers stay equal; `sync=False` keeps each to its own tokens, and
  DistributedDataParallel then overwrites the buffers by those of the first process in every step.
- Gradient accumulation and activation checkpointing count each forward pass as a step; a recomputed one counts twice.
"""

import copy
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@torch.library.custom_op("unified_norm::kept", mutates_args=())
def _kept(x: Tensor) -> Tensor:
    """A copy that the backward pass reads as it is now.

    torch.compile computes cheap values again in the backward pass, and would read buffers that have changed since. It does
    not do so with the result of an operator that it cannot see into, as long as the forward pass needs the result, too.
    """
    return x.clone()


@_kept.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def _wide(x: Tensor) -> Tensor:
    """In float32 where it is narrower."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _mean(x: Tensor, real: Tensor | None, sync: bool) -> Tensor:
    """The mean of x [..., C] over all axes but the last, [C]; over the tokens where `real` [...] is true, if it is given."""
    axes = tuple(range(x.dim() - 1))
    shared = sync and torch.distributed.is_available() and torch.distributed.is_initialized()
    if real is None and not shared:
        return x.mean(axes)
    if real is None:
        total, count = x.sum(axes), x.new_full((1,), x.numel() // x.shape[-1])
    else:
        total, count = torch.where(real[..., None], x, 0).sum(axes), real.sum().to(x.dtype).reshape(1)
    if shared:
        from torch.distributed.nn.functional import all_reduce  # Gradients flow through this one.

        both = all_reduce(torch.cat([total, count]))
        total, count = both[:-1], both[-1:]
    return total / count.clamp(min=1)


class _EstimatedGradient(torch.autograd.Function):
    """y = weight x / deviation + bias, where the gradient that flows through the deviation is estimated.

    A deviation that mixes earlier batches has no gradient that this step could compute, so `estimate(dz, z, *flags)` says
    what stands for it: psi, the estimate of mean(dz z) [C]; it also updates the module's buffers. `ratio` scales the
    gradients of x and weight; it is one but for the authors' code of UN.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, scale, ratio, estimate, *flags):
        ctx.estimate = estimate
        ctx.save_for_backward(x, weight, scale, ratio, *flags)
        return (weight * (_wide(x) * scale) + bias).to(x.dtype)  # (2) with mu = 0, (3)

    @staticmethod
    def backward(ctx, dy):
        x, weight, scale, ratio, *flags = ctx.saved_tensors
        z, dy = _wide(x) * scale, _wide(dy)
        dz = weight * ratio * dy  # (6)
        dx = (dz - z * ctx.estimate(dz, z, *flags)) * scale  # (7) with psi_mu = 0
        samples = tuple(range(dy.dim() - 1))
        return (dx.to(x.dtype), (dy * ratio * z).sum(samples), dy.sum(samples), None, None, None, *(None for _ in flags))


def _called(module: nn.Module, inputs: tuple) -> None:
    """A hook that does nothing, for which nn.TransformerEncoderLayer calls its normalizations.

    Where a layer has no hooks, it computes a LayerNorm of their weight, bias and eps itself at inference.
    """


class OfflineNorm(nn.Module):
    """What the normalizations of this file share: weight and bias [C], and y = s x + t at inference."""

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.9, sync: bool = True) -> None:
        super().__init__()
        if not isinstance(channels, int) or channels < 1 or not 0 < momentum < 1 or eps < 0:
            raise ValueError(f"channels {channels}, momentum {momentum}, eps {eps}: at least 1, in (0, 1), at least 0")
        self.channels, self.eps, self.momentum, self.sync = channels, eps, momentum, sync
        self.padding_mask: Tensor | None = None
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_forward_pre_hook(_called)

    def extra_repr(self) -> str:
        return f"{self.channels}, eps={self.eps}, momentum={self.momentum}"

    def forward(self, x: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """x [..., C]; padding_mask [...] is True at the tokens that statistics leave out."""
        if x.shape[-1] != self.channels:
            raise ValueError(f"an input {tuple(x.shape)} for {self.channels} channels: they are its last axis")
        if not self.training:
            scale, shift = self.affine()
            return (_wide(x) * scale + shift).to(x.dtype)  # (1)
        mask = self.padding_mask if padding_mask is None else padding_mask
        if mask is not None and mask.shape != x.shape[:-1]:
            raise ValueError(f"padding mask {tuple(mask.shape)} for an input {tuple(x.shape)}: it wants {tuple(x.shape[:-1])}")
        if mask is not None and mask.dtype != torch.bool:
            raise ValueError(f"a padding mask is bool, True at padding (attention_mask == 0), not {mask.dtype}")
        if any(buffer.dtype in (torch.float16, torch.bfloat16) for buffer in self.buffers()):
            raise ValueError("statistics are float32: call .float() on each OfflineNorm behind model.half() or .bfloat16()")
        with torch.autocast(x.device.type, enabled=False):
            return self.step(x, None if mask is None else ~mask)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Scale and shift [C] at inference."""
        raise NotImplementedError

    def step(self, x: Tensor, real: Tensor | None) -> Tensor:
        """Forward in training, which also updates the statistics."""
        raise NotImplementedError

    def fit(self, scale: Tensor, shift: Tensor, mean: Tensor, square: Tensor) -> None:
        """Takes on an affine for inputs of these first two moments [C], so that training can go on from it."""
        raise NotImplementedError

    def _mean(self, x: Tensor, real: Tensor | None) -> Tensor:
        return _mean(x, real, self.sync)

    def _update(self, running: Tensor, now: Tensor) -> None:
        running.lerp_(now, 1 - self.momentum)  # (12)


class _BySquare(OfflineNorm):
    """Normalizations by a quadratic mean alone, no mean is subtracted: s = weight / sqrt(square + eps), t = bias."""

    square_name = "running_var"

    def __init__(self, channels: int, *, warmup: int = 0, **options) -> None:
        super().__init__(channels, **options)
        self.warmup = warmup
        self.register_buffer(self.square_name, torch.ones(channels))
        self.register_buffer("iters", torch.zeros(1, dtype=torch.int64))

    @property
    def square(self) -> Tensor:
        return getattr(self, self.square_name)

    def affine(self):
        return self.weight * torch.rsqrt(self.square + self.eps), self.bias

    @torch.no_grad()
    def fit(self, scale, shift, mean, square):
        self.weight.copy_(scale * torch.sqrt(square + self.eps))
        self.bias.copy_(shift)
        self.square.copy_(square)

    @torch.no_grad()
    def _quadratic_mean(self, x: Tensor, real: Tensor | None) -> Tensor:
        return self._mean(_wide(x).square(), real)  # (13)

    def _normalize(self, x: Tensor, square: Tensor, estimate: Callable, *flags: Tensor, ratio: Tensor | None = None) -> Tensor:
        scale = torch.rsqrt(square + self.eps)
        ratio = torch.ones_like(scale) if ratio is None else ratio
        return _EstimatedGradient.apply(x, self.weight, self.bias, _kept(scale), _kept(ratio), estimate, *flags)


class PowerNormV(_BySquare):
    """PN-V: the batch's own quadratic mean, and its exact gradient (PowerNorm, equations 4 to 6)."""

    square_name = "running_phi"

    def step(self, x, real):
        square = self._mean(_wide(x).square(), real)
        with torch.no_grad():
            self._update(self.square, square)
            self.iters.add_(1)
        return (self.weight * (_wide(x) * torch.rsqrt(square + self.eps)) + self.bias).to(x.dtype)


class PowerNorm(_BySquare):
    """PowerNorm: the running quadratic mean of the steps before, and equations 11 to 13 of its paper for the gradient.

    In the first `warmup` steps it is PN-V. The published code puts a division by each token's own quadratic mean in front
    (GroupScaling), which no fold removes; it is left out here. `ema_gz` holds nu.
    """

    square_name = "running_phi"

    def __init__(self, channels: int, *, warmup: int = 4000, **options) -> None:
        super().__init__(channels, warmup=warmup, **options)
        self.register_buffer("ema_gz", torch.zeros(channels))

    def step(self, x, real):
        warming = _kept(self.iters < self.warmup)
        q = self._quadratic_mean(x, real)
        square = torch.where(warming, q, self.square)
        self._update(self.square, q)
        self.iters.add_(1)

        def estimate(dz, z, warming):
            g, used = self._mean(dz * z, real), self.ema_gz.clone()
            self.ema_gz.add_((1 - self.momentum) * (g - used * self._mean(z * z, real)))
            return torch.where(warming, g, used)

        return self._normalize(x, square, estimate, warming)


class MovingAverageBatchNorm(_BySquare):
    """MABN: a moving average of the quadratic mean forward, the mean of the last `window` steps backward (14).

    Its authors also centre the weights of the layer in front, `w - mean(w)` per output, in training and at inference.
    """

    def __init__(self, channels: int, *, window: int = 16, warmup: int = 1000, momentum: float = 0.98, **options) -> None:
        super().__init__(channels, warmup=max(warmup, window), momentum=momentum, **options)
        self.window = window
        self.register_buffer("buffer_gz", torch.zeros(window, channels))

    def step(self, x, real):
        warming = _kept(self.iters < self.warmup)
        q = self._quadratic_mean(x, real)
        self._update(self.square, q)
        square = torch.where(warming, q, self.square)
        self.iters.add_(1)

        def estimate(dz, z, warming):
            g = self._mean(dz * z, real)
            self.buffer_gz.copy_(torch.cat([self.buffer_gz[1:], g[None]]))
            return torch.where(warming, g, self.buffer_gz.mean(0))

        return self._normalize(x, square, estimate, warming)


class UnifiedNorm(_BySquare):
    """Unified Normalization: algorithm 2 with the outlier filtration of section 3.3.

    `window` is the paper's M, `momentum` its alpha. In the first `warmup` steps a batch is normalized by its own statistic
    while windows fill. `filtration` (18, 19) uses a step's own statistics where its window spreads more than the one before
    allows; its default is that of the variant.

    `variant="paper"` is the paper, with what it leaves open settled so: both sides of (18), which is per channel, are
    averaged over the channels, since (19) decides for a layer; what is recorded of an outlier step are the running values
    from before it; and psi does not change in it.

    `variant="code"` does what the authors' published code does where that is something else:

    1. After max(1000, warmup) steps the gradients of x and weight have a factor sqrt(var / running_var), in [1/5, 5].
    2. The threshold of (18) is one number: the unbiased variance over window and channels together; and one channel
       beyond it makes the step an outlier.
    3. psi changes in outlier steps too.
    4. During warm-up the backward pass uses psi, not the batch's own g.
    5. Filtration is off unless asked for.
    6. Padding is left out of the quadratic mean, but not of g.

    The buffers have the names and shapes of the published checkpoints; both load each other's state.
    """

    def __init__(
        self, channels: int, *, window: int = 4, warmup: int = 4000, filtration: bool | None = None,
        variant: str = "paper", **options,
    ) -> None:  # fmt: skip
        if variant not in ("paper", "code") or window < 1:
            raise ValueError(f"variant {variant!r}, window {window}: 'paper' or 'code', at least 1")
        super().__init__(channels, warmup=warmup, **options)
        self.window, self.variant = window, variant
        self.filtration = variant == "paper" if filtration is None else filtration
        self.register_buffer("ema_gz", torch.zeros(channels))
        self.register_buffer("buffer_x2", torch.full((window, channels), float(variant == "paper")))
        self.register_buffer("buffer_gz", torch.zeros(window, channels))
        self.register_buffer("skip_counter", torch.zeros(1, dtype=torch.int64))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, window={self.window}, warmup={self.warmup}, variant={self.variant!r}"

    def fit(self, scale, shift, mean, square):
        super().fit(scale, shift, mean, square)
        self.buffer_x2.copy_(square.expand_as(self.buffer_x2))

    def step(self, x, real):
        return (self._paper_step if self.variant == "paper" else self._code_step)(x, real)

    @torch.no_grad()
    def _window(self, q: Tensor, slot: Tensor) -> tuple[Tensor, Tensor]:
        """The window with q in it, and its geometric mean (16), by logarithms, so that no product overflows."""
        squares = self.buffer_x2.index_copy(0, slot, q[None])
        return squares, squares.log().mean(0).exp()

    def _paper_step(self, x, real):
        slot = _kept(self.iters % self.window)
        warming = _kept(self.iters < max(self.warmup, self.window))
        q = self._quadratic_mean(x, real)
        with torch.no_grad():
            squares, geometric = self._window(q, slot)
            # (18) holds for the variance of a population, hence no correction; (19) takes that of the window before.
            bound = self.window * self.buffer_x2.sqrt().var(0, correction=0)
            spread = squares.mean(0) - geometric
            filtered = self.filtration and self.window > 1
            outlier = _kept(~warming & (spread.mean() > bound.mean()) if filtered else torch.zeros_like(warming))
            square = torch.where(warming | outlier, q, geometric)  # (16), (19)
            self.buffer_x2.copy_(squares.index_copy(0, slot, torch.where(outlier, self.square, q)[None]))
            self._update(self.square, square)
            self.skip_counter.add_(outlier)
            self.iters.add_(1)

        def estimate(dz, z, slot, warming, outlier):
            g, psi = self._mean(dz * z, real), self.ema_gz
            self.buffer_gz.index_copy_(0, slot, torch.where(outlier, psi, g)[None])
            psi.copy_(torch.where(outlier, psi, psi.lerp(self.buffer_gz.mean(0), 1 - self.momentum)))  # (17)
            return torch.where(warming | outlier, g, psi)  # (19)

        return self._normalize(x, square, estimate, slot, warming, outlier)

    def _code_step(self, x, real):
        q = self._quadratic_mean(x, real)
        with torch.no_grad():
            self.iters.add_(1)
            step, slot = self.iters, _kept(self.iters % self.window)
            squares, geometric = self._window(q, slot)
            outlier = torch.full_like(step, self.window == 1, dtype=torch.bool)
            counted = torch.zeros_like(outlier)
            if self.filtration:
                bound = self.window * self.buffer_x2.sqrt().var()
                counted = (step >= self.warmup) & (squares.mean(0) - geometric > bound).any()
                outlier = outlier | counted
            alone, outlier = _kept((step <= self.window) | (step < self.warmup) | outlier), _kept(outlier)
            square = torch.where(alone, q, geometric)
            ratio = torch.sqrt((square + self.eps) / (self.square + self.eps)).clamp(1 / 5, 5)
            ratio = torch.where((step <= max(1000, self.warmup)) | outlier, 1, ratio)
            self.buffer_x2.copy_(squares.index_copy(0, slot, torch.where(counted, self.square, q)[None]))
            self._update(self.square, square)
            self.skip_counter.add_(counted)

        def estimate(dz, z, slot, alone, outlier):
            g = self._mean(dz * z, None)
            self.buffer_gz.index_copy_(0, slot, torch.where(outlier, self.ema_gz, g)[None])
            smooth = torch.where(alone, g, self.buffer_gz.mean(0))
            self._update(self.ema_gz, smooth)
            return torch.where(outlier, smooth, self.ema_gz)

        return self._normalize(x, square, estimate, slot, alone, outlier, ratio=ratio)


class BatchNorm(OfflineNorm):
    """Batch Normalization over the last axis, as nn.BatchNorm1d computes it over its second; momentum is 1 - torch's."""

    def __init__(self, channels: int, **options) -> None:
        super().__init__(channels, **options)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def affine(self):
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale, self.bias - scale * self.running_mean

    @torch.no_grad()
    def fit(self, scale, shift, mean, square):
        self.running_mean.copy_(mean)
        self.running_var.copy_((square - mean.square()).clamp(min=0))
        self.weight.copy_(scale * torch.sqrt(self.running_var + self.eps))
        self.bias.copy_(shift + scale * mean)

    def _moments(self, x: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The input in float32, its mean and variance, through which gradients flow."""
        x = _wide(x)
        mean = self._mean(x, real)
        return x, mean, self._mean((x - mean).square(), real)

    @torch.no_grad()
    def _update_moments(self, x: Tensor, real: Tensor | None, mean: Tensor, variance: Tensor) -> None:
        count = x.numel() // self.channels if real is None else real.sum()
        if self.sync and torch.distributed.is_available() and torch.distributed.is_initialized():
            count = torch.as_tensor(count, device=x.device)
            torch.distributed.all_reduce(count)
        unbiased = count / torch.clamp(torch.as_tensor(count - 1), min=1).to(x.device)  # As torch keeps it.
        self._update(self.running_mean, mean)
        self._update(self.running_var, variance * unbiased)

    def step(self, x, real):
        y, mean, variance = self._moments(x, real)
        self._update_moments(x, real, mean, variance)
        return (self.weight * (y - mean) * torch.rsqrt(variance + self.eps) + self.bias).to(x.dtype)


class BatchRenorm(BatchNorm):
    """Batch Renormalization (its Algorithm 1): the batch's z, corrected by r and d towards the running statistics.

    `r_max` and `d_max` bound the correction; the paper lets them grow from 1 and 0 to 3 and 5 in the course of training:
    set the attributes. At their first values it is Batch Normalization.
    """

    def __init__(self, channels: int, *, r_max: float = 1.0, d_max: float = 0.0, **options) -> None:
        super().__init__(channels, **options)
        self.r_max, self.d_max = r_max, d_max

    def step(self, x, real):
        y, mean, variance = self._moments(x, real)
        deviation = torch.sqrt(variance + self.eps)
        with torch.no_grad():
            running = torch.sqrt(self.running_var + self.eps)
            r = _kept((deviation / running).clamp(1 / self.r_max, self.r_max))
            d = _kept(((mean - self.running_mean) / running).clamp(-self.d_max, self.d_max))
        self._update_moments(x, real, mean, variance)
        return (self.weight * ((y - mean) / deviation * r + d) + self.bias).to(x.dtype)


class _RepBatchNorm(nn.Module):
    """RepBN, bn(x) + alpha x (SLAB, equation 5), under the names of its checkpoints."""

    def __init__(self, channels: int, **options) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1))
        self.bn = BatchNorm(channels, **options)


class ProgressiveRepBatchNorm(nn.Module):
    """PRepBN (SLAB, equations 4 and 5): lambda LN(x) + (1 - lambda) RepBN(x), lambda from 1 to 0 in `steps` steps.

    The first `hold` steps are LayerNorm alone, in which the statistics of Batch Normalization fill. Inference is RepBN,
    whose scale and shift fold: it is what the network has learned once `steps` are over.
    """

    def __init__(self, channels: int, *, steps: int, hold: int = 0, eps: float = 1e-5, **options) -> None:
        super().__init__()
        self.steps, self.hold, self.eps = steps, hold, eps
        self.norm1 = nn.LayerNorm(channels, eps=eps)
        self.norm2 = _RepBatchNorm(channels, eps=eps, **options)
        self.register_buffer("iter", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """x [..., C]; padding_mask as for the others."""
        batch = self.norm2.bn(x, padding_mask) + (self.norm2.alpha * _wide(x)).to(x.dtype)
        if not self.training:
            return batch
        part = _kept((1 - (self.iter - self.hold).clamp(min=0) / max(1, self.steps - self.hold)).clamp(min=0))
        self.iter.add_(1)
        return (part * _wide(self.norm1(x)) + (1 - part) * _wide(batch)).to(x.dtype)


def set_padding_mask(model: nn.Module, padding_mask: Tensor | None) -> None:
    """Gives all normalizations of `model` the mask [...] of the next forward passes, True at padding; None takes it back."""
    for module in model.modules():
        if isinstance(module, OfflineNorm):
            module.padding_mask = padding_mask


# From a trained network


def _is_online(module: nn.Module) -> bool:
    """Whether it is a LayerNorm or RMSNorm over the last axis: torch's, timm's, transformers', or a model's own.

    Those of channels that come first, as in ConvNeXt, and those with an activation behind are left alone.
    """
    name = type(module).__name__
    if re.search("2d|NormAct", name) or getattr(module, "data_format", None) == "channels_first":
        return False
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        return len(module.normalized_shape) == 1
    weight = getattr(module, "weight", None)
    return bool(re.search("(Layer|RMS|Rms)Norm(Fp32)?$", name)) and isinstance(weight, Tensor) and weight.dim() == 1


def _batches(name: str, batches: Iterable) -> Iterable:
    if isinstance(batches, (Tensor, Mapping)):
        raise ValueError(f"{name} is one batch: pass a list of batches, [batch]")
    return batches


def _call(model: nn.Module, batch):
    """The model's output for a batch: a tensor, a tuple of arguments, or a dict of them by name.

    Of a dict, `attention_mask` [B, T] also is the padding that statistics leave out.
    """
    if isinstance(batch, Mapping):
        mask = batch.get("attention_mask")
        set_padding_mask(model, None if mask is None or mask.dim() != 2 else mask == 0)
        return model(**batch)
    return model(*batch) if isinstance(batch, (tuple, list)) else model(batch)


def _real(batch) -> Tensor | None:
    mask = batch.get("attention_mask") if isinstance(batch, Mapping) else None
    return None if mask is None or mask.dim() != 2 else mask != 0


class _Moments:
    """Sums over tokens of x, y, x x and x y [C] in float64, of which a line through y of x is fitted per channel."""

    def __init__(self, channels: int) -> None:
        self.count, self.sums = 0, torch.zeros(4, channels, dtype=torch.float64)

    def add(self, x: Tensor, y: Tensor, real: Tensor | None) -> None:
        x, y = (t.detach().cpu().double() for t in (x, y))
        real = None if real is None else real.cpu()
        if real is not None and real.shape == x.shape[:-1]:
            x, y = x[real], y[real]
        x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, x.shape[-1])
        self.count += len(x)
        self.sums += torch.stack([x.sum(0), y.sum(0), (x * x).sum(0), (x * y).sum(0)])

    def line(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scale, shift, mean and mean square; of a constant channel the scale is 0."""
        x, y, xx, xy = self.sums / self.count
        variance = xx - x * x
        scale = torch.where(variance > 1e-12 * xx, (xy - x * y) / variance, 0)
        return scale, y - scale * x, x, xx


def convert(
    model: nn.Module, samples: Iterable, *, norm: Callable[[int], OfflineNorm] = UnifiedNorm,
    only: Callable[[str], bool] = lambda name: True,
) -> nn.Module:  # fmt: skip
    """A copy of `model` whose LayerNorms and RMSNorms are `norm(channels)`, each fitted by least squares per channel.

    `samples` are batches as the model takes them (a tensor, a tuple of its arguments, or a dict by name; labels are none:
    `[images for images, _ in loader]`); a few hundred inputs are enough. `only` chooses normalizations by the name of their
    module. Names and epsilons stay, as UNfold reads them from the model's names and configuration; a module of several names
    is one. Raises ValueError where there is nothing to convert, no sample, one that a normalization has no part in, or a value that is
    not finite.
    """
    chosen = {n: m for n, m in model.named_modules() if _is_online(m) and only(n)}
    if not chosen:
        raise ValueError("no LayerNorm or RMSNorm over the last axis is chosen in this model")
    if any(value.is_meta for value in model.parameters()):
        raise ValueError("the model is on the meta device, where it has no weights: load them first")
    found: dict[str, _Moments] = {}
    padding: list[Tensor | None] = [None]

    def watch(name):
        def hook(_, inputs, named, output):
            x, *more = [*inputs, *named.values()]
            if more or not isinstance(output, Tensor) or x.shape != output.shape:
                raise ValueError(f"{name} is no normalization of one tensor: leave it out with only=...")
            found.setdefault(name, _Moments(output.shape[-1])).add(x, output, padding[0])

        return hook

    was = [(module, module.training) for module in model.modules()]
    hooks = [module.register_forward_hook(watch(name), with_kwargs=True) for name, module in chosen.items()]
    try:
        model.eval()
        with torch.no_grad():
            for batch in _batches("samples", samples):
                padding[0] = _real(batch)
                _call(model, batch)
    finally:
        for module, training in was:
            module.training = training
        for hook in hooks:
            hook.remove()
    if not found:
        raise ValueError("no normalization was reached: there are no samples")
    if missed := [name for name in chosen if name not in found]:
        raise ValueError(f"{', '.join(missed)}: not reached by these samples; leave it out with only=..., or give others")
    student = copy.deepcopy(model)
    for name, moments in found.items():
        if not torch.isfinite(moments.sums).all():
            raise ValueError(f"{name}: its input or output is not finite for these samples")
        old = student.get_submodule(name)
        new = norm(len(moments.sums[0]))
        if not isinstance(new, OfflineNorm):
            raise ValueError(f"norm=... gives a {type(new).__name__}, and an OfflineNorm of this file is fitted")
        # UNfold takes a model's epsilon from its configuration, which still is the old one's.
        new.eps = next((old.__dict__[key] for key in ("eps", "variance_epsilon") if old.__dict__.get(key) is not None), new.eps)
        where = next(old.parameters(), next(student.parameters()))
        new = new.to(where.device, torch.float32)
        new.fit(*(value.to(where.device, torch.float32) for value in moments.line()))
        new.train(old.training)
        if old is student:
            return new
        for parent in list(student.modules()):
            for child in [child for child, module in parent._modules.items() if module is old]:
                setattr(parent, child, new)
    return student


@dataclass
class Recipe:
    """How `distill` trains; the defaults are those that did best on MiniLM (README.md)."""

    steps: int = 300
    """Of the optimizer; batches are gone through as often as that takes."""
    lr: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.98)
    ramp: int = 20
    """Steps in which the learning rate rises to `lr`; a cosine brings it to 0 at the end."""
    clip: float = 1.0
    weight_decay: float = 0.0
    output: str = "cosine"
    """What outputs are compared by: `cosine` 1 - cos of vectors, `kl` of logits, `mse` relative to the teacher's."""
    output_weight: float = 5.0
    hidden_weight: float = 1.0
    """Of the mean relative squared error of what the normalizations give out."""
    similarity_weight: float = 10.0
    """Of the squared error of all cosines between the vectors of a batch; embeddings only."""
    frozen: bool = True
    """Whether statistics stay as they were fitted; else they are those of each batch, smoothed as the family does."""
    train: Callable[[str], bool] = lambda name: True
    """Which parameters learn, by name."""
    read: Callable | None = None
    """The tensor [B, ...] of a model's output that is compared; default: the output, its logits, or its last hidden state."""


def _read(output):
    if isinstance(output, Tensor):
        return output
    for name in ("logits", "last_hidden_state"):
        if getattr(output, name, None) is not None:
            return getattr(output, name)
    raise ValueError(f"a model's output is a {type(output).__name__}: say with Recipe(read=...) which tensor is compared")


def _output_loss(kind: str, ours: Tensor, theirs: Tensor, real: Tensor | None) -> Tensor:
    if real is not None and real.shape == ours.shape[:-1]:
        ours, theirs = ours[real], theirs[real]
    if kind == "cosine":
        return (1 - F.cosine_similarity(ours, theirs, dim=-1)).mean()
    if kind == "kl":
        return F.kl_div(ours.log_softmax(-1), theirs.log_softmax(-1), log_target=True, reduction="none").sum(-1).mean()
    return _relative(ours, theirs)


def _relative(ours: Tensor, theirs: Tensor, real: Tensor | None = None) -> Tensor:
    if real is not None and real.shape == ours.shape[:-1]:
        ours, theirs = ours[real], theirs[real]
    return (ours - theirs).square().mean() / theirs.square().mean().clamp(min=1e-12)


def _hidden(model: nn.Module, names: list[str]) -> tuple[dict[str, Tensor], list]:
    """What the modules `names` give out, filled in by each forward pass, and the hooks to remove."""
    values: dict[str, Tensor] = {}

    def keep(name):
        def hook(_, __, output):
            values[name] = output

        return hook

    return values, [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]


def distill(student: nn.Module, teacher: nn.Module, data: Iterable, recipe: Recipe | None = None) -> list[float]:
    """Trains `student`, which `convert` made of `teacher`, to do as it does; returns the loss of each step.

    `data` is a list of batches, or anything that gives them anew each time it is iterated: the inputs alone, since the
    teacher says what is right. Dropout is off. Raises ValueError for a recipe or data of no use, and ArithmeticError where
    the loss is not finite, with the step.
    """
    recipe = recipe or Recipe()
    if recipe.output not in ("cosine", "kl", "mse") or not isinstance(recipe.steps, int) or recipe.steps < 1 or recipe.lr <= 0:
        raise ValueError(f"recipe: output {recipe.output!r}, {recipe.steps} steps, lr {recipe.lr}")
    names = [name for name, module in student.named_modules() if isinstance(module, OfflineNorm)]
    learned = [p for name, p in student.named_parameters() if recipe.train(name)]
    if not learned or not names:
        raise ValueError("nothing to train" if names else "the student has no normalization of this file: convert it first")
    modules = dict(teacher.named_modules())
    if wrong := [name for name in names if name not in modules or isinstance(modules[name], OfflineNorm)]:
        raise ValueError(f"the teacher is not what the student was converted from: it has no online normalization {wrong[0]}")
    matrices = [p for p in learned if p.dim() > 1]
    vectors = [p for p in learned if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=recipe.lr, betas=recipe.betas)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda s: min(1, (s + 1) / max(1, recipe.ramp)) * (1 + math.cos(math.pi * s / recipe.steps)) / 2,
    )
    read = recipe.read or _read
    student.eval(), teacher.eval()
    for name in names:
        student.get_submodule(name).train(not recipe.frozen)
    ours, hooks = _hidden(student, names)
    theirs, more = _hidden(teacher, names)
    losses: list[float] = []
    try:
        while len(losses) < recipe.steps:
            before = len(losses)
            for batch in _batches("data", data):
                with torch.no_grad():
                    target = read(_call(teacher, batch))
                output, real = read(_call(student, batch)), _real(batch)
                loss = recipe.output_weight * _output_loss(recipe.output, output, target, real)
                hidden = [_relative(ours[name], theirs[name], real) for name in names]
                loss = loss + recipe.hidden_weight * torch.stack(hidden).mean()
                if recipe.output == "cosine" and recipe.similarity_weight and output.dim() == 2:
                    a, b = F.normalize(output, dim=-1), F.normalize(target, dim=-1)
                    loss = loss + recipe.similarity_weight * (a @ a.T - b @ b.T).square().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(learned, recipe.clip)
                losses.append(loss.item())
                if not math.isfinite(losses[-1]):
                    raise ArithmeticError(f"the loss is {losses[-1]} at step {len(losses)}: lower lr, {recipe.lr}")
                optimizer.step()
                schedule.step()
                if len(losses) == recipe.steps:
                    break
            if len(losses) == before:
                raise ValueError("data has no batches, or gives them only once: pass a list")
    finally:
        for hook in [*hooks, *more]:
            hook.remove()
        set_padding_mask(student, None)
        student.eval()
    return losses
