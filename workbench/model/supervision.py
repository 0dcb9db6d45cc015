"""How a model's thoughts were supervised: one value, said wherever a model is named.

What a readout shows of a thought is evidence of something that emerged only where nothing asked for it in training.
`Supervision` says what the LM head of a thought was asked, and the same of what the run started from. A checkpoint
holds it in `config.coconut`; for one made before that was so it follows from the method and the run's config.yaml.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from workbench.catalog import FORMER_METHODS, ROOT, current, home
from workbench.errors import WorkbenchError
from workbench.files import MOST_DEPTH, read_object
from workbench.settings import build, read_settings

Asked = Literal[
    "words only", "next node asked", "frontier asked", "answers alone", "rewarded", "no thoughts", "not known"
]
MEANINGS: dict[Asked, str] = {
    "words only": "Only words after the thoughts were learned, the steps that are left and the answer. No thought's LM "
    "head was asked for a node.",
    "next node asked": "The LM head of the thoughts was asked for the next node of a sampled shortest path: what it "
    "shows was trained.",
    "frontier asked": "The LM head of the thoughts was asked for all nodes at their hop, evenly: what it shows was "
    "trained.",
    "answers alone": "Only the answer was learned: no step, and no thought's LM head was asked for a node.",
    "rewarded": "Answers that it sampled were rewarded. No word was a label, and no thought's LM head was asked for a "
    "node.",
    "no thoughts": "It was trained without thoughts.",
    "not known": "Its config.json does not say how it was trained.",
}
"""What each value means; a pause counts as the thought in whose place it stands."""

_BY_METHOD: dict[str, Asked] = {
    "coconut_next_node": "next node asked",
    "pause_as_thought": "next node asked",
    "coconut_two": "next node asked",
    "coconut_frontier": "frontier asked",
    "coconut_words": "words only",
    "pause_words": "words only",
    "coconut_without_curriculum": "answers alone",
    "pause_token": "answers alone",
    "cot": "no thoughts",
    "no_cot": "no thoughts",
    "icot": "no thoughts",
    "coconut_without_thought": "no thoughts",
}
"""Of the methods that there were while checkpoints did not store it; `Method.asked` says it of those of today."""
GRAPH_TASKS = ("edges", "prosqa")
"""Tasks whose problems have nodes that an LM head can be asked for."""


@dataclass(frozen=True)
class Supervision:
    """What the LM head of a model's thoughts was asked in training.

    Examples:
        >>> start = Supervision("next node asked", 24)
        >>> print(Supervision("words only", start=start))
        words only; its start was asked for mixtures of 24 walks
    """

    asked: Asked = "not known"
    walks: int = 1
    """Sampled walks whose mean was the label of some batches; 1: every label was one node."""
    start: "Supervision | None" = None
    """The same of the checkpoint that the run started from; None for random or pre-trained weights."""

    @classmethod
    def of(cls, asked: Asked, settings: Mapping[str, Any], start: "Supervision | None") -> "Supervision":
        """Return that of a run.

        Args:
            asked: What its method asks.
            settings: Its configuration, as its file holds it.
            start: Of what it started from.
        """
        task, plan = settings.get("task", "edges"), settings.get("curriculum") or {}
        if task not in GRAPH_TASKS and asked in ("next node asked", "frontier asked"):
            asked = "words only"
        mixed = asked == "next node asked" and task == "edges"
        mixed = mixed and max(plan.get("walk_share", 0.5), plan.get("walk_share_late", 0.15)) > 0
        return cls(asked, int(plan.get("walks", 24)) if mixed else 1, start)

    @classmethod
    def of_config(cls, asked: Asked, settings: Mapping[str, Any]) -> "Supervision":
        """Return that of a run whose start is the one that its configuration names."""
        return cls.of(asked, settings, _of_start(str(settings.get("start") or "")))

    @classmethod
    def read(cls, meta: Mapping[str, Any], directory: Path | None = None) -> "Supervision":
        """Return that of a checkpoint.

        Args:
            meta: Its `config.coconut`.
            directory: Where it lies, for a checkpoint that does not store it.

        Raises:
            WorkbenchError: What is stored has the wrong form.
        """
        if (stored := meta.get("supervision")) is not None:
            return cls._stored(stored)
        method = str(meta.get("method", ""))
        asked = _BY_METHOD.get(FORMER_METHODS.get(method, method))
        if asked is None:
            return cls()
        settings = _settings(directory)
        if settings is None:  # of the run only the model is here
            return cls.of(asked, {"task": meta.get("task", "edges"), "curriculum": {"walks": 1}}, cls())
        return cls.of_config(asked, settings)

    @classmethod
    def _stored(cls, stored: object, depth: int = 0) -> "Supervision":
        if not isinstance(stored, dict) or depth > MOST_DEPTH:
            why = f"supervision is {stored!r:.80}, not a table" if depth <= MOST_DEPTH else "it has too many starts"
            raise WorkbenchError("Cannot use config.coconut.", why, "correct it")
        own = build(cls, {key: value for key, value in stored.items() if key != "start"}, "config.coconut")
        start = stored.get("start")
        return own if start is None else replace(own, start=cls._stored(start, depth + 1))

    def __str__(self) -> str:
        """Return it in a few words, those about the start included."""
        own = f"{self.asked}, also mixtures of {self.walks} walks" if self.walks > 1 else str(self.asked)
        about = next((said for one in self._starts if (said := self._said_of(one))), "")
        return f"{own}; its start {about}" if about else own

    @property
    def help(self) -> str:
        """What it means, in sentences."""
        said = [MEANINGS[self.asked]]
        if self.walks > 1:
            said.append(f"In some batches the label was the mean of {self.walks} sampled walks, several nodes at once.")
        about = [f"What it started from {about}." for one in self._starts if (about := self._said_of(one))]
        return " ".join(said + about[:1])

    @property
    def is_asked(self) -> bool:
        """Whether nodes were labels at thoughts, here or in a start: then what a readout shows was trained in part."""
        return any(one.asked in ("next node asked", "frontier asked") for one in (self, *self._starts))

    @property
    def _starts(self) -> "list[Supervision]":
        found, one = [], self.start
        while one is not None:
            found.append(one)
            one = one.start
        return found

    def _said_of(self, start: "Supervision") -> str:
        """Return what is to be said of a start: what it was asked for that this run was not."""
        if start.asked == "next node asked" and start.walks > max(self.walks, 1):
            return f"was asked for mixtures of {start.walks} walks"
        if start.asked in ("next node asked", "frontier asked") and start.asked != self.asked:
            return f"was asked for the {start.asked.removesuffix(' asked')}"
        return "is not known" if start.asked == "not known" and self.asked != "not known" else ""


def _settings(directory: Path | None) -> dict[str, Any] | None:
    """Return the configuration of the run that a model's directory belongs to, None where there is none."""
    if directory is None:
        return None
    for place in (directory, directory.parent if directory.name == "model" else home(directory)):
        try:
            return read_settings(place / "config.yaml", "configuration")
        except WorkbenchError:
            continue
    return None


def _of_start(start: str) -> Supervision | None:
    """Return the supervision of what a configuration says a run started from, None for random weights."""
    if not start:
        return None
    for run in (current(Path(start)), current(ROOT / start)):
        for place in (run, run / "model"):
            try:
                meta = read_object(place / "config.json").get("coconut")
            except ValueError:
                continue
            # A pre-trained model has had no thoughts yet.
            return Supervision.read(meta, place) if isinstance(meta, dict) else None
    return Supervision()
