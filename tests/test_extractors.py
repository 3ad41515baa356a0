"""Extractors beside the probe: each resize against its definition, ONNX files, pretrained networks from a folder."""

import math
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.errors import DataError, UsageError
from kallima.evaluation.features import (
    FEATURES,
    Classifier,
    FeatureExtractor,
    Inception,
    OnnxFeatures,
    Pixels,
    Pretrained,
    inception,
    make_extractor,
)
from kallima.evaluation.features.inception import PROTOCOLS
from kallima.evaluation.features.pretrained import KINDS, standardised
from kallima.evaluation.features.resizing import clean_resize, legacy_pytorch_resize, legacy_tensorflow_resize

GREY = Image(1, 12, 12)


def pictures(count: int, height: int = 12, width: int = 12, channels: int = 3) -> Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(256, size=(count, height, width, channels), dtype=np.uint8))


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALLIMA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("INCEPTION", "DINOV2", "CLIP"):
        monkeypatch.delenv(f"KALLIMA_{name}", raising=False)


def cubic(x: float) -> float:
    """Keys' kernel with a = −½."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0


def row_clean(row: list[float], size: int) -> list[float]:
    """Antialiased bicubic: the kernel, as wide as the shrinking demands, centred on half-pixel positions."""
    scale = len(row) / size
    stretch = max(scale, 1)
    out = []
    for i in range(size):
        centre = (i + 0.5) * scale
        weights = {
            j: cubic((j + 0.5 - centre) / stretch) for j in range(len(row)) if abs(j + 0.5 - centre) < 2 * stretch + 1
        }
        total = sum(weights.values())
        out.append(sum(row[j] * weight for j, weight in weights.items()) / total)
    return out


def row_bilinear(row: list[float], size: int, offset: float) -> list[float]:
    """Two neighbours; `offset` ½ puts pixels at their centres, 0 at their corners as TensorFlow 1 did."""
    out = []
    for i in range(size):
        place = max((i + offset) * len(row) / size - offset, 0)
        low = min(math.floor(place), len(row) - 1)
        high = min(low + 1, len(row) - 1)
        out.append(row[low] + (row[high] - row[low]) * (place - low))
    return out


def by_hand(plane: np.ndarray, size: int, along: Any) -> np.ndarray:
    rows = np.array([along(list(map(float, row)), size) for row in plane])
    return np.array([along(list(map(float, column)), size) for column in rows.T]).T


class TestResizing:
    @pytest.mark.parametrize("shape", [(5, 7), (11, 11), (40, 23)])
    @pytest.mark.parametrize(
        ("resize", "along"),
        [
            (clean_resize, row_clean),
            (legacy_tensorflow_resize, lambda row, size: row_bilinear(row, size, 0)),
            (legacy_pytorch_resize, lambda row, size: row_bilinear(row, size, 0.5)),
        ],
    )
    def test_each_is_its_definition(self, shape: tuple[int, int], resize: Any, along: Any) -> None:
        image = pictures(1, *shape, channels=1)
        ours = resize(image, 17)[0, 0].numpy()
        assert np.allclose(ours, by_hand(image[0, ..., 0].numpy(), 17, along).clip(0, 255), atol=2e-3)

    def test_they_differ_and_say_so(self) -> None:
        image = pictures(1, 32, 32)
        results = [protocol.resize(image) for protocol in PROTOCOLS.values()]
        assert all((a - b).abs().max() > 5 for a, b in pairwise(results))
        assert len({protocol.resize_said for protocol in PROTOCOLS.values()}) == 3

    @pytest.mark.parametrize("resize", [clean_resize, legacy_tensorflow_resize, legacy_pytorch_resize])
    def test_an_image_of_the_size_stays_as_it_is(self, resize: Any) -> None:
        image = pictures(2, 19, 19)
        assert torch.equal(resize(image, 19), image.permute(0, 3, 1, 2).float())
        assert resize(pictures(1, 9, 9, 1), 19).shape == (1, 3, 19, 19)


class TestInceptionProtocols:
    @pytest.fixture
    def file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """A network of the same interface, small."""

        class Small(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body, self.fc = nn.Linear(3, 6), nn.Linear(6, 10)

            def forward(self, x: Tensor) -> Tensor:
                return self.body(x.mean((2, 3)))

        monkeypatch.setattr(inception, "InceptionNetwork", Small)
        with torch.random.fork_rng():
            torch.save(Small().state_dict(), tmp_path / "small.pth")
        return tmp_path / "small.pth"

    def test_the_protocol_is_the_name_and_the_receipt(self, file: Path) -> None:
        made = [make_extractor(f"{name}:{file}", GREY) for name in PROTOCOLS]
        assert [extractor.name for extractor in made] == list(PROTOCOLS)
        assert len({extractor.resize for extractor in made}) == 3
        assert len({extractor.version for extractor in made}) == 1
        white = torch.full((1, 12, 12, 3), 255, dtype=torch.uint8)
        peaks = [float(extractor.preprocess(white).max()) for extractor in made]  # type: ignore[attr-defined]
        assert peaks == pytest.approx([127 / 128, 127 / 128, 1])

    def test_logits_are_those_of_the_features_without_the_bias(self, file: Path) -> None:
        extractor = Inception(file)
        assert isinstance(extractor, Classifier)
        images = pictures(5)
        weights = torch.load(file, weights_only=True)
        expected = extractor.features(images) @ weights["fc.weight"].T
        assert torch.allclose(extractor.logits(images), expected, atol=1e-6)

    def test_a_file_that_is_not_there(self) -> None:
        with pytest.raises(UsageError, match=r"there is no file /no/such\.pth"):
            make_extractor("inception:/no/such.pth", GREY)
        with pytest.raises(UsageError, match="KALLIMA_INCEPTION"):
            make_extractor("inception-legacy-pytorch", GREY)


class TestPixels:
    def test_they_are_the_pixels(self) -> None:
        images = pictures(3, 8, 8)
        found = Pixels(Image(3, 8, 8), size=8).features(images)
        assert torch.allclose(found, (images.permute(0, 3, 1, 2) / 127.5 - 1).flatten(1), atol=1e-6)
        assert make_extractor("pixels:4", GREY).features(pictures(3, channels=1)).shape == (3, 16)
        assert make_extractor("pixels", GREY).features(pictures(3, channels=1)).shape == (3, 1024)
        assert make_extractor("pixels:4", GREY).version != make_extractor("pixels:5", GREY).version
        assert make_extractor("pixels:4", GREY).resize == "bilinear, antialiased, 4×4"


class TestNames:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("pixel", "did you mean 'pixels'"),
            ("pixels:big", "pixels takes a size, as in pixels:64, not 'big'"),
            ("pixels:0", "sizes from 1 to 256, not 0"),
            ("random:3", "random takes nothing after a colon"),
            ("onnx", "onnx needs the file of a network: --features onnx:FILE.onnx"),
            ("onnx:", "nothing follows the colon"),
            ("onnx:/no/such.onnx", "there is no file /no/such.onnx"),
            ("probe", "the probe needs real images with labels"),
            ("dinov2", "hf download facebook/dinov2-large .* KALLIMA_DINOV2=FOLDER"),
            ("clip", "hf download openai/clip-vit-large-patch14-336 .* KALLIMA_CLIP=FOLDER"),
            ("clip:/no/such", "there is no folder /no/such: 'hf download"),
        ],
    )
    def test_mistakes_name_the_remedy_in_one_line(self, name: str, message: str) -> None:
        with pytest.raises(UsageError, match=message) as caught:
            make_extractor(name, GREY)
        assert "\n" not in str(caught.value)

    def test_every_name_is_described(self) -> None:
        assert all(FEATURES.values())
        assert make_extractor("auto", GREY).name == "random"


def write_onnx(path: Path, shape: list[Any], *, integers: bool = False, dimensions: int = 2) -> Path:
    """A network that averages over positions, and so shows what it was given."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    helper, kinds = onnx.helper, onnx.TensorProto
    last = len(shape) == 4 and shape[3] in (1, 3)
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=kinds.FLOAT)]
    if dimensions == 0:
        nodes.append(helper.make_node("ReduceMean", ["f"], ["y"], keepdims=0))
        out = helper.make_tensor_value_info("y", kinds.FLOAT, [])
    else:
        axes = helper.make_tensor("axes", kinds.INT64, [2], [1, 2] if last else [2, 3])
        nodes.append(helper.make_node("ReduceMean", ["f", "axes"], ["y"], keepdims=int(dimensions == 4)))
        out = helper.make_tensor_value_info("y", kinds.FLOAT, None)
    entry = helper.make_tensor_value_info("x", kinds.UINT8 if integers else kinds.FLOAT, shape)
    initial = [] if dimensions == 0 else [axes]
    graph = helper.make_graph(nodes, "mean", [entry], [out], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


class TestOnnx:
    def test_the_range_and_the_size_are_those_of_the_receipt(self, tmp_path: Path) -> None:
        path = write_onnx(tmp_path / "mean.onnx", ["n", 3, 12, 12])
        images = pictures(5)
        means = images.double().mean((1, 2))
        for name, expected, said in (
            ("0..1", means / 255, "x / 255"),
            ("-1..1", means / 127.5 - 1, "x / 127.5 − 1"),
            ("0..255", means, "0 … 255"),
        ):
            extractor = OnnxFeatures(path, range=name, batch_size=2)
            assert isinstance(extractor, FeatureExtractor)
            assert extractor.range == said
            assert extractor.resize == "bicubic, antialiased, in floating point, 12×12"
            assert torch.allclose(extractor.features(images).double(), expected, atol=1e-4)
        assert len(make_extractor(f"onnx:{path}", GREY).version) == 64

    def test_layouts_types_and_fixed_batches(self, tmp_path: Path) -> None:
        images = pictures(5, 9, 9)
        resized = clean_resize(images, 12)
        last = OnnxFeatures(write_onnx(tmp_path / "last.onnx", ["n", 12, 12, 3]))
        assert torch.allclose(last.features(images), resized.mean((2, 3)) / 255, atol=1e-5)
        fixed = OnnxFeatures(write_onnx(tmp_path / "fixed.onnx", [4, 3, 12, 12]))
        assert torch.allclose(fixed.features(images), resized.mean((2, 3)) / 255, atol=1e-5)
        whole = OnnxFeatures(write_onnx(tmp_path / "whole.onnx", ["n", 3, 12, 12], integers=True))
        assert torch.allclose(whole.features(images), resized.round().mean((2, 3)), atol=1e-3)
        assert whole.range == "uint8, 0 … 255"
        grey = OnnxFeatures(
            write_onnx(tmp_path / "grey.onnx", ["n", 1, "h", "w"], dimensions=4), size=9, range="0..255"
        )
        luma = (images.double() * torch.tensor([0.299, 0.587, 0.114])).sum(3).mean((1, 2))
        assert torch.allclose(grey.features(images)[:, 0].double(), luma, atol=1e-3)
        assert grey.resize.endswith("9×9")

    def test_files_that_are_refused(self, tmp_path: Path) -> None:
        flat = write_onnx(tmp_path / "flat.onnx", ["n", 3], dimensions=0)
        odd = write_onnx(tmp_path / "odd.onnx", ["n", 5, 12, 12])
        single = write_onnx(tmp_path / "single.onnx", ["n", 3, 12, 12], dimensions=0)
        (tmp_path / "page.onnx").write_text("<html>")
        for path, message in (
            (odd, "it must read 1 or 3 channels"),
            (flat, "it must read images"),
            (tmp_path / "page.onnx", "cannot be read as an ONNX network"),
        ):
            with pytest.raises(DataError, match=message) as caught:
                OnnxFeatures(path)
            assert "\n" not in str(caught.value)
        with pytest.raises(DataError, match=r"the network made \(\) of 5 images"):
            OnnxFeatures(single).features(pictures(5))
        with pytest.raises(UsageError, match=r"no range '0\.\.2': there are 0\.\.1, -1\.\.1, 0\.\.255"):
            OnnxFeatures(single, range="0..2")

    def test_without_the_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "some.onnx").touch()
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(UsageError, match=r"pip install 'kallima\[onnx\]'"):
            OnnxFeatures(tmp_path / "some.onnx")


class TestPretrained:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_whole_image_standardised_a_channel(self, kind: str) -> None:
        images = pictures(2, 20, 30)
        found = standardised(images, 16, KINDS[kind])
        for channel in range(3):
            plane = by_hand(images[1, ..., channel].numpy(), 16, row_clean).clip(0, 255) / 255
            expected = (plane - KINDS[kind].mean[channel]) / KINDS[kind].deviation[channel]
            assert np.allclose(found[1, channel].numpy(), expected, atol=1e-4)

    def test_without_the_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "transformers", None)
        with pytest.raises(UsageError, match=r"pip install 'kallima\[transformers\]'"):
            Pretrained("clip", tmp_path)

    def test_weights_that_are_not_there_are_never_made_up(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: dict[str, Any] = {}

        class Network:
            @staticmethod
            def from_pretrained(folder: Path, **options: Any) -> Any:
                asked.update(options)
                return object(), {"missing_keys": {"embeddings.cls_token", "layernorm.weight"}}

        monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(Dinov2Model=Network))
        with pytest.raises(DataError, match=r"embeddings\.cls_token and 1 more tensors are missing"):
            Pretrained("dinov2", tmp_path)
        assert asked["local_files_only"] is True
        assert asked["use_safetensors"] is True

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_network_of_the_real_format(self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        transformers = pytest.importorskip("transformers", reason="transformers is not installed")
        small = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8, "image_size": 24}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            if kind == "dinov2":
                network = transformers.Dinov2Model(transformers.Dinov2Config(**small))
            else:
                config = transformers.CLIPVisionConfig(**small, intermediate_size=16, projection_dim=5)
                network = transformers.CLIPVisionModelWithProjection(config)
        network.eval().save_pretrained(tmp_path / "tiny")
        monkeypatch.setenv(KINDS[kind].variable, str(tmp_path / "tiny"))
        extractor = make_extractor(kind, GREY)
        images = pictures(3, 30, 40)
        found = extractor.features(images)
        side = 224 if kind == "dinov2" else 24
        assert extractor.resize.endswith(f"{side}×{side}")
        with torch.inference_mode():
            output = network(pixel_values=standardised(images, side, KINDS[kind]))
        expected = output.pooler_output if kind == "dinov2" else output.image_embeds
        assert found.shape == (3, 12 if kind == "dinov2" else 5)
        assert torch.allclose(found, expected, atol=1e-5)
        assert len(extractor.version) == 64
        (tmp_path / "tiny" / "model.safetensors").write_bytes(b"<html>")
        with pytest.raises(DataError, match=f"holds no {kind} network as safetensors"):
            make_extractor(kind, GREY)
