"""The benchmark beside the official code, with a peer in its place that keeps nothing: each pass runs the whole row."""

import json
from pathlib import Path

import pytest

from benchmarks import official
from tests.conftest import tiny_model
from tests.model.test_formats import bpe_tokenizer

PEER = """
from collections import namedtuple

import torch
from torch.nn import functional as F

Outputs = namedtuple("Outputs", "loss logits")


class Coconut(torch.nn.Module):
    def __init__(self, base, latent, bot, eot, end):
        super().__init__()
        self.base, self.latent, self.end = base, latent, end

    def forward(self, input_ids, labels=None, attention_mask=None, position_ids=None):
        embedded, given = self.base.get_input_embeddings()(input_ids), (attention_mask, position_ids)
        thoughts = input_ids == self.latent
        for column in thoughts.any(0).nonzero().flatten().tolist():
            read = self.run(embedded, *given).hidden_states[-1][:, column - 1]
            here = torch.arange(embedded.shape[1]) == column
            embedded = torch.where((thoughts & here)[..., None], read[:, None], embedded)
        logits = self.run(embedded, *given).logits
        loss = None if labels is None else F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return Outputs(loss, logits)

    def run(self, embedded, mask, place):
        return self.base(inputs_embeds=embedded, attention_mask=mask, position_ids=place, output_hidden_states=True)

    def generate(self, ids, mask, max_new_tokens):
        for _ in range(max_new_tokens):
            ids = torch.cat([ids, self(ids).logits[:, -1:].argmax(-1)], 1)
            if ids[0, -1] == self.end:
                return ids[:, :-1]
        return ids
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setattr(official, "THOUGHTS", 2)
    (tmp_path / "coconut.py").write_text(PEER)
    tokenizer, start = bpe_tokenizer(markers=False), tmp_path / "start"
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 1024}
    tiny_model("llama", tie_word_embeddings=True, **sizes).save_pretrained(start)
    tokenizer.save_pretrained(start)
    return tmp_path / "coconut.py", start


@pytest.mark.parametrize("questions", [1, 2])
def test_both_compute_the_same_loss(
    files: tuple[Path, Path], questions: int, capsys: pytest.CaptureFixture[str]
) -> None:
    peer, start = files

    official.step(peer, start, "fp32", questions=questions, batch=2, rounds=1)

    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["ours_units"] == result["peer_units"] == 2
    assert result["loss"] > 1
    assert result["losses_differ_by"] < 1e-5


def test_both_say_the_same_answers(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    peer, start = files

    official.compare_answers(peer, start, problems=2, rounds=1)

    assert json.loads(capsys.readouterr().out.splitlines()[-1])["same_answers"] == 1
