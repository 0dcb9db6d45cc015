"""Word-level tokens of the edges format, and the thought markers of any tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Normalizer
from tokenizers.pre_tokenizers import PreTokenizer, WhitespaceSplit
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from workbench.errors import WorkbenchError

SPECIALS = ("<pad>", "<eos>", "|", "[Q]", "[R]", "[A]", "<bot>", "<eot>", "<thought>")
"""Token ids 0..8 of the edges format."""

ENTITIES = tuple("Alex Bob Carol Davis Eva Fae Gabriel Jack Max Oliver Polly Rex Sally Sam Stella Tom Wren".split())
"""The 17 entity names of the released ProsQA files; ids 9..25."""

CONCEPTS = tuple(
    "bompus boompus brimpus chorpus dumpus felpus fompus gerpus gorpus grimpus gwompus hilpus impus jelpus "
    "jompus kerpus lempus lorpus numpus quimpus rempus rompus rorpus scrompus shumpus sterpus storpus terpus "
    "timpus tumpus vumpus worpus wumpus yerpus yimpus yumpus zhorpus zumpus".split()
)
"""The 38 concept names of the released ProsQA files; ids 26..63."""

NOUNS = tuple(
    "table river stone house horse tower bridge garden window mirror candle basket bottle button carpet castle circle "
    "doctor farmer finger flower forest hammer kitchen ladder market mountain pencil planet pocket rabbit rocket "
    "school shadow spider ticket tunnel wagon".split()
)
"""As many common nouns: one token each in the tokenizers of GPT-2 and SmolLM2, where a name above takes two to four."""

ConceptNames = Literal["released", "nouns"]
"""What the concepts of a generated problem are called: `CONCEPTS` or `NOUNS`."""

NAMES = ENTITIES + CONCEPTS
VOCABULARY = SPECIALS + NAMES
"""Token of each id, 64 of them."""

# Others name their markers differently (facebookresearch/coconut and LatentTTS, PCCoT); their checkpoints load as well.
MARKERS = {
    "bot": ("<bot>", "<|start-latent|>", "<pcot.bot>"),
    "eot": ("<eot>", "<|end-latent|>", "<pcot.eot>"),
    "thought": ("<thought>", "<|latent|>", "<pcot.latent>"),
}
"""Names of the three markers by what they do, the workbench's own first."""


@dataclass(frozen=True)
class Markers:
    """Token ids of the three markers."""

    bot: int
    """Begins the thoughts; thought 1 is the last hidden state here (with markers)."""
    eot: int
    """Ends the thoughts."""
    thought: int
    """Holds the place of a thought in a row of token ids; its embedding is never read."""


def edges_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer of the edges format: one token per word, 64 words, left padding.

    Returns:
        A tokenizer that saves and loads with `AutoTokenizer`. A word that is not in the vocabulary raises.
    """
    return word_tokenizer(VOCABULARY, WhitespaceSplit())


def word_tokenizer(
    words: Sequence[str], pre_tokenizer: PreTokenizer, normalizer: Normalizer | None = None
) -> PreTrainedTokenizerFast:
    """Build a tokenizer with one token per word, left padding, and the thought markers.

    Args:
        words: Of each id, the markers, `<pad>` and `<eos>` among them.
        pre_tokenizer: Splits text into words.
        normalizer: Changes text before.
    """
    backend = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        backend.normalizer = normalizer
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="<eos>",
        additional_special_tokens=["<bot>", "<eot>", "<thought>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def marker_ids(tokenizer: PreTrainedTokenizerBase, **names: str) -> Markers:
    """Look up the thought markers by name.

    Args:
        tokenizer: Has them.
        names: Of tokens that stand for a marker ("bot", "eot", "thought") in place of the usual ones; empty for none.

    Raises:
        WorkbenchError: The tokenizer has no single token for a marker.
    """
    vocabulary = tokenizer.get_vocab()
    found = {
        role: next((vocabulary[name] for name in (names.get(role), *usual) if name in vocabulary), None)
        for role, usual in MARKERS.items()
    }
    missing = [MARKERS[role][0] for role, number in found.items() if number is None]
    if missing:
        raise WorkbenchError(
            "The tokenizer cannot mark thoughts.",
            f"It has no special token {', '.join(missing)}.",
            "Add the markers with workbench.checkpoint.prepare_pretrained(model, tokenizer), then train and save.",
        )
    return Markers(**{role: int(number) for role, number in found.items() if number is not None})
