"""Feature extractors: the probe learns and is kept, Inception has the published shape, global generators rest."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from kallima.data.spec import Image, Label, Spec
from kallima.errors import DataError, UsageError
from kallima.evaluation.features import Inception, Probe, RandomFeatures, make_extractor, probe
from kallima.evaluation.features.inception import find_weights, load_weights
from kallima.evaluation.features.inception_network import InceptionNetwork
from kallima.evaluation.features.probe import train_probe
from kallima.evaluation.features.resizing import clean_resize

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist" / "mnist.npz"


class Memory:
    """A data set of arrays, with what `Dataset` has."""

    def __init__(self, images: np.ndarray, labels: np.ndarray | None, *, fingerprint: str = "0", name: str = "memory"):
        self.fields: dict[str, Tensor] = {"image": torch.from_numpy(images)}
        height, width, channels = images.shape[1:]
        fields: dict[str, Any] = {"image": Image(channels, height, width)}
        if labels is not None:
            self.fields["label"] = torch.from_numpy(labels).long()
            fields["label"] = Label(tuple(str(i) for i in range(int(labels.max()) + 1)))
        self.spec, self.name, self.split, self.fingerprint = Spec(fields), name, "train", fingerprint
        self.source, self.view = SimpleNamespace(), "as it is"

    def __len__(self) -> int:
        return len(self.fields["image"])

    def read(self, indices: np.ndarray) -> dict[str, Tensor]:
        return {name: values[torch.from_numpy(indices)] for name, values in self.fields.items()}


def stripes(count: int = 400, *, seed: int = 0, permuted: bool = False, size: int = 12, **options: Any) -> Memory:
    """Four classes: rising or falling brightness, along rows or columns, under noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=count)
    ramp = np.linspace(60, 190, size)
    kinds = np.stack([np.broadcast_to(a, (size, size)) for a in (ramp, ramp[::-1], ramp[:, None], ramp[::-1, None])])
    images = (kinds[labels] + 40 * rng.standard_normal((count, size, size))).clip(0, 255).astype(np.uint8)
    return Memory(images[..., None], rng.permutation(labels) if permuted else labels, **options)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KALLIMA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("KALLIMA_INCEPTION", raising=False)
    return tmp_path / "cache"


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "_STEPS", 60)
        yield


@pytest.fixture(scope="module")
def learned(short: None) -> tuple[Memory, Any]:
    data = stripes()
    return data, train_probe(data)


class TestProbe:
    def test_it_learns_what_can_be_learned(self, learned: tuple[Memory, Any]) -> None:
        _, trained = learned
        assert trained.accuracy > 0.95
        assert (trained.trained_on, trained.held_out) == (320, 80)

    def test_its_accuracy_is_honest(self) -> None:
        # chance is a quarter; 80 held-out examples have a standard error of .05
        assert train_probe(stripes(permuted=True)).accuracy < 0.45

    def test_it_is_the_same_again_and_leaves_the_generators_alone(self, learned: tuple[Memory, Any]) -> None:
        data, trained = learned
        torch.manual_seed(123)  # not the probe's seed: its own draws would end where they ended before
        states = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002 -- the global one is meant
        with torch.no_grad():
            again = train_probe(data)
        assert torch.equal(torch.get_rng_state(), states[0])
        assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
        assert again.accuracy == trained.accuracy
        assert all(torch.equal(again.weights[name], tensor) for name, tensor in trained.weights.items())

    def test_it_is_trained_once_for_the_same_data(
        self, learned: tuple[Memory, Any], monkeypatch: pytest.MonkeyPatch, cache: Path
    ) -> None:
        data, trained = learned
        trainings: list[Memory] = []
        monkeypatch.setattr(probe, "train_probe", lambda data: trainings.append(data) or trained)
        state = torch.get_rng_state()
        first = Probe(data)
        second = Probe(data)
        assert len(trainings) == 1
        assert torch.equal(torch.get_rng_state(), state)
        images = data.read(np.arange(30))["image"]
        assert torch.equal(first.features(images), second.features(images))
        assert (first.version, first.accuracy, first.notes) == (second.version, second.accuracy, second.notes)
        assert "right on" in first.notes[0]
        Probe(stripes(fingerprint="1"))
        assert len(trainings) == 2
        assert [path.suffix for path in (cache / "probes").iterdir()] == [".safetensors"] * 2

    @pytest.mark.parametrize("harm", ["cut", "flipped", "emptied"])
    def test_a_damaged_file_is_made_again(
        self, learned: tuple[Memory, Any], monkeypatch: pytest.MonkeyPatch, cache: Path, harm: str
    ) -> None:
        data, trained = learned
        monkeypatch.setattr(probe, "train_probe", lambda data: trained)
        whole = Probe(data)
        (path,) = (cache / "probes").iterdir()
        content = bytearray(path.read_bytes())
        content[-100] ^= 1
        path.write_bytes({"cut": content[:5000], "flipped": content, "emptied": b""}[harm])
        assert probe._load(path, probe.ProbeNetwork(1, 32, 4)) is None
        assert Probe(data).version == whole.version
        assert probe._load(path, probe.ProbeNetwork(1, 32, 4)) is not None

    def test_a_cache_that_cannot_be_written_is_no_obstacle(
        self, learned: tuple[Memory, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        data, trained = learned
        monkeypatch.setattr(probe, "train_probe", lambda data: trained)
        (tmp_path / "file").touch()
        monkeypatch.setenv("KALLIMA_CACHE", str(tmp_path / "file"))
        assert Probe(data).accuracy == trained.accuracy

    def test_features_do_not_depend_on_the_batch(
        self, learned: tuple[Memory, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data, trained = learned
        monkeypatch.setattr(probe, "train_probe", lambda data: trained)
        images = data.read(np.arange(33))["image"]
        whole, parts = Probe(data).features(images), Probe(data, batch_size=7).features(images)
        assert whole.shape == (33, 64)
        assert whole.dtype == torch.float32
        assert torch.allclose(whole, parts, atol=1e-4)

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (Memory(np.zeros((60, 8, 8, 1), np.uint8), None), "labels, and memory has none"),
            (Memory(np.zeros((60, 8, 8, 1), np.uint8), np.zeros(60)), "two classes"),
            (stripes(20), "50 labelled examples, and memory has 20"),
        ],
    )
    def test_data_that_cannot_be_learned_from(self, data: Memory, reason: str) -> None:
        with pytest.raises(UsageError, match=reason):
            Probe(data)
        assert make_extractor("auto", data).name == "random"

    def test_large_images_in_colour(self) -> None:
        data = stripes(60, size=64)
        data = Memory(np.repeat(data.fields["image"].numpy(), 3, 3), data.fields["label"].numpy())
        trained = train_probe(data)
        assert trained.accuracy > 0.8
        assert Probe(data).resize == "none (64×64)"

    @pytest.mark.skipif(not MNIST.is_file(), reason="the real MNIST is not beside the project")
    def test_digits_of_people(self) -> None:
        with np.load(MNIST) as file:
            images, labels = file["x_train"][:4000, ..., None], file["y_train"][:4000]
        trained = train_probe(Memory(images, labels))
        assert trained.accuracy > 0.9  # after 60 steps; 99.1 % after all of them, from 55,000


class TestRandom:
    def test_it_is_fixed(self) -> None:
        state = torch.get_rng_state()
        first = RandomFeatures(Image(1, 28, 28))
        assert torch.equal(torch.get_rng_state(), state)
        # pinned: scores with random features compare across machines and releases
        assert first.version[:12] == "4b46d7d21b86"
        assert RandomFeatures(Image(3, 28, 28)).version != first.version
        images = torch.randint(256, (9, 28, 28, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        features = first.features(images)
        assert features.shape == (9, 128)
        assert torch.allclose(features, RandomFeatures(Image(1, 28, 28), batch_size=2).features(images), atol=1e-5)

    def test_it_tells_images_apart_and_places_too(self) -> None:
        images = torch.zeros(2, 32, 32, 1, dtype=torch.uint8)
        images[0, :8, :8] = 255
        images[1, 20:28, 20:28] = 255
        one, other = RandomFeatures(Image(1, 32, 32)).features(images)
        assert (one - other).norm() > 0.1 * one.norm()


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random weights of the published names and shapes, scaled so that signals survive ninety layers."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = InceptionNetwork()
        state = network.state_dict()
    for name, tensor in state.items():
        if name.endswith("conv.weight"):
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=torch.Generator().manual_seed(len(name)))
    return dict(state)


class TestInception:
    def test_names_shapes_and_parameters_are_the_published_ones(self, weights: dict[str, Tensor]) -> None:
        assert len(weights) == 566
        counted = {name: t for name, t in weights.items() if "running" not in name and "tracked" not in name}
        # 23,834,568 parameters with 1,000 classes and without the auxiliary head; the files have 1,008 classes
        assert sum(t.numel() for t in counted.values()) == 23_834_568 + 8 * 2049
        shapes = {
            "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
            "Conv2d_4a_3x3.bn.running_var": (192,),
            "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
            "Mixed_5d.branch5x5_2.conv.weight": (64, 48, 5, 5),
            "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
            "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
            "Mixed_6e.branch7x7dbl_5.conv.weight": (192, 192, 1, 7),
            "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
            "Mixed_7b.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
            "Mixed_7c.branch1x1.conv.weight": (320, 2048, 1, 1),
            "Mixed_7c.branch_pool.bn.num_batches_tracked": (),
            "fc.weight": (1008, 2048),
            "fc.bias": (1008,),
        }
        assert {name: tuple(weights[name].shape) for name in shapes} == shapes

    def test_the_published_formats_load_and_give_the_same_features(
        self, weights: dict[str, Tensor], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = "pt_inception-2015-12-05-6726825d.pth"
        hub = tmp_path / "torch" / "hub" / "checkpoints"
        hub.mkdir(parents=True)
        torch.save(weights, hub / name, _use_new_zipfile_serialization=False)  # the published file's format
        state = torch.get_rng_state()
        old = Inception()
        assert torch.equal(torch.get_rng_state(), state)
        images = torch.randint(256, (3, 20, 24, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        features = old.features(images)
        assert features.shape == (3, 2048)
        assert features.isfinite().all()
        assert features.std(0).max() > 0

        (cache / "inception").mkdir(parents=True)
        save_file(weights, cache / "inception" / "inception-2015-12-05.safetensors")
        torch.save(weights, tmp_path / "told.pth")
        assert find_weights() == cache / "inception" / "inception-2015-12-05.safetensors"
        assert Inception(batch_size=2).version == old.version
        assert torch.allclose(Inception(batch_size=2).features(images), features, rtol=1e-3, atol=1e-4)
        monkeypatch.setenv("KALLIMA_INCEPTION", str(tmp_path / "told.pth"))
        assert find_weights() == tmp_path / "told.pth"
        assert Inception().version == old.version

    def test_its_pools_are_those_of_the_release(self) -> None:
        from kallima.evaluation.features.inception_network import _BLOCKS, _pool

        pools = {name: [b.pool for b in branches if b.pool] for name, branches in _BLOCKS.items()}
        assert [name for name, pool in pools.items() if pool == ["maximum"]] == ["Mixed_7c"]
        assert [name for name, pool in pools.items() if pool == ["reduce"]] == ["Mixed_6a", "Mixed_7a"]
        assert _pool(torch.ones(1, 1, 5, 5), "average").eq(1).all()  # padding is not counted

    def test_absent_weights_are_told_with_the_remedy(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(UsageError, match=r"pt_inception-2015-12-05-6726825d\.pth") as caught:
            Inception()
        assert str(cache / "inception") in str(caught.value)
        assert "KALLIMA_INCEPTION" in str(caught.value)
        monkeypatch.setenv("KALLIMA_INCEPTION", "/no/such/file")
        with pytest.raises(UsageError, match="/no/such/file"):
            Inception()

    def test_files_that_are_refused(self, tmp_path: Path) -> None:
        shapes = {"a": torch.Size([2])}
        script = tmp_path / "inception.pt"
        with zipfile.ZipFile(script, "w") as archive:
            for name in ("inception/data.pkl", "inception/code/__torch__.py", "inception/constants.pkl"):
                archive.writestr(name, b"")
        cut = tmp_path / "cut.pth"
        torch.save({"a": torch.zeros(2)}, cut)
        cut.write_bytes(cut.read_bytes()[:200])
        other = tmp_path / "other.pth"
        torch.save({"a": torch.zeros(3)}, other)
        program = tmp_path / "program.pth"
        torch.save({"a": Path("x")}, program)
        page = tmp_path / "page.safetensors"
        page.write_text("<html>")
        empty = tmp_path / "empty.pth"
        empty.touch()
        messages = {
            script: "TorchScript archive, which is a program",
            cut: "cannot be read as weights",
            other: "another network",
            program: "cannot be read as weights",
            page: "cannot be read as weights",
            empty: "cannot be read as weights",
        }
        for path, message in messages.items():
            with pytest.raises(DataError, match=message) as caught:
                load_weights(path, shapes)
            assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("shape", [(17, 40), (299, 300), (700, 500)])
    def test_the_resize_is_pillows_in_floating_point(self, shape: tuple[int, int]) -> None:
        # the "clean" protocol is defined by Pillow's bicubic filter on single-channel float images
        image = np.random.default_rng(0).integers(256, size=(*shape, 3), dtype=np.uint8)
        ours = clean_resize(torch.from_numpy(image)[None])[0]
        for channel in range(3):
            plane = PIL.Image.fromarray(image[..., channel].astype(np.float32))
            theirs = np.asarray(plane.resize((299, 299), PIL.Image.Resampling.BICUBIC)).clip(0, 255)
            assert np.allclose(ours[channel].numpy(), theirs, atol=0.01)

    def test_grey_is_repeated_and_alpha_lies_over_white(self) -> None:
        grey = clean_resize(torch.full((1, 299, 299, 1), 7, dtype=torch.uint8))
        assert grey.shape == (1, 3, 299, 299)
        assert grey.eq(7).all()
        pixels = torch.zeros(1, 299, 299, 4, dtype=torch.uint8)
        pixels[..., 0], pixels[..., 3] = 100, 51
        assert clean_resize(pixels)[0, :, 0, 0].tolist() == pytest.approx([20 + 204, 204, 204])


def test_names_of_extractors() -> None:
    data = stripes(60)
    with pytest.raises(UsageError, match=r"no features 'prob'; did you mean 'probe'\?"):
        make_extractor("prob", data)
    assert make_extractor("random", data).name == "random"
    assert make_extractor("auto", data).name == "probe"
