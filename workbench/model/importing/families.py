"""Model files of other projects: how each family names its tensors, and what is known of what its files do not say.

Facts from the families' own code. `FAMILIES` is in the order in which a file is compared with them; the first whose
signs all occur is its family.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from workbench.model.prompts import OFFICIAL, Wording
from workbench.model.reader import AFTER, BEFORE
from workbench.model.recurrence import IDENTITY, Recurrence

OFFICIAL_MARKERS = ("<|start-latent|>", "<|end-latent|>", "<|latent|>")
"""In the order in which facebookresearch/coconut adds them."""
CODI_MARKERS = ("[PAD]", "<bot>", "<eot>")
"""Tokens V, V + 1 and V + 2 of CODI, V being the vocabulary of its base. Two have no words there; these are ours."""
SUPERPOSITION_WORDS = (*map(str, range(31)), *OFFICIAL_MARKERS, *"| [Q] [R] [A] <eos> <|no-answer|>".split())
"""Words of Ber666/reasoning-by-superposition by id (stokenizer.py)."""


@dataclass(frozen=True)
class PromptForm:
    """What is written around question, thoughts and answer."""

    about: str
    format: str = "text"
    markers: bool = True
    wording: Wording = OFFICIAL


_CODI = Wording("{question}", ("eos", "bot"), ("eot", "eos"), "The answer is: ", thought="[PAD]")
_WORDS = replace(OFFICIAL, bot="eos", eot="eos", thought="eos")
_COLAR = "Question: {question} Let's think step by step:(Thinking speed: 2)###"
FORMS: dict[str, PromptForm] = {
    "official": PromptForm('question, line break, <bot>, thoughts, <eot>, steps, "### " and answer'),
    "words": PromptForm('question, line break, steps, "### " and answer', markers=False, wording=_WORDS),
    "edges": PromptForm("numbers of nodes, no markers", "edges", False),
    "codi": PromptForm('question, end token, <bot>, thoughts, <eot>, end token, "The answer is:"', wording=_CODI),
    "codi-remove-eos": PromptForm(
        'question, <bot>, thoughts, <eot>, "The answer is:"', wording=replace(_CODI, opening=("bot",), closing=("eot",))
    ),
    "latenttts-codi": PromptForm(
        'question, <bot>, thoughts, <eot>, "The answer is:"',
        wording=Wording("{question}", answer="The answer is: "),
    ),
    "colar": PromptForm(
        'question in the sentence of CoLaR, thoughts, "###", "Answer:"',
        wording=Wording(_COLAR, (), ("###",), "Answer:", "###", "###", "###"),
    ),
    "pccot": PromptForm(
        'question, <bot>, thoughts, <eot>, "The answer is:"', wording=Wording("{question}", answer="The answer is:")
    ),
}
"""Prompt forms by the name that `--prompt` takes."""


@dataclass(frozen=True)
class Family:
    """One layout of files."""

    title: str
    source: str
    """Repository whose code writes it."""
    signs: tuple[str, ...]
    """Beginnings of keys that tell the family."""
    prefix: str
    """Of the language model's keys."""
    asks: Mapping[str, str]
    """What no file of it says: an option, and the choices known from its repository."""
    forms: tuple[str, ...] = ("official",)
    """Prompt forms that are known; where there are several, `prompt` is asked for."""
    adds: tuple[str, ...] = ()
    """Tokens after those of the base."""
    copy: str = ""
    """Key that repeats the input embedding."""
    head: Mapping[str, str] = field(default_factory=dict)
    """Parts of the thought head: key in the file to that of `recurrence.ThoughtHead`."""
    recurrence: Recurrence = IDENTITY
    pause: str = ""
    """Key of the vector that is fed in place of every thought."""
    reader: str = ""
    """Beginning of the keys of a second language model that reads the thoughts (`reader`)."""
    around: Mapping[str, str] = field(default_factory=dict)
    """Beginnings of the keys of what stands before and after that model, and what each is."""
    words: tuple[str, ...] = ()
    """The whole vocabulary, where the family has one of its own."""


_STAGES = "ProsQA and ProntoQA 6, GSM8k 6 (args/*.yaml)"
_THINKS = {
    "thoughts": f"thoughts in all: {_STAGES}",
    "per_step": "thoughts that stand for one step, c_thought: ProsQA and ProntoQA 1, GSM8k 2",
    "says": "answer (all stages done) or chain (an earlier stage: the steps that are left come first)",
}
_CODI_ASKS = {
    "thoughts": "6 (inf_latent_iterations of the scripts)",
    "prompt": "",
    "lora_alpha": "32 (all scripts)",
}
_PRJ = {"prj.1.": "first.", "prj.3.": "second.", "prj.ln.": "norm."}
DECODER = "a second language model that learned to write out the thoughts; no thought and no answer reads it"
FAMILIES: dict[str, Family] = {
    "sim-cot-coconut": Family(
        "SIM-CoT on Coconut", "InternLM/SIM-CoT", ("base_causallm.", "expainable_llm."), "base_causallm.",
        {**_THINKS, "thoughts": "thoughts in all: GSM8k 10 (5 stages of 2)", "per_step": "GSM8k 2"},
        adds=OFFICIAL_MARKERS, copy="embedding.weight", reader="expainable_llm.",
    ),
    "coconut-pause": Family(
        "Coconut with a learned pause", "bmarti44/research-pipeline", ("base_causallm.", "pause_embedding"),
        "base_causallm.",
        {**_THINKS, "feedback": "pause (pause_curriculum, pause_multipass, frozen: the vector in place of every "
        "thought) or hidden (continuous)"},
        adds=OFFICIAL_MARKERS, copy="embedding.weight", pause="pause_embedding",
    ),
    "superposition": Family(
        "Reasoning by Superposition", "Ber666/reasoning-by-superposition", ("base_causallm.",), "base_causallm.",
        {"thoughts": "ProsQA 4", "says": _THINKS["says"]},
        ("edges",), copy="embedding.weight", words=SUPERPOSITION_WORDS,
    ),
    "coconut": Family(
        "Coconut", "facebookresearch/coconut", ("base_causallm.",), "base_causallm.", _THINKS,
        adds=OFFICIAL_MARKERS, copy="embedding.weight",
    ),
    "sim-cot-codi": Family(
        "SIM-CoT on CODI", "InternLM/SIM-CoT", ("codi.", "decoder."), "codi.", _CODI_ASKS, ("codi-remove-eos", "codi"),
        CODI_MARKERS, head=_PRJ, recurrence=Recurrence("projection"),
        reader="decoder.", around={BEFORE: "its input projection", AFTER: "its output projection"},
    ),
    "codi": Family(
        "CODI", "zhenyi4/codi", ("codi.",), "codi.", _CODI_ASKS, ("codi-remove-eos", "codi"), CODI_MARKERS,
        head=_PRJ, recurrence=Recurrence("projection"),
    ),
    "latenttts-codi": Family(
        "CODI of LatentTTS", "ModalityDance/LatentTTS", ("projector.",), "", {"thoughts": "6 (latent_length)"},
        ("latenttts-codi",), recurrence=Recurrence("projection"),
        head={"projector.1.": "first.", "projector.3.": "second.", "projector.4.": "norm."},
    ),
    "latenttts-colar": Family(
        "CoLaR of LatentTTS", "ModalityDance/LatentTTS", ("lt_head.",), "",
        {"thoughts": "at most 64 (max_latent_length)"}, ("colar",), recurrence=Recurrence("gaussian"),
        head={"lt_head.fc.0.": "first.", "lt_head.fc.2.": "second.", "lt_head.fc.3.": "norm.",
              "lt_head.mean.": "mean."},
    ),
    "pccot": Family(
        "PCCoT", "whyNLP/PCCoT", ("prj.",), "", {"thoughts": "24 (num_latent_tokens)"}, ("pccot",),
        recurrence=Recurrence("projection"), head={"prj.0.": "first.", "prj.2.": "second.", "prj.3.": "norm."},
    ),
    "markers": Family(
        "a language model with markers", "a directory of save_pretrained", ("",), "", _THINKS, ("official",),
    ),
    "words": Family(
        "CoT or No-CoT", "facebookresearch/coconut", ("",), "",
        {"says": "chain (CoT) or answer (No-CoT)"}, ("words",),
    ),
}  # fmt: skip


def recognise(keys: Iterable[str], rows: int, markers: bool, config: Mapping[str, Any]) -> str:
    """Return the name of the family that a file is of.

    Args:
        keys: Of its tensors.
        rows: Of its input embedding.
        markers: Whether the tokenizer beside it, or the configuration, has tokens that mark thoughts.
        config: The config.json beside it, empty where there is none.
    """
    if str(config.get("model_type", "")).startswith("pccot-"):
        return "pccot"
    keys = list(keys)
    for name, family in FAMILIES.items():
        has_signs = all(any(key.startswith(sign) for key in keys) for sign in family.signs)
        if has_signs and (not family.words or rows == len(family.words)) and (name != "markers" or markers):
            return name
    raise AssertionError("the last family takes every file")


def superposition_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer of Reasoning by Superposition: 40 words, each of them a token."""
    backend = Tokenizer(WordLevel({word: number for number, word in enumerate(SUPERPOSITION_WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<eos>", eos_token="<eos>", bos_token="<eos>", padding_side="left"
    )
