"""Sentence encoders that a user brings: tiny ones of the real formats."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kallima
from kallima.data.spec import Image, Spec, Text
from kallima.data.tokens import encode
from kallima.errors import DataError, RunError, UsageError
from kallima.networks.sentences import SentenceReader
from kallima.recipe import get_recipe

FIELD = Text("word", ("red", "hair", "blue", "eyes"), 5)
CODES = torch.from_numpy(encode(["red hair", "blue eyes", "red hair"], FIELD)).float()


def write_tokenizer(folder: Path) -> Any:
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    words = {word: place for place, word in enumerate(("[UNK]", *FIELD.vocabulary))}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


@pytest.fixture
def transformer(tmp_path: Path) -> Path:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    write_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    small = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(transformers.BertConfig(vocab_size=5, **small)).save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """An ONNX file that looks codes up in a table (5, 3)."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    write_tokenizer(tmp_path)
    helper, kinds = onnx.helper, onnx.TensorProto
    rows = np.arange(15, dtype=np.float32).reshape(5, 3)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["vectors"])],
        "table",
        [helper.make_tensor_value_info("input_ids", kinds.INT64, [1, "n"])],
        [helper.make_tensor_value_info("vectors", kinds.FLOAT, [1, "n", 3])],
        [onnx.numpy_helper.from_array(rows, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path


def test_a_caption_is_the_mean_of_its_tokens_vectors(table: Path):
    reader = SentenceReader(FIELD, f"onnx:{table}", 4)
    with torch.no_grad():
        reader.out.weight.copy_(torch.eye(3, 4).T)
        reader.out.bias.zero_()
    # red, hair are rows 1 and 2 of the table: (3, 4, 5) and (6, 7, 8); blue, eyes rows 3 and 4
    assert reader(CODES)[:, :3].tolist() == [[4.5, 5.5, 6.5], [10.5, 11.5, 12.5], [4.5, 5.5, 6.5]]


def test_a_transformer_gives_its_last_states(transformer: Path):
    import transformers

    reader = SentenceReader(FIELD, f"transformers:{transformer}", 4)
    model = transformers.AutoModel.from_pretrained(transformer).eval()
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([[1, 2]])).last_hidden_state[0].mean(0)
        torch.testing.assert_close(reader.encoder.vector("red hair"), expected)
        torch.testing.assert_close(reader(CODES)[0], reader.out(expected))


def test_the_encoder_stands_still_is_not_saved_and_must_come_again(table: Path, tmp_path: Path):
    spec = Spec({"image": Image(1, 16, 16), "text": FIELD})
    build = get_recipe("gan-cls").build
    system: Any = build(spec, width=8, reader=f"onnx:{table}")
    learned = {name for name, _ in system.reading.named_parameters()}
    assert learned == {"inner.text.out.weight", "inner.text.out.bias"}
    other: Any = build(spec, width=8, reader=f"onnx:{table}")
    other.load_state_dict(system.state_dict())
    assert torch.equal(other.told(CODES), system.told(CODES))
    other.reading.inner["text"].version.add_(1)
    other.reading.inner["text"].checked = False
    with pytest.raises(RunError, match="is not the sentence encoder that this run was trained with"):
        other.told(CODES)


def test_a_run_reads_with_it_and_samples(table: Path, tmp_path: Path):
    images = np.random.default_rng(0).integers(0, 255, (16, 16, 16), np.uint8)
    np.savez(tmp_path / "captioned.npz", x=images, text=np.array(["red hair", "blue eyes"] * 8))
    options: dict[str, Any] = {"width": 8, "steps": 2, "batch_size": 4, "device": "cpu", "doctor": "off"}
    data, out = tmp_path / "captioned.npz", tmp_path / "run"
    run = kallima.train("gan-cls", data=data, out=out, reader=f"onnx:{table}", **options)
    assert kallima.sample(run, 3, condition="red eyes", device="cpu").shape == (3, 16, 16, 1)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("onnx:/no/such", r"there is no /no/such/model\.onnx: give --reader a folder with model\.onnx"),
        ("transformers:/no/such", r"there is no /no/such/model\.safetensors"),
        ("words", "--reader is recurrent, bag, transformers:FOLDER or onnx:FOLDER, not 'words'"),
    ],
)
def test_what_is_not_there_is_said(place: str, message: str):
    spec = Spec({"image": Image(1, 16, 16), "text": FIELD})
    with pytest.raises(UsageError, match=message):
        get_recipe("gan-cls").build(spec, width=8, reader=place)


def test_what_cannot_be_read_is_said(table: Path):
    (table / "model.onnx").write_bytes(b"<html>")
    with pytest.raises(DataError, match="holds no sentence encoder that can be read"):
        SentenceReader(FIELD, f"onnx:{table}", 4)
