"""Where training by rows starts: the model, its tokenizer, and the problems to train on."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from workbench.checkpoint import Checkpoint, load_checkpoint, make_checkpoint, prepare_pretrained
from workbench.checkpoint_files import find, reason, require_tokenizer, require_weights
from workbench.errors import WorkbenchError
from workbench.from_scratch import build_model
from workbench.problem import Problem
from workbench.problem_sets import generate as generate_graphs
from workbench.tasks.any_files import load_any
from workbench.tasks.generate import generate
from workbench.tasks.item import Item
from workbench.train_config import TrainConfig, checkpoint_fields
from workbench.words_format import words_tokenizer


def start(config: TrainConfig) -> Checkpoint:
    """Return what a run by rows starts from, as it is before the first step.

    `config.start` may name a checkpoint of the workbench, which goes on with the method of this run (the official
    GSM8k regime starts Coconut from CoT), or a pre-trained model, which gets the markers it lacks and reads the text
    format. Without it a small model is built from scratch, for the words of the task.

    Raises:
        WorkbenchError: There is no such model, or the task cannot be trained from scratch.
    """
    if not config.start:
        tokenizer = _words(config)
        model, meta = build_model(config.model, config.seed, tokenizer=tokenizer), {"format": "words"}
        return make_checkpoint(model, tokenizer, meta | checkpoint_fields(config), config.name)
    directory, name = find(config.start)
    if _is_ours(directory):
        begun = load_checkpoint(directory)
    else:
        begun = prepare_pretrained(*_pretrained(directory, name), name=name)
    return make_checkpoint(begun.model, begun.tokenizer, begun.meta | checkpoint_fields(config), config.name)


def draw_items(config: TrainConfig) -> Sequence[Problem | Item]:
    """Return the problems to train on: those of `config.rows.problems`, or generated ones.

    Raises:
        WorkbenchError: The file cannot be read.
    """
    if config.rows.problems:
        return load_any(Path(config.rows.problems))
    if config.task == "prosqa":
        return generate_graphs("released", config.rows.count, config.seed)
    return generate(config.task, config.rows.count, config.seed)


def draw_validation(config: TrainConfig, count: int) -> Sequence[Problem | Item]:
    """Return problems to watch while training, none of them trained on.

    The first of `config.rows.validation`, or generated ones (of arithmetic, in sentences that training never has).

    Raises:
        WorkbenchError: The file cannot be read.
    """
    if config.rows.validation:
        return load_any(Path(config.rows.validation))[:count]
    if config.task == "prosqa":
        return generate_graphs("released", count, config.seed + (1 << 30))
    return generate(config.task, count, config.seed, "test")


def _words(config: TrainConfig) -> PreTrainedTokenizerBase:
    if config.task == "prosqa":
        raise WorkbenchError(
            "Sentences of ProsQA are not trained from scratch.",
            "They are read by a pre-trained tokenizer; models from scratch read its graphs, one token per name.",
            'Name a pre-trained model in `start` (such as "gpt2"), or set `task: edges`.',
        )
    return words_tokenizer(config.task)


def _is_ours(directory: Path) -> bool:
    """Say whether a directory's config.json has `coconut`; one that cannot be read is reported later."""
    try:
        return '"coconut"' in (directory / "config.json").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def _pretrained(directory: Path, name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model that has never had a thought; no code that comes with it is run, and pickles are refused."""
    require_weights(directory, name)
    require_tokenizer(directory, name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # the tokenizers library raises plain Exception for a damaged file
        raise WorkbenchError(
            f"The pre-trained model {name} cannot be read.",
            reason(error),
            "Use GPT-2, Llama or Qwen2, with weights, tokenizer and config.json saved together by save_pretrained().",
        ) from error
    return model, tokenizer
