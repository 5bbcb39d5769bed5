"""Takes LayerNorm out of two trained networks with `unified_norm.py`, and says what it costs.

    python finetune.py digits                        # examples/digits: 9 of 9, three epochs
    python finetune.py minilm --model FOLDER         # examples/minilm: 13 of 13, 74 steps

Each converts the network as it is (a scale and a shift per channel, fitted by least squares), then lets it learn from the
network it came from. `--out FILE` saves the state dict, which UNfold reads with `--norm un`:

    deno task build-engine --checkpoint minilm.safetensors --norm un

MiniLM's FOLDER holds config.json, model.safetensors and tokenizer.json: the folder that examples/minilm keeps in UNfold's
cache. It wants transformers and tokenizers beside torch; digits want scikit-learn.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from unified_norm import Recipe, convert, distill

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent


def digits(arguments) -> torch.nn.Module:
    """Images of which 360 are held out; the accuracy is theirs."""
    sys.path.insert(0, str(EXAMPLES / "digits"))
    from safetensors.torch import load_file
    from train import DigitTransformer, evaluate, load_split, shift

    images, _, held, labels = load_split(validate=False)
    teacher = DigitTransformer(lambda channels: torch.nn.LayerNorm(channels, eps=1e-5)).eval()
    teacher.load_state_dict(load_file(EXAMPLES / "digits" / "ln.safetensors"))
    print(f"LayerNorm: {evaluate(teacher, held, labels)[1]:.2f} %")
    generator = torch.Generator().manual_seed(arguments.seed)

    class Shifted:
        """The images in batches of 64, moved by up to a pixel, in another order each time."""

        def __iter__(self):
            order = torch.randperm(len(images), generator=generator)
            return iter([shift(images[picked], generator) for picked in order.split(64)])

    student = convert(teacher, images.split(256))
    print(f"converted: {evaluate(student, held, labels)[1]:.2f} %")
    steps = arguments.steps or 3 * len(images.split(64))
    recipe = Recipe(steps, lr=1e-3, betas=(0.9, 0.999), ramp=10, output="kl", output_weight=1, hidden_weight=5)
    distill(student, teacher, Shifted(), recipe)
    print(f"distilled, {steps} steps: {evaluate(student, held, labels)[1]:.2f} %")
    return student


class Embedder(torch.nn.Module):
    """BERT, mean over the tokens: a sentence's embedding, not yet divided by its length."""

    def __init__(self, bert: torch.nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids, attention_mask):
        tokens = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None].to(tokens.dtype)
        return (tokens * mask).sum(1) / mask.sum(1)


def spearman(a: torch.Tensor, b: torch.Tensor) -> float:
    """Of two vectors without ties."""
    ranks = torch.stack([x.argsort().argsort().double() for x in (a, b)])
    return torch.corrcoef(ranks)[0, 1].item()


@torch.no_grad()
def agreement(student, teacher, batches) -> tuple[float, float]:
    """Mean cosine to the teacher's embeddings, and Spearman's rank correlation of all pairs' cosines."""
    ours, theirs = (F.normalize(torch.cat([m(**b) for b in batches]), dim=1) for m in (student, teacher))
    pairs = torch.triu_indices(len(ours), len(ours), 1)
    return (ours * theirs).sum(1).mean().item(), spearman(*((e @ e.T)[pairs[0], pairs[1]] for e in (ours, theirs)))


def minilm(arguments) -> torch.nn.Module:
    """Sentences of examples/minilm/prose.txt: 900 to fit and learn from, the last 300 to judge by."""
    from tokenizers import Tokenizer
    from transformers import BertModel

    if arguments.model is None:
        sys.exit("finetune.py: minilm wants --model FOLDER with config.json, model.safetensors and tokenizer.json")
    bert = BertModel.from_pretrained(arguments.model, dtype=torch.float32, local_files_only=True, add_pooling_layer=False)
    teacher = Embedder(bert).eval()
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()

    def batches(sentences, size=32):
        made = []
        for start in range(0, len(sentences), size):
            codes = tokenizer.encode_batch(sentences[start : start + size])
            ids, mask = (torch.tensor([getattr(c, k) for c in codes]) for k in ("ids", "attention_mask"))
            made.append({"input_ids": ids, "attention_mask": mask})
        return made

    sentences = (EXAMPLES / "minilm" / "prose.txt").read_text(encoding="utf-8").splitlines()
    fit, held = sentences[:900], batches(sentences[900:])
    generator = torch.Generator().manual_seed(arguments.seed)

    class Shuffled:
        """The sentences in batches of 32, in another order each time."""

        def __iter__(self):
            order = torch.randperm(len(fit), generator=generator).tolist()
            return iter(batches([fit[i] for i in order]))

    student = convert(teacher, batches(fit))
    print("converted: cosine %.3f, Spearman %.3f" % agreement(student, teacher, held))
    recipe = Recipe(arguments.steps or 74, train=lambda name: "word_embeddings" not in name)
    distill(student, teacher, Shuffled(), recipe)
    print(f"distilled, {recipe.steps} steps: cosine %.3f, Spearman %.3f" % agreement(student, teacher, held))
    return student.bert


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=["digits", "minilm"])
    parser.add_argument("--model", type=Path, help="the folder of MiniLM's files")
    parser.add_argument("--steps", type=int, help="of distillation (default: 69 for digits, 74 for MiniLM)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of batches and of shifts")
    parser.add_argument("--out", type=Path, help="a .safetensors file for the student's state dict")
    arguments = parser.parse_args()
    started = time.monotonic()
    torch.manual_seed(arguments.seed)
    student = {"digits": digits, "minilm": minilm}[arguments.network](arguments)
    print(f"{time.monotonic() - started:.0f} s")
    if arguments.out is not None:
        from safetensors.torch import save_file

        save_file({name: value.contiguous() for name, value in student.state_dict().items()}, arguments.out)


if __name__ == "__main__":
    main()
