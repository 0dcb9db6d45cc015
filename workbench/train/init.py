"""What a run begins with: a model with random weights or a given one, its tokenizer, its optimizers."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from workbench.errors import WorkbenchError
from workbench.model import limits
from workbench.model.adapters import keep_layers
from workbench.model.checkpoint import (
    Checkpoint,
    find,
    load_checkpoint,
    make_checkpoint,
    prepare_pretrained,
    read_config,
    read_tokenizer,
    reason,
    require_supported,
    require_tokenizer,
    require_weights,
)
from workbench.model.formats import words_tokenizer
from workbench.model.recurrence import IDENTITY, Recurrence, ThoughtHead, attach_head
from workbench.model.value_head import value_head
from workbench.problems.vocabulary import edges_tokenizer
from workbench.train.config import ModelConfig, TrainConfig, checkpoint_fields


def build_model(
    config: ModelConfig, seed: int, max_positions: int = 1024, tokenizer: PreTrainedTokenizerBase | None = None
) -> Qwen2ForCausalLM:
    """Build a Qwen2 model for the words of a tokenizer, by default that of the edges format.

    Matrices at 1/sqrt(fan-in), projections back into the residual stream divided by sqrt(2 * layers). The final norm's
    gain equals the embeddings' spread, so that a thought fed back is as long as an embedding; at gain 1 it would drown
    what the layers write. Biases on q, k, v let a head look one token back whatever the content.
    """
    words = tokenizer or edges_tokenizer()
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(words),
            hidden_size=config.width,
            intermediate_size=config.mlp_width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=max_positions,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_base},
            tie_word_embeddings=True,
            pad_token_id=cast(int, words.pad_token_id),
            eos_token_id=cast(int, words.eos_token_id),
            bos_token_id=cast(int, words.eos_token_id),
        )
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed_tokens" in name:
                parameter.normal_(0, config.embedding_std, generator=generator)
            elif name == "model.norm.weight":
                parameter.fill_(config.embedding_std)
            elif parameter.dim() == 1:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                spread = parameter.shape[1] ** -0.5
                if "o_proj" in name or "down_proj" in name:
                    spread /= (2 * config.layers) ** 0.5
                parameter.normal_(0, spread, generator=generator)
    return model


def begin(config: TrainConfig) -> Checkpoint:
    """Return what a run begins with, as it is before the first step.

    `config.start` may name a checkpoint of the workbench, which goes on with the method of this run (the official
    GSM8k regime starts Coconut from CoT) and is made larger first where `config.model` is (`enlarged`); or a
    pre-trained model, which gets the markers it lacks and reads the text format. Without it a small model with random
    weights is built, for the words of the task.

    Raises:
        WorkbenchError: There is no such model, it does not fit the task, or the task needs one.
    """
    if not config.start:
        meta = checkpoint_fields(config)
        name, tokenizer = ("edges", edges_tokenizer()) if config.task == "edges" else ("words", _words(config.task))
        model = build_model(config.model, config.seed, tokenizer=tokenizer)
        return make_checkpoint(model, tokenizer, meta | {"format": name}, config.name)
    directory, name = check_start(config)
    start = None
    if _is_ours(directory):
        before = load_checkpoint(directory)
        start = before.supervision
    else:
        before = prepare_pretrained(*_pretrained(directory, name), name=name)
    made = config.recurrence
    if made.marked:
        made = replace(made, token=before.format.marker.thought)
    if before.recurrence not in (IDENTITY, made):
        raise WorkbenchError(
            f"Cannot begin from {before.name}.",
            f"What it feeds as a thought is {before.recurrence}; training would feed {made}.",
            "Name a checkpoint whose thoughts are hidden states, a pre-trained model, or the same `recurrence`.",
        )
    if made.has_head and not before.recurrence.has_head:
        attach_head(before.model, made, first_head(before.model, made, config.seed))
    if config.task == "edges" and (before.format.name != "edges" or before.format.markers):
        raise WorkbenchError(
            f"Cannot begin from {before.name}.",
            "It does not read the edges format without markers.",
            "Name a checkpoint trained on the task edges, or leave `start` out.",
        )
    if config.model != ModelConfig() and _differences(sizes(before.model.config), config.model):
        before = replace(before, model=enlarged(before.model, config.model, config.seed))
    if config.layers:
        keep_layers(before.model, config.layers)
    fields = checkpoint_fields(replace(config, recurrence=made), start)
    return make_checkpoint(before.model, before.tokenizer, before.meta | fields, config.name)


def first_head(model: PreTrainedModel, recurrence: Recurrence, seed: int) -> dict[str, Tensor]:
    """Return the first weights of a thought head: what it feeds is as long as an embedding.

    Where the hidden state is added to the MLP's output, the MLP gives nothing at first.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        state = ThoughtHead(model.config.hidden_size, recurrence).state_dict()
    spread = float(cast(nn.Embedding, model.get_input_embeddings()).weight.detach().float().std())
    if recurrence.norm:
        state["norm.weight"].fill_(spread)
    if recurrence.skip:
        for name in ("second.weight", "second.bias"):
            state[name].zero_()
    return state


def check_start(config: TrainConfig) -> tuple[Path, str]:
    """Return the directory that `config.start` names, and its name, without reading any weights.

    Raises:
        WorkbenchError: There is no such checkpoint, or `config.model` asks for other sizes than it has.
    """
    directory, name = find(config.start)
    require_supported(read_config(directory, name), name)
    if config.model == ModelConfig():
        return directory, name
    try:
        held = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception:  # a damaged file is reported where the model is read
        return directory, name
    has = sizes(held)
    other = _differences(has, config.model)
    if other and not _grows(has, config.model, held):
        raise WorkbenchError(
            f"`start` and `model` do not agree: the run would begin with {name}.",
            "; ".join(other),
            "Leave `model` out to train the checkpoint, or `start` to train a new model of these sizes. A model from"
            " scratch can be made larger: no fewer layers, as many more heads as it is wider, an MLP no narrower.",
        )
    return directory, name


def sizes(config: PreTrainedConfig) -> ModelConfig:
    """Return the sizes of a causal language model; spread and rotary base are not read."""
    mlp = getattr(config, "intermediate_size", None) or 0
    return ModelConfig(config.hidden_size, config.num_hidden_layers, config.num_attention_heads, mlp)


def _differences(has: ModelConfig, wanted: ModelConfig) -> list[str]:
    names = ("width", "layers", "heads", "mlp_width")
    return [
        f"model.{n} is {getattr(wanted, n)}, it has {getattr(has, n)}"
        for n in names
        if getattr(wanted, n) != getattr(has, n)
    ]


def _grows(has: ModelConfig, wanted: ModelConfig, held: PreTrainedConfig) -> bool:
    return (
        held.model_type == "qwen2"
        and held.num_key_value_heads == has.heads
        and has.layers <= wanted.layers
        and has.width <= wanted.width
        and has.mlp_width <= wanted.mlp_width
        and has.width * wanted.heads == wanted.width * has.heads  # heads keep their size
    )


def enlarged(model: PreTrainedModel, config: ModelConfig, seed: int) -> Qwen2ForCausalLM:
    """Return a larger model that computes the same function (after Net2Net, Chen et al. 2016, arXiv 1511.05641).

    What is new reads at random and writes nothing: new dimensions of the residual stream are zero; new heads, MLP
    neurons and layers have random inputs and zero outputs, and new layers come last. Gains are multiplied by the root
    of the old width over the new, because the norms divide by the root mean square over more dimensions. So logits and
    thoughts stay what they were (up to rounding) until the first step, and every new weight soon gets a gradient.

    Args:
        model: A Qwen2 model as `build_model` makes it.
        config: Its new sizes: heads of the same size, nothing smaller.
        seed: Of the random inputs, spread by 1/sqrt(fan-in).
    """
    made = build_model(config, seed, model.config.max_position_embeddings)
    made.resize_token_embeddings(model.config.vocab_size, mean_resizing=False)
    made.config.rope_parameters = model.config.rope_parameters
    gain = (model.config.hidden_size / config.width) ** 0.5
    held = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            old = held.get(name)  # None: of a new layer
            if "norm" in name:
                parameter.fill_(1.0 if old is None else float(old.mean()))
            elif parameter.dim() == 1 or "embed_tokens" in name or "o_proj" in name or "down_proj" in name:
                parameter.zero_()
            if old is not None:
                parameter[tuple(slice(size) for size in old.shape)] = old
            if "norm" in name:
                parameter.mul_(gain)
    return made


def _words(task: str) -> PreTrainedTokenizerBase:
    if task == "prosqa":
        raise WorkbenchError(
            "Sentences of ProsQA are not trained from scratch.",
            "They are read by a pre-trained tokenizer; models from scratch read its graphs, one token per name.",
            'Name a pre-trained model in `start` (such as "gpt2"), or set `task: edges`.',
        )
    return words_tokenizer(task)


def _is_ours(directory: Path) -> bool:
    """Say whether a directory's config.json has `coconut`; one that cannot be read is reported later."""
    try:
        return '"coconut"' in (directory / "config.json").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def _pretrained(directory: Path, name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model that has never had a thought; no code that comes with it is run, and pickles are refused."""
    weights = require_weights(directory, name)
    require_tokenizer(directory, name)
    tokenizer = read_tokenizer(directory, name)
    try:
        limits.require_room(directory, weights)
        model = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # a damaged file makes transformers raise errors of every kind
        raise WorkbenchError(
            f"The pre-trained model {name} cannot be read.",
            reason(error),
            "Use GPT-2, Llama or Qwen2, with weights, tokenizer and config.json saved together by save_pretrained().",
        ) from error
    return model, tokenizer


def build_optimizer(model: PreTrainedModel, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Build the optimizers of a run.

    Muon (torch.optim.Muon) takes the matrices of the layers; embeddings, norms and biases always go to AdamW. Only
    matrices decay, unless the configuration says `decay_all`.
    """
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad and not n.startswith("value_head.")]
    hidden = [p for n, p in named if p.dim() == 2 and "embed" not in n and "lm_head" not in n]
    taken = {id(p) for p in hidden} if config.optimizer == "muon" else set()
    rest = [p for _, p in named if id(p) not in taken]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if p.dim() == 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": config.weight_decay * config.decay_all},
    ]
    if config.objective == "latent_value":
        head = list(value_head(model).parameters())
        groups.append({"params": head, "weight_decay": config.weight_decay, "lr": config.reward.head.learning_rate})
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=config.learning_rate, betas=cast(Any, config.betas), fused=True)
    ]
    if config.optimizer == "muon":
        optimizers.append(
            torch.optim.Muon(hidden, lr=config.muon_learning_rate, weight_decay=config.weight_decay, momentum=0.95)
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers
