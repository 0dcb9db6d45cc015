"""Shared fixtures: tiny models with random weights, and problems made by hand."""

import gc
import os
from itertools import pairwise
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test waits for a hub; libraries read this when they are imported

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from tests import checks
from workbench.model.checkpoint import Checkpoint, make_checkpoint
from workbench.problems.problem import Problem
from workbench.problems.prosqa import make_problem
from workbench.problems.vocabulary import edges_tokenizer

LONGEST = (
    "test_explorer_browser", "test_probes", "test_audit_organisms", "test_accelerate", "test_crash",
    "test_compare_report", "test_report_readings", "test_docs", "test_audit_search", "test_artefacts",
)  # fmt: skip
"""Files that take longest, of which some have few tests. Begun last, one of them would keep a worker waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; workers are given files in this order (`--no-loadscope-reorder`)."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_collection_finish() -> None:
    """Collect garbage again, of what the tests make."""
    gc.freeze()
    gc.enable()


FAMILIES = ("gpt2", "llama", "qwen2")
assert checks  # it must be imported before the library


def tiny_model(family: str, seed: int = 0, **changes: object) -> PreTrainedModel:
    """Build a two-layer model with random weights large enough that everything matters."""
    torch.manual_seed(seed)
    tokens = {"vocab_size": 64, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1, "initializer_range": 0.2}
    if family == "gpt2":
        calm = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        size = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
        given: dict[str, Any] = {**tokens, **calm, **size, **changes}
        return GPT2LMHeadModel(GPT2Config(**given)).eval()
    size = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2 if family == "llama" else 4,
        "max_position_embeddings": 128,
        "tie_word_embeddings": family == "qwen2",
    }
    build: dict[str, Any] = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}
    config, model = build[family]
    return model(config(**{**tokens, **size, **changes})).eval()


def tiny(
    family: str = "qwen2", seed: int = 0, thoughts: int = 3, markers: bool = False, **changes: object
) -> Checkpoint:
    """Build a checkpoint in the edges format with random weights."""
    meta = {"version": 1, "task": "prosqa", "format": "edges", "markers": markers, "thoughts": thoughts}
    return make_checkpoint(tiny_model(family, seed, **changes), edges_tokenizer(), meta, f"tiny-{family}")


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """A tiny model of each family in turn."""
    return tiny_model(request.param)


@pytest.fixture
def tiny_checkpoint() -> Checkpoint:
    """A tiny random Qwen2 in the edges format, three thoughts, no markers."""
    return tiny()


def chain(number: int, length: int) -> Problem:
    """Build a problem whose root reaches the target in `length` steps, and another root the negative in one."""
    concepts = "lempus brimpus scrompus rempus sterpus hilpus yumpus zumpus".split()
    names = ["Sally", "Tom", *concepts[: length + 1]]
    path = [0, *range(2, 2 + length)]
    edges = [*pairwise(path), (1, 2 + length), (1, 2)]
    edges = edges[number % len(edges) :] + edges[: number % len(edges)]
    return make_problem(f"chain-{number}", names, edges, 0, path[-1], 2 + length, number % 2 == 0)


@pytest.fixture
def tiny_problems() -> list[Problem]:
    """Five problems of one to five hops, of different length."""
    return [chain(number, number + 1) for number in range(5)]
