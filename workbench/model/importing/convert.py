"""Model files of other projects become checkpoints: read once, checked key by key, written whole or not at all.

No key is ignored: what is missing, left over or of another shape is listed. What no file says is asked for.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.pytorch_utils import Conv1D

from workbench.errors import LONGEST_LISTING, WorkbenchError, clip, grouped, listed, unknown
from workbench.files import file_sha256, read_object, replacing
from workbench.model import limits
from workbench.model.checkpoint import (
    TOKENIZERS,
    Checkpoint,
    load_checkpoint,
    read_config,
    read_tokenizer,
    reason,
    require_supported,
)
from workbench.model.importing.archives import Weights, read_weights, require_floats
from workbench.model.importing.families import (
    DECODER,
    FAMILIES,
    FORMS,
    OFFICIAL_MARKERS,
    Family,
    recognise,
    superposition_tokenizer,
)
from workbench.model.importing.recomputing import EMBEDDINGS, Lora, compare
from workbench.model.prompts import Wording
from workbench.model.reader import FOLDER, load_reader, projection_faults, save_reader
from workbench.model.recurrence import IDENTITY, MIXTURE_FIELDS, STOP_FIELDS, Recurrence
from workbench.model.supervision import Supervision
from workbench.problems.vocabulary import MARKERS, Markers, marker_ids
from workbench.settings import build

_BUFFERS = re.compile(r"(h\.\d+\.attn\.(masked_)?bias|rotary_emb\.inv_freq)$")
"""Constants that earlier versions of transformers stored among the weights."""
_LORA = re.compile(r"(.*)\.lora_([AB])\.default\.weight")
_MARKER_IDS = {"bot": "latent_start_id", "eot": "latent_end_id", "thought": "latent_id"}
"""Fields of a foreign config.json that number the markers."""
_TOKENIZER_FILES = ["config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json"]
_WEIGHT_FILES = ("pytorch_model.bin", "checkpoint_*", "*.bin", "*.pt", "*.pth", "*.ckpt")
_PART = re.compile(r"(.+)-\d{5}-of-(\d{5})\.bin")
"""One of the files that transformers split large weights into, each a file of torch.save."""
NONE = "none"
"""In place of a second model's base: the model is left out."""
_NOT_A_MODEL = (
    "training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.bin", "scheduler.pt", "adapter_model.bin",
)  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """What no file says of itself; None where it was not told."""

    thoughts: int | None = None
    per_step: int | None = None
    says: Literal["answer", "chain"] | None = None
    prompt: str | None = None
    feedback: Literal["hidden", "pause"] | None = None
    lora_alpha: float | None = None
    reader_base: str | Path | None = None
    mixture: Mapping[str, object] | None = None
    wording: Mapping[str, object] | None = None


class NotToldError(WorkbenchError):
    """Something is needed that no file says: `questions` has the options, and the choices known for each."""

    def __init__(self, source: str, family: Family, questions: Mapping[str, str]) -> None:
        self.questions = dict(questions)
        asked = "; ".join(f"--{name.replace('_', '-')} ({known})" for name, known in questions.items())
        super().__init__(
            f"{source} does not say how it thinks.",
            f"It is a file of {family.title} ({family.source}), none of which says: {asked}.",
            "Give these options; what is known of its repository's own runs stands in brackets.",
        )


@dataclass(frozen=True)
class Imported:
    """What was imported."""

    checkpoint: Checkpoint
    """Loaded from what was written."""
    directory: Path
    family: Family
    left_out: dict[str, str]
    """Beginnings of keys that were left out, and what they are."""
    assumed: dict[str, str]
    """What neither a file nor an option said: by its name, what was taken and how to change it."""
    difference: float
    """Largest absolute difference between its logits and those of a plain recomputation from the file's tensors."""
    largest_logit: float


def import_model(
    source: str | Path,
    out: str | Path,
    base: str | Path | None = None,
    *,
    thoughts: int | None = None,
    per_step: int | None = None,
    says: Literal["answer", "chain"] | None = None,
    prompt: str | None = None,
    feedback: Literal["hidden", "pause"] | None = None,
    lora_alpha: float | None = None,
    reader_base: str | Path | None = None,
    mixture: Mapping[str, object] | None = None,
    wording: Mapping[str, object] | None = None,
) -> Imported:
    """Make a checkpoint of the workbench of a model file that another project wrote.

    Args:
        source: A file (`checkpoint_50`, `pytorch_model.bin`, safetensors), a directory with one, or a name on the hub.
        out: Directory to write, which may not be there yet.
        base: What the file was trained from: a directory or a name on the hub that has its config.json and tokenizer,
            or a config.json. Not needed where these lie beside the file.
        thoughts: How many thoughts it was trained with.
        per_step: How many of them stand for one step.
        says: What it says after them: the answer at once, or the steps that are left and then the answer.
        prompt: What stands around question and thoughts (`families.FORMS`).
        feedback: What is fed where the file has a learned pause.
        lora_alpha: Of LoRA that is not merged yet: its update is multiplied by alpha / rank.
        reader_base: What the second model of SIM-CoT was trained from, where that is not `base`: a directory or a name
            on the hub with its config.json, or a config.json. "none" leaves the second model out.
        mixture: Of a plain language model that is to feed mixtures of token embeddings: fields of `Recurrence`, of them
            those in `recurrence.MIXTURE_FIELDS`; `stop_token` may be a text, whose first token is taken.
        wording: Fields of `prompts.Wording` in place of those of the prompt form.

    Raises:
        WorkbenchError: A file is damaged, malicious or of no known kind; its keys do not fit; something is not told;
            or the result does not compute what the file's tensors do. Nothing is written then.

    Examples:
        >>> try:
        ...     wb.import_model("checkpoint_50", "mine", base="gpt2", thoughts=6)
        ... except wb.WorkbenchError as error:
        ...     print(error.what)
        There is no file checkpoint_50.
    """
    for name in sorted(set(mixture or ()) - set(MIXTURE_FIELDS)):
        raise unknown("mixture field", name, MIXTURE_FIELDS)
    told = Answers(thoughts, per_step, says, prompt, feedback, lora_alpha, reader_base, mixture, wording)
    target = Path(out)
    if target.exists() or target.is_symlink():
        raise WorkbenchError(f"{target} exists.", "An import replaces nothing.", "Name another, or remove it.")
    found = _find(source)
    raw = {key: tensor for file in found.weights for key, tensor in read_weights(file).items()}
    beside = read_config(found.directory, str(found.directory)) if found.directory else {}
    settings, words, base_name = _base(found, beside, base)
    read = _read(raw, settings, beside, words, str(source), told)
    with replacing(target, folder=True) as part:
        read.config.save_pretrained(part)
        read.tokenizer.save_pretrained(part)
        save_file(read.state, part / "model.safetensors", metadata={"format": "pt"})
        if read.head:
            save_file(read.head, part / "thought_head.safetensors")
        if read.reader:
            config, state, projections = read.reader
            save_reader(config, state, part, projections, first=0 if read.family.around else 1)
        try:
            checkpoint = load_checkpoint(part)
            if read.reader:
                load_reader(part, checkpoint)
        except WorkbenchError as error:
            what, why = (text.replace(part.name, target.name) for text in (error.what, error.why))
            raise WorkbenchError(what, why, error.do) from error
        difference, largest = compare(checkpoint, read.state, read.head, read.lora)
        if not difference <= 1e-3 * max(1.0, largest):  # not a number included
            raise WorkbenchError(
                f"{source} was not understood.",
                f"Its logits differ by {difference:.2g} from a plain recomputation from its tensors.",
                "Check --base and --lora-alpha.",
            )
        sums = {file.name: file_sha256(file) for file in found.weights}
        meta = {**checkpoint.meta, "imported": {**read.told, "source": found.name, "base": base_name, "sha256": sums,
                "difference": difference, "workbench": version("coconut-workbench")}}  # fmt: skip
        checkpoint.model.config.coconut = read.config.coconut = meta
        read.config.save_pretrained(part)
    checkpoint = replace(checkpoint, name=target.name, meta=meta)
    return Imported(checkpoint, target, read.family, read.left_out, read.assumed, difference, largest)


@dataclass(frozen=True)
class _Found:
    name: str
    weights: list[Path]
    directory: Path | None
    """Where config.json lies."""


def _find(source: str | Path) -> _Found:
    """Return the files of weights that a source names."""
    path = Path(source)
    if not path.exists() and isinstance(source, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        wanted = [*_TOKENIZER_FILES, "*.safetensors", "*.safetensors.index.json", *_WEIGHT_FILES]
        path = _fetch(source, wanted)
    if not path.is_dir():
        beside = path.parent if path.name in ("model.safetensors", "pytorch_model.bin") else None
        return _Found(path.name, [path], beside if beside and (beside / "config.json").is_file() else None)
    named = Path(source).name if path == Path(source) else str(source)
    own = path if (path / "config.json").is_file() else None
    try:
        files = limits.weight_files(path)
    except ValueError as error:
        raise WorkbenchError(f"{source} cannot be read.", reason(error), "Copy or download it again.") from error
    if all(file.is_file() for file in files):
        return _Found(named, files, own)
    for pattern in _WEIGHT_FILES:
        files = [file for file in sorted(path.glob(pattern)) if file.is_file() and file.name not in _NOT_A_MODEL]
        parts = [part for file in files if (part := _PART.fullmatch(file.name))]
        if parts and len(parts) == len(files) and len({(part[1], part[2]) for part in parts}) == 1:
            if len(parts) != int(parts[0][2]):
                why = f"It has {len(parts)} of {int(parts[0][2])} files {parts[0][1]}-….bin."
                raise WorkbenchError(f"{source} is not complete.", why, "Copy or download the others.")
            return _Found(named, files, own)
        if len(files) == 1:
            return _Found(named, files, own)
        if files:
            names = ", ".join(file.name for file in files[:5])
            raise WorkbenchError(f"{source} holds several models.", f"There are {names}.", "Name one of the files.")
    if updates := [file.name for file in sorted(path.glob("adapter_model.*"))]:
        raise WorkbenchError(
            f"{source} holds no whole model.",
            f"{updates[0]} is a low-rank update, without the weights that it is added to.",
            "Load it with peft, and import what `merge_and_unload()` and `save_pretrained` write, tokenizer beside it.",
        )
    raise WorkbenchError(
        f"There are no weights in {source}.", "It has no safetensors, and no file of torch.save.", "Name the file."
    )


def _fetch(name: str, patterns: list[str]) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns=["*/*"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        why = f"There is no such path, and the hub did not give it: {reason(error)}"
        raise WorkbenchError(f"There is no {name}.", why, "Check the path, the name and the network.") from error


def _base(
    found: _Found, beside: dict[str, Any], base: str | Path | None
) -> tuple[dict[str, Any], PreTrainedTokenizerBase | None, str]:
    """Return the configuration of the language model, its tokenizer and the base's name."""
    if base is None:
        if not beside:
            raise WorkbenchError(
                f"{found.name} needs its base.",
                "The file has weights alone: neither the architecture nor the tokenizer is in it.",
                "Give --base: a directory or hub name with config.json and tokenizer, such as openai-community/gpt2, "
                "or the config.json of Reasoning by Superposition.",
            )
        return beside, _tokenizer(cast(Path, found.directory)), ""
    own, place = _settings(base, _TOKENIZER_FILES)
    return beside or own, _tokenizer(place) if place else None, _named(base)


def _settings(base: str | Path, patterns: list[str]) -> tuple[dict[str, Any], Path | None]:
    """Return a base's configuration, and its directory where it is one or was fetched into one."""
    if not str(base).strip():
        raise WorkbenchError("The base has no name.", "An empty text was given.", "Give a directory or a hub name.")
    path = Path(base)
    if path.is_file():
        try:
            return read_object(path), None
        except ValueError as error:
            raise WorkbenchError(f"{path} is no configuration.", reason(error), "Name a config.json.") from error
    place = path if path.is_dir() else _fetch(str(base), patterns)
    return read_config(place, str(place)), place


def _named(base: str | Path) -> str:
    path = Path(base)
    return path.name if path.is_file() else path.resolve().name if path.is_dir() else str(base)


def _tokenizer(directory: Path) -> PreTrainedTokenizerBase | None:
    there = any((directory / name).is_file() for name in TOKENIZERS)
    return read_tokenizer(directory, directory.name) if there else None


@dataclass(frozen=True)
class _Read:
    """What a file's tensors become."""

    family: Family
    config: PreTrainedConfig
    tokenizer: PreTrainedTokenizerBase
    state: Weights
    head: Weights
    lora: Lora
    told: dict[str, Any]
    left_out: dict[str, str]
    assumed: dict[str, str]
    reader: tuple[PreTrainedConfig, Weights, Weights] | None = None
    """The second language model that reads the thoughts, and what stands before and after it."""


def _read(
    raw: Weights,
    settings: dict[str, Any],
    beside: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase | None,
    source: str,
    told: Answers,
) -> _Read:
    rows = next((len(tensor) for key, tensor in raw.items() if EMBEDDINGS.fullmatch(key)), 0)
    if not rows:
        names = ", ".join(listed([clip(key) for key in raw], 3))
        raise WorkbenchError(
            f"{source} is of no known family.",
            f"None of its keys is the input embedding of GPT-2, Llama or Qwen2; it has {names}.",
            "See the page on importing for the families that are known.",
        )
    known = recognise(raw, rows, _has_markers(tokenizer, beside, rows), beside)
    family = FAMILIES[known]
    adapted = f"{family.prefix}base_model.model."  # what peft puts around a model with LoRA
    prefix = adapted if any(key.startswith(adapted) for key in raw) else family.prefix
    own, head, faults = _split(raw, family, prefix)
    projected = any(key.startswith(tuple(family.around)) for key in raw) if family.around else False
    told, assumed = _asked(told, family, source, any(_LORA.fullmatch(key) for key in own), projected)
    settings = {**settings, "model_type": str(settings.get("model_type", "")).removeprefix("pccot-")}
    require_supported(settings, source)
    words = 0 if tokenizer is None else len(tokenizer)
    tokenizer = _with_markers(tokenizer, family, settings, rows, source)
    if known == "markers" and len(tokenizer) > words:
        assumed["markers"] = (
            f"rows {words} to {rows - 1} are {', '.join(OFFICIAL_MARKERS)}, which its tokenizer lacks; change it with "
            "a tokenizer that has them"
        )
    config, wanted, tied, turned = _built({**settings, "vocab_size": rows}, source)

    own, lora = _merged(own, turned, told.lora_alpha)
    faults += [(prefix * (key in own) + key, about) for key, about in _unfit(own, wanted, tied)]
    reader, left_out = None, {}
    if str(told.reader_base) == NONE:
        starts = {family.reader: DECODER, **family.around}
        left_out = {start: about for start, about in starts.items() if any(key.startswith(start) for key in raw)}
    elif family.reader:
        base_words = len(tokenizer) - sum(token in tokenizer.get_vocab() for token in family.adds)
        reader, wrong = _reader(raw, family, settings, told.reader_base, source, config.hidden_size, base_words, rows)
        faults += wrong
    if faults:
        second = f" --reader-base is that of the second model; {NONE} leaves it out." if family.reader else ""
        raise WorkbenchError(
            f"{source} does not fit its base.",
            f"It is a file of {family.title} and has {len(raw)} tensors. Faults: {len(faults)}.\n    "
            + "\n    ".join(grouped(faults)),
            f"Give the base that it was trained from.{second}",
            longest=LONGEST_LISTING,
        )
    require_floats(Path(source), own | head)
    embedding = next(key for key in own if EMBEDDINGS.fullmatch(key))
    copies = {prefix + key: own[key] for key in tied[embedding] & own.keys()}
    copies |= {family.copy: raw[family.copy]} if family.copy in raw else {}
    if different := [key for key, tensor in copies.items() if not torch.equal(tensor, own[embedding])]:
        raise WorkbenchError(
            f"{source} contradicts itself.",
            f"{' and '.join(different)} should repeat {prefix}{embedding}, and has other numbers.",
            "Give a base whose config.json has tie_word_embeddings false if the two were trained apart.",
        )

    state = {key: tensor.contiguous() for key, tensor in own.items() if key == embedding or not tied[key]}
    form = FORMS[cast(str, told.prompt)]
    names = {
        role: tokenizer.convert_ids_to_tokens(number)
        for role, field in _MARKER_IDS.items()
        if isinstance(number := beside.get(field), int) and 0 <= number < len(tokenizer)
    }
    wording = replace(form.wording, **names)  # type: ignore[arg-type]
    if told.wording and form.format == "edges":
        raise WorkbenchError(f"{source} has no wording.", f"{family.title} is asked by edges.", "Leave --wording out.")
    if told.wording:
        asked = build(Wording, dict(told.wording), "wording")
        wording = replace(wording, **{name: getattr(asked, name) for name in told.wording})
    wording = replace(wording, **{role: tokenizer.eos_token for role in MARKERS if getattr(wording, role) == "eos"})
    marker = marker_ids(tokenizer, bot=wording.bot, eot=wording.eot, thought=wording.thought)
    mixes = None if told.mixture is None else _mixture(told.mixture, tokenizer, rows)
    made = _recurrence(family, head, beside, marker, assumed) if mixes is None else mixes
    learned = family.pause and told.feedback == "pause"
    placeholders = mixes is None and family is FAMILIES["pccot"] and not made.sweeps
    if placeholders:
        made = IDENTITY
        left_out |= {"prj.": "the projection: no sweep makes thoughts (num_iterations)"} if head else {}
        head = {}
    if learned:  # a row of its own: tied, it would change what the LM head says
        state["lm_head.weight"] = state.get("lm_head.weight", state[embedding]).clone()
        config.tie_word_embeddings = False
        state[embedding] = state[embedding].clone()
        state[embedding][marker.thought] = raw[family.pause].reshape(-1)
    kinds = {tensor.dtype for tensor in state.values()}
    config.dtype = kinds.pop() if len(kinds) == 1 else torch.float32
    config.pad_token_id, config.bos_token_id, config.eos_token_id = (
        tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id,
    )  # fmt: skip
    config.coconut = {
        "version": 1, "format": form.format, "markers": form.markers, "thoughts": told.thoughts,
        "thoughts_per_step": told.per_step, "says": told.says,
        "fed": "pause" if learned or placeholders else "hidden", "wording": asdict(wording),
        "recurrence": asdict(made),
        "supervision": asdict(Supervision("not known" if told.thoughts else "no thoughts")),
    }  # fmt: skip
    if reader:
        config.coconut["reader"] = FOLDER
    options = {name: value for name, value in asdict(told).items() if value is not None}
    if told.reader_base is not None:
        options["reader_base"] = _named(told.reader_base)
    told_of: dict[str, Any] = {"family": known, **options, "assumed": list(assumed)}
    return _Read(family, config, tokenizer, state, head, lora, told_of, left_out, assumed, reader)


def _reader(
    raw: Weights,
    family: Family,
    settings: dict[str, Any],
    base: str | Path | None,
    source: str,
    width: int,
    fewest: int,
    most: int,
) -> tuple[tuple[PreTrainedConfig, Weights, Weights] | None, list[tuple[str, str]]]:
    """Return the second model of a file and what stands around it, and what is wrong with them.

    Args:
        raw: All tensors of the file.
        family: Of the file.
        settings: Configuration of the model that thinks, the second model's where `base` is not told.
        base: What the second model was trained from.
        source: Named in errors.
        width: Of a thought.
        fewest: Tokens that the second model must be able to say.
        most: Tokens that the model that thinks has embeddings for.
    """
    own = {
        name: tensor
        for key, tensor in raw.items()
        if key.startswith(family.reader) and not _BUFFERS.search(name := key[len(family.reader) :])
    }
    around = {key: raw[key].contiguous() for key in raw if key.startswith(tuple(family.around) or "\0")}
    if base is not None:
        settings, _ = _settings(base, ["config.json"])
        require_supported(settings, str(base))
    embedding = next((key for key in own if EMBEDDINGS.fullmatch(key)), "")
    rows = len(own[embedding]) if embedding and own[embedding].ndim else int(settings["vocab_size"])
    config, wanted, tied, _ = _built({**settings, "vocab_size": rows}, source)
    faults = [(family.reader + key, about) for key, about in _unfit(own, wanted, tied)]
    faults += projection_faults(around, config, width, fewest, most)
    if faults:
        return None, faults
    held = own | around
    require_floats(Path(source), held)
    if strange := [key for key, tensor in held.items() if not torch.isfinite(tensor).all()]:
        return None, [(key if key in around else family.reader + key, "not finite") for key in strange]
    copies = tied[embedding] & own.keys()
    config.tie_word_embeddings = all(torch.equal(own[key], own[embedding]) for key in copies) and bool(tied[embedding])
    kept = {key for key in own if key == embedding or not tied[key] or not config.tie_word_embeddings}
    config.dtype = own[embedding].dtype
    return (config, {key: own[key].clone(memory_format=torch.contiguous_format) for key in kept}, around), []


def _has_markers(tokenizer: PreTrainedTokenizerBase | None, beside: Mapping[str, Any], rows: int) -> bool:
    if tokenizer is None or len(tokenizer) > rows:
        return False
    named = any(name in tokenizer.get_vocab() for name in MARKERS["thought"])
    numbered = any(isinstance(beside.get(field), int) and beside[field] >= 0 for field in _MARKER_IDS.values())
    return named or numbered or rows == len(tokenizer) + len(OFFICIAL_MARKERS)


def _split(raw: Weights, family: Family, prefix: str) -> tuple[Weights, Weights, list[tuple[str, str]]]:
    """Return the tensors of the language model and of the thought head, and what is not known."""
    own: Weights = {}
    head: Weights = {}
    strange: list[tuple[str, str]] = []
    for key, tensor in raw.items():
        if family.reader and key.startswith((family.reader, *family.around)):  # `_reader`
            continue
        part = next((start for start in family.head if key.startswith(start)), None)
        if part is not None:
            head[family.head[part] + key.removeprefix(part)] = tensor.contiguous()
        elif key in (family.copy, family.pause) or _BUFFERS.search(key):
            continue
        elif key.startswith(prefix):
            own[key.removeprefix(prefix)] = tensor
        else:
            strange.append((key, f"unexpected {tuple(tensor.shape)}"))
    return own, head, sorted(strange)


def _asked(
    told: Answers, family: Family, source: str, has_lora: bool, projected: bool
) -> tuple[Answers, dict[str, str]]:
    """Return what was told, with what is assumed of the family, and a line about each assumption.

    Args:
        told: By the user.
        family: Of the file.
        source: Named in errors.
        has_lora: Whether it has LoRA that is not merged.
        projected: Whether projections stand around its second model, which then is not of the base's size.

    Raises:
        NotToldError: Something is missing.
    """
    forms = "; ".join(f"{name}: {FORMS[name].about}" for name in family.forms)
    asks = {name: known or forms for name, known in family.asks.items() if has_lora or name != "lora_alpha"}
    asks |= {"reader_base": f"decoder_path of its training; or {NONE}: without the second model"} if projected else {}
    if told.mixture is not None:
        if family not in (FAMILIES["words"], FAMILIES["markers"]):
            why = f"It is a file of {family.title}, whose thoughts are made in its own way."
            raise WorkbenchError(f"{source} feeds no mixtures.", why, "Leave --mixture out.")
        asks = {"thoughts": "the largest number of thoughts", **asks}
    if missing := {name: known for name, known in asks.items() if getattr(told, name) is None}:
        raise NotToldError(source, family, missing)
    choices = {"prompt": tuple(FORMS), "says": ("answer", "chain"), "feedback": ("pause", "hidden")}
    for name, known in choices.items():
        if (given := getattr(told, name)) not in (None, *known):
            raise unknown(name, given, known)
    if "thoughts" not in asks and told.thoughts:
        raise WorkbenchError(
            f"{source} has no thoughts.",
            f"It is a file of {family.title}.",
            "Leave --thoughts out, or give 0; --mixture lets a plain language model feed mixtures of embeddings.",
        )
    if told.reader_base is not None and not family.reader:
        raise WorkbenchError(
            f"{source} has no second model.", f"It is a file of {family.title}.", "Leave --reader-base out."
        )
    if family.around and (told.per_step or 1) > 1 and str(told.reader_base) != NONE:
        why = f"A step has one thought in {family.title}, and here are {told.per_step} thoughts per step."
        raise WorkbenchError(
            f"The second model of {source} reads one thought at a time.", why,
            f"Leave --per-step out, or give --reader-base {NONE}, which leaves the second model out.",
        )  # fmt: skip
    settled = {"thoughts": 0, "per_step": 1, "says": "answer", "prompt": family.forms[0]}
    settled = {name: value for name, value in settled.items() if getattr(told, name) is None}
    lines = {
        "per_step": "one thought per step; change it with --per-step",
        "says": "the answer follows the thoughts at once; change it with --says",
        "prompt": f"prompt form {family.forms[0]} ({FORMS[family.forms[0]].about}); change it with --prompt",
    }
    thinks = "thoughts" in asks  # without thoughts there are none per step
    assumed = {name: line for name, line in lines.items() if name in settled and (thinks or name != "per_step")}
    return replace(told, **settled), assumed  # type: ignore[arg-type]


def _with_markers(
    tokenizer: PreTrainedTokenizerBase | None, family: Family, settings: Mapping[str, Any], rows: int, source: str
) -> PreTrainedTokenizerBase:
    """Return the tokenizer with the markers at the rows where the family has them.

    Raises:
        WorkbenchError: There is no tokenizer, or it does not belong to so many rows.
    """
    if family.words:
        return superposition_tokenizer()
    if tokenizer is None:
        raise WorkbenchError(
            f"{source} has no tokenizer.", "None is beside it, or in the base.", "Give a --base with a tokenizer."
        )
    if family.adds[:1] == ("[PAD]",):
        # Its markers have ids and no words. Where the vocabulary is larger than the tokenizer the gap is filled.
        size = int(settings.get("vocab_size", 0))
        tokenizer.add_tokens([f"<|unused-{number}|>" for number in range(len(tokenizer), size)], special_tokens=True)
        if rows >= size + len(family.adds) and len(tokenizer) == size:
            tokenizer.add_tokens(list(family.adds), special_tokens=True)
            tokenizer.pad_token = tokenizer.pad_token or family.adds[0]
    else:
        adds = family.adds or (OFFICIAL_MARKERS if rows == len(tokenizer) + len(OFFICIAL_MARKERS) else ())
        tokenizer.add_tokens([token for token in adds if token not in tokenizer.get_vocab()], special_tokens=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    lacks = [token for token in family.adds if token not in tokenizer.get_vocab()]
    exact = family.adds == OFFICIAL_MARKERS
    if lacks or len(tokenizer) > rows or (exact and len(tokenizer) != rows):
        raise WorkbenchError(
            f"{source} does not fit the tokenizer of its base.",
            f"It embeds {rows} tokens; the tokenizer has {len(tokenizer)}, the markers of {family.title} included. "
            "Known: 50257 + 3 of GPT-2, 128256 + 3 of Llama 3, 40 of Reasoning by Superposition.",
            "Give the base that it was trained from.",
        )
    return tokenizer


def _built(
    settings: dict[str, Any], source: str
) -> tuple[PreTrainedConfig, dict[str, tuple[int, ...]], dict[str, set[str]], set[str]]:
    """Return a model's configuration, the shape of each tensor, the names each has else, and modules of Conv1D."""
    try:
        config = CONFIG_MAPPING[settings["model_type"]].from_dict(settings)
        with torch.device("meta"):
            model = cast(PreTrainedModel, AutoModelForCausalLM.from_config(config))
    except Exception as error:  # a damaged configuration makes transformers raise errors of every kind
        raise WorkbenchError(
            f"The model of {source} cannot be built from its configuration.", reason(error), "Check --base."
        ) from error
    config.architectures = [type(model).__name__]
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    same: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        same.setdefault(id(parameter), set()).add(name)
    tied = {name: names - {name} for names in same.values() for name in names}
    turned = {name for name, module in model.named_modules() if isinstance(module, Conv1D)}
    return config, shapes, {name: tied.get(name, set()) for name in shapes}, turned


def _unfit(
    own: Weights, wanted: Mapping[str, tuple[int, ...]], tied: Mapping[str, set[str]]
) -> Iterator[tuple[str, str]]:
    """Yield the tensors that are missing, left over or of another shape than `_built` says."""
    yield from ((key, "missing") for key in sorted(wanted) if key not in own and not tied[key] & own.keys())
    yield from ((key, f"unexpected {tuple(own[key].shape)}") for key in sorted(own.keys() - wanted.keys()))
    for key in sorted(own.keys() & wanted.keys()):
        if tuple(own[key].shape) != wanted[key]:
            yield key, f"misshapen, is {tuple(own[key].shape)}, {wanted[key]} belongs there"


def _merged(
    own: Weights, turned: set[str], alpha: float | None
) -> tuple[Weights, dict[str, tuple[Tensor, Tensor, Tensor, float]]]:
    """Add what LoRA learned to the weights it is about: W + alpha / rank · B A, transposed where W is."""
    own = {key.replace(".base_layer.", "."): tensor for key, tensor in own.items()}
    lora = {}
    for key in [key for key in own if (found := _LORA.fullmatch(key)) and found[2] == "A"]:
        name = key.removesuffix(".lora_A.default.weight")
        first, second = own[key], own.get(f"{name}.lora_B.default.weight")
        weight = own.get(f"{name}.weight")
        if weight is None or second is None or first.ndim != 2 or second.ndim != 2 or len(first) != second.shape[1]:
            continue  # listed as unexpected
        update = second.float() @ first.float()
        update = update.T if name in turned else update
        if update.shape != weight.shape:
            continue
        factor = cast(float, alpha) / len(first)
        lora[name] = (weight, first, second, factor)
        own[f"{name}.weight"] = weight.float() + factor * update
        del own[key], own[f"{name}.lora_B.default.weight"]
    return own, lora


def _mixture(given: Mapping[str, object], tokenizer: PreTrainedTokenizerBase, rows: int) -> Recurrence:
    """Return the mixture that was told of; a text that ends the thoughts as its first token.

    Args:
        given: Fields of `Recurrence`.
        tokenizer: Of the model.
        rows: Tokens that the model has embeddings for.

    Raises:
        WorkbenchError: A field has a wrong value, or is read by no rule that ends the thoughts.
    """
    fields, what = dict(given), "This mixture cannot be used."
    rule = fields.get("stop", "count")
    for name, rules in STOP_FIELDS.items():
        if name in fields and rule not in rules:
            wanted = " or ".join(f"stop: {one}" for one in rules)
            raise WorkbenchError(
                what, f"{name} needs {wanted}, and here is stop: {rule}.", f"Give {wanted}, or leave {name} out."
            )
    if isinstance(word := fields.get("stop_token"), str):
        ids = tokenizer.encode(word, add_special_tokens=False)
        if not ids:
            why = f"The tokenizer writes {word!r} with no token."
            raise WorkbenchError("Nothing ends these thoughts.", why, "Correct stop_token.")
        fields["stop_token"] = ids[0]
    try:
        made = build(Recurrence, {"kind": "mixture", **fields}, "mixture")
    except WorkbenchError as error:
        raise WorkbenchError(what, error.why, "Correct the mixture.") from error
    if made.top > rows or made.stop_token >= rows:
        why = f"top is {made.top}" if made.top > rows else f"stop_token is {made.stop_token}"
        raise WorkbenchError(what, f"{why}, and the model has {rows} tokens.", "Correct the mixture.")
    return made


def _recurrence(
    family: Family, head: Weights, beside: Mapping[str, Any], marker: Markers, assumed: dict[str, str]
) -> Recurrence:
    """Return how a file's thoughts are made; what its configuration should say and does not is added to `assumed`."""

    def said(name: str, default: int | float) -> int | float:
        if name not in beside:
            assumed[name] = f"{name} {default}; change it in config.json, beside the file"
        return beside.get(name, default)

    made = IDENTITY
    if head:
        scale = float(said("latent_embedding_std", 0.018)) if family.recurrence.kind == "gaussian" else 1.0
        width = len(head["first.weight"]) if "first.weight" in head else 0
        made = replace(family.recurrence, width=width, norm="norm.weight" in head, scale=scale)
    if family is FAMILIES["latenttts-colar"]:  # `check_if_latent_sequence` of its repository
        made = replace(made, stop="token", stop_token=marker.eot)
    if family is not FAMILIES["pccot"]:
        return made
    # 6 is its configuration's default. Without sweeps its code feeds the placeholders themselves (`_read`).
    return replace(made, sweeps=max(0, int(said("num_iterations", 6))), token=marker.thought)
