# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own checkpoint
#
# Any causal language model that Hugging Face can load will do: a directory written by `save_pretrained`, whose
# `config.coconut` says how it thinks. Here we make one: a GPT-2 with random weights that reads sentences, with a
# tokenizer that splits a name into several tokens. It knows nothing, and the readings below show that.

# %%
import workbench as wb

problems = wb.generate_problems("released", 12, seed=5)
problems

# %%
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

backend = Tokenizer(BPE())
backend.pre_tokenizer, backend.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
trainer = BpeTrainer(
    vocab_size=400, initial_alphabet=ByteLevel.alphabet(), special_tokens=["<|end|>"], show_progress=False
)
backend.train_from_iterator([problem.question for problem in problems], trainer)
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", padding_side="left")
torch.manual_seed(0)
size = GPT2Config(
    vocab_size=len(tokenizer), n_embd=64, n_layer=2, n_head=4, n_positions=2048, bos_token_id=0, eos_token_id=0
)
gpt2 = GPT2LMHeadModel(size).eval()

# %% [markdown]
# ## Give it markers, save it, load it
#
# `prepare_pretrained` adds the tokens `<bot>`, `<eot>` and `<thought>`. After that it is a checkpoint like any other.
# `wb.load` checks it: the LM head of a thought gives the logits of that pass, no token sees a later one, and an
# intervention that changes nothing leaves every number as it was.
#
# It thinks 3 thoughts. The brackets say how thoughts were used in training: not at all.

# %%
from workbench.model.checkpoint import prepare_pretrained, save_checkpoint

folder = Path(tempfile.mkdtemp()) / "mine"
save_checkpoint(prepare_pretrained(gpt2, tokenizer, thoughts=3, name="mine"), folder)
model = wb.load(folder)
model

# %% [markdown]
# ## Read it
#
# Without training there is no frontier in the thoughts: the mass is at chance or below.

# %%
wb.read("breadth", model, problems).figures[0]

# %% [markdown]
# ## TransformerLens names on it
#
# Hook points fire at every thought, also in the middle of the loop. The cache is TransformerLens's own
# `ActivationCache`. We take thought 2 of two problems: the output of 4 heads with 16 numbers each, and the thought
# itself with 64 numbers.

# %%
lens = model.lens
rows = lens.rows(problems[:2])
ran, cache = lens.run_with_cache(rows)
at_two = lens.at_thought(cache, rows, 2)
print(type(cache).__name__, tuple(at_two["blocks.1.attn.hook_z"].shape), tuple(at_two["hook_embed"].shape))

# %% [markdown]
# ## When something does not fit
#
# An error has three lines: what happened, why, and what to do.

# %%
try:
    wb.load("runs/nowhere/")
except wb.WorkbenchError as error:
    print(error)
