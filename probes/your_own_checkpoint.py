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
# `config.coconut` says how it thinks. Here one is made on the spot, a GPT-2 with random weights that reads sentences
# with a tokenizer of several tokens a name. It knows nothing, and the workbench says so.

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
size = GPT2Config(vocab_size=len(tokenizer), n_embd=64, n_layer=2, n_head=4, n_positions=2048, eos_token_id=0)
gpt2 = GPT2LMHeadModel(size).eval()

# %% [markdown]
# ## Give it markers, save it, load it
#
# `prepare_pretrained` adds `<bot>`, `<eot>` and `<thought>`; from there on it is a checkpoint like every other. On
# loading it is checked: the LM head of a thought gives the logits of that pass, nothing sees the future, an identity
# intervention changes nothing.

# %%
from workbench.model.checkpoint import prepare_pretrained, save_checkpoint

folder = Path(tempfile.mkdtemp()) / "mine"
save_checkpoint(prepare_pretrained(gpt2, tokenizer, thoughts=3, name="mine"), folder)
model = wb.load(folder)
model

# %% [markdown]
# ## Read it
#
# No training, so no frontier: the mass lies at chance or below, and that is what must be shown.

# %%
wb.read("breadth", model, problems).figures[0]

# %% [markdown]
# ## TransformerLens names on it
#
# Hook points fire inside the loop, for every thought; the cache is an ordinary `ActivationCache`.

# %%
lens = model.lens
rows = lens.rows(problems[:2])
ran, cache = lens.run_with_cache(rows)
at_two = lens.at_thought(cache, rows, 2)
print(type(cache).__name__, tuple(at_two["blocks.1.attn.hook_z"].shape), tuple(at_two["hook_embed"].shape))

# %% [markdown]
# ## When something does not fit
#
# Mistakes are said in three lines: what, why, what to do.

# %%
try:
    wb.load(folder / "nowhere")
except wb.WorkbenchError as error:
    print(error)
