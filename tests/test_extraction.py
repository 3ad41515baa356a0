"""One pass over images: constant memory, only what is needed, and the same score from two processes as from one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kallima.data.spec import Image, Label
from kallima.errors import DataError, UsageError
from kallima.evaluation import METRICS, evaluate_images
from kallima.evaluation import image_metrics as table
from kallima.evaluation.examples import ImageSet
from kallima.evaluation.extraction import gather
from kallima.evaluation.features import OwnFeatures
from kallima.evaluation.fid import fid, frechet_distance, frechet_distance_to_few
from kallima.evaluation.image_metrics import IMAGE_METRICS, ImageMetric
from kallima.evaluation.memorisation import memorisation
from kallima.evaluation.metrics import Metric
from kallima.evaluation.moments import FoldedMoments, Moments, folds_of
from kallima.evaluation.prdc import neighbourhoods
from kallima.evaluation.score import Measure
from tests.conftest import ENVIRONMENT
from tests.test_features import Memory


def draw(count: int, width: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=rng) @ torch.randn(width, width, generator=rng) + 1


def images(count: int, seed: int = 0, size: int = 4, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(count, size, size, channels), dtype=np.uint8)


def in_blocks(array: Any, *sizes: int) -> list[Any]:
    """Cut into blocks of these sizes, again and again."""
    blocks, start = [], 0
    while start < len(array):
        size = sizes[len(blocks) % len(sizes)]
        blocks.append(array[start : start + size])
        start += size
    return blocks


class Flat:
    """Pixels and, as logits, their sums over quarters; it counts what it was asked."""

    name, version, resize, range, accuracy, notes = "flat", "1", "none", "0 … 255", None, ()

    def __init__(self) -> None:
        self.seen = 0

    def features(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return images.flatten(1).float()

    def logits(self, images: Tensor) -> Tensor:
        return images.flatten(1).float().reshape(len(images), 4, -1).sum(2)


class TestFoldedMoments:
    @pytest.mark.parametrize("count", [20, 24, 25, 300, 9_000])
    def test_blocks_and_their_order_change_nothing_but_rounding(self, count: int) -> None:
        features = draw(count, 24, 1)
        whole = FoldedMoments.of(features)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
        blocks = FoldedMoments(24)
        for chosen in order.split(7):
            blocks.add(features[chosen], chosen)
        other = draw(100, 24, 2)
        one, two = fid(whole, other), fid(blocks, other)
        assert two.value == pytest.approx(one.value, rel=1e-9)
        assert two.spread == pytest.approx(one.spread, rel=1e-6)
        assert two.notes == one.notes
        expected = torch.from_numpy(np.cov(features.double().numpy().T))
        assert torch.allclose(blocks.total().covariance, expected, rtol=1e-10, atol=1e-10)

    def test_few_are_kept_and_many_are_not(self) -> None:
        gathered = FoldedMoments(30)
        gathered.add(draw(30, 30, 1), torch.arange(30))
        assert gathered.kept is not None
        gathered.add(draw(1, 30, 1), torch.tensor([30]))
        assert gathered.kept is None
        assert [part.count for part in gathered.parts] == [4] + [3] * 9

    def test_the_jackknife_deletes_folds_and_recomputes(self) -> None:
        x, y = draw(200, 6, 1), draw(150, 6, 2)
        folds = folds_of(6)
        replicates = []
        for fold in range(folds):
            left = [z[torch.arange(len(z)) % folds != fold] for z in (x, y)]
            replicates.append(frechet_distance(*map(Moments.of, left)))
        expected = np.sqrt((folds - 1) * np.var(replicates))
        assert fid(x, y).spread == pytest.approx(expected, rel=1e-9)
        assert fid(x, y).spread_method == "jackknife over 10 folds"

    @pytest.mark.parametrize("count", [3, 10, 24])
    def test_moments_against_few(self, count: int) -> None:
        many, few = draw(500, 24, 1), draw(count, 24, 2)
        both = frechet_distance(Moments.of(many), Moments.of(few))
        assert frechet_distance_to_few(Moments.of(many), few) == pytest.approx(both, rel=1e-6)
        assert fid(many, few).value == pytest.approx(both, rel=1e-6)
        assert fid(few, many).value == pytest.approx(both, rel=1e-6)

    @pytest.mark.parametrize("count", [12, 400])
    def test_state_both_ways(self, count: int) -> None:
        gathered, other = FoldedMoments.of(draw(count, 12, 1)), draw(90, 12, 2)
        state = gathered.state()
        restored = FoldedMoments.restored({name: tensor.clone() for name, tensor in state.items()})
        assert fid(restored, other) == fid(gathered, other)
        with pytest.raises((ValueError, KeyError)):
            FoldedMoments.restored({"counts": torch.ones(3), "means": torch.ones(10, 12), "scatters": torch.ones(3, 2)})

    def test_widths_that_differ(self) -> None:
        with pytest.raises(DataError, match="have 12 numbers each, the others 24"):
            fid(draw(50, 24, 1), draw(50, 12, 2))


class TestNeeds:
    """`evaluate_images` computes what the chosen metrics ask for, and nothing else."""

    def test_what_is_gathered(self) -> None:
        labels = np.arange(50) % 3
        given = ImageSet(images(50), "the samples", labels)
        found = gather(given, {"features", "probabilities", "images", "labels"}, Flat())
        assert torch.equal(found.features, torch.from_numpy(images(50)).flatten(1).float())
        assert torch.equal(found.images, torch.from_numpy(images(50)))
        assert found.labels.tolist() == labels.tolist()
        assert found.probabilities.shape == (50, 4)
        assert torch.allclose(found.probabilities.sum(1), torch.ones(50))
        assert found.moments.count == found.count == 50
        bare = gather(ImageSet(images(50), "the samples"), {"moments"}, Flat())
        for need in ("features", "probabilities", "images", "labels"):
            with pytest.raises(KeyError, match=f"the {need} of the samples were not gathered"):
                getattr(bare, need)

    @pytest.fixture
    def more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One metric of each kind besides those that are there."""
        added = {
            "classes": ImageMetric(lambda e: Measure(e.generated.probabilities.max().item()), ("probabilities",)),
            "brightness": ImageMetric(lambda e: Measure(e.generated.images.double().mean().item()), ("images",)),
            "agreement": ImageMetric(
                lambda e: Measure((e.generated.labels.double().mean() - e.real.labels.double().mean()).item()),
                ("labels",),
                ("labels",),
            ),
            "apart": ImageMetric(lambda e: Measure(e.held_out.count), ("features",), (), ("features",)),
            "slow": ImageMetric(lambda e: Measure(1.0), ("images",), by_default=False),
        }
        for name, metric in added.items():
            monkeypatch.setitem(table.IMAGE_METRICS, name, metric)
            monkeypatch.setitem(METRICS, name, Metric("for a test", "higher", "image"))

    def test_metrics_of_each_kind(self, more: None) -> None:
        generated, real = images(40), images(60, 1)
        names = ["classes", "brightness", "agreement", "apart", "slow"]
        scores = evaluate_images(
            generated,
            real,
            metrics=names,
            features=Flat(),
            generated_labels=np.ones(40, int),
            real_labels=np.zeros(60, int),
            held_out=images(7, 2),
        )
        by_name = {score.metric: score for score in scores}
        assert by_name["brightness"].value == pytest.approx(generated.mean())
        assert (by_name["brightness"].extractor, by_name["brightness"].real) == (None, 0)
        assert by_name["agreement"].value == 1
        assert (by_name["agreement"].real, by_name["agreement"].extractor) == (60, None)
        assert by_name["apart"].value == 7
        assert by_name["classes"].extractor == "flat"

    def test_each_image_is_extracted_once_and_only_where_it_is_needed(self, more: None) -> None:
        extractor = Flat()
        evaluate_images(images(40), images(60, 1), metrics=["fid", "kid", "precision", "recall"], features=extractor)
        assert extractor.seen == 100
        evaluate_images(images(40), images(60, 1), metrics=["classes"], features=extractor)
        assert extractor.seen == 140
        evaluate_images(images(40), None, metrics=["brightness"], features=extractor)
        assert extractor.seen == 140

    def test_defaults_are_what_applies(self, more: None) -> None:
        names = [score.metric for score in evaluate_images(images(40), images(60, 1), features=Flat())]
        assert {"fid", "classes", "brightness"} <= set(names)
        assert not {"agreement", "apart", "slow"} & set(names)
        bare = [
            s.metric for s in evaluate_images(images(40), images(60, 1), features=OwnFeatures(lambda x: x.flatten(1)))
        ]
        assert "classes" not in bare
        assert "fid" in bare

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("agreement", "agreement needs the labels of the samples"),
            ("apart", "apart needs held-out images"),
            ("modes", "modes judges points"),
        ],
    )
    def test_what_does_not_apply_says_why(self, more: None, name: str, reason: str) -> None:
        with pytest.raises(UsageError, match=reason):
            evaluate_images(images(40), images(60, 1), metrics=[name], features=Flat())

    def test_features_that_know_no_classes(self, more: None) -> None:
        with pytest.raises(UsageError, match="classes needs an extractor that tells classes apart"):
            evaluate_images(images(9), images(9, 1), metrics=["classes"], features="pixels")
        with pytest.raises(UsageError, match="fid needs real images"):
            evaluate_images(images(9), None, metrics=["fid"], features="pixels")

    def test_a_function_is_an_extractor(self) -> None:
        def edges(batch: Tensor) -> Tensor:
            return batch.float().diff(dim=1).flatten(1)

        (score,) = evaluate_images(images(30), images(40, 1), metrics=["kid"], features=edges)
        assert (score.extractor, score.extractor_hash) == ("edges", "unknown")
        assert any("no version is known" in note for note in score.notes)
        with pytest.raises(DataError, match=r"wrong made \(\) of 40 images: it must return \(40, d\)"):
            evaluate_images(
                images(30), images(40, 1), metrics=["kid"], features=OwnFeatures(lambda x: x.float().mean(), "wrong")
            )


class TestInputs:
    def test_arrays_blocks_tensors_and_data_sets_are_the_same_images(self) -> None:
        generated, real = images(700), images(900, 1)
        forms = {
            "array": generated,
            "tensor": torch.from_numpy(generated),
            "blocks": iter(in_blocks(generated, 1, 250, 13)),
            "pairs": [(block, np.zeros(len(block), int)) for block in in_blocks(generated, 300)],
        }
        values = {
            name: [s.value for s in evaluate_images(form, iter(in_blocks(real, 100)), features=Flat(), metrics=FEW)]
            for name, form in forms.items()
        }
        for found in values.values():
            assert found == pytest.approx(values["array"], rel=1e-9)

    def test_the_receipt_of_blocks(self) -> None:
        (score,) = evaluate_images(iter(in_blocks(images(30), 7)), images(40, 1), metrics=["fid"], features=Flat())
        assert (score.generated, score.real, score.data, score.split) == (30, 40, "arrays", "-")

    @pytest.mark.parametrize(
        ("samples", "message"),
        [
            (images(9) / 255.0, r"float64, .* go from 0.* so give \(x \* 255\).round\(\).clip\(0, 255\)"),
            ((images(9) / 127.5 - 1).astype(np.float32), r"so give \(\(x \+ 1\) \* 127.5\)"),
            (np.full((9, 4, 4, 1), np.nan), "hold NaN or infinity"),
            (images(9).astype(np.int64), "int64, images need to be uint8"),
            (np.zeros((9, 4, 4, 2), np.uint8), "1, 3 or 4 channels"),
            (np.zeros((9, 0, 4, 1), np.uint8), "there are no pixels"),
            (images(9, size=5), r"shape \(N, 5, 5, 1\), the data's images need \(N, 4, 4, 1\)"),
            (iter([images(5), images(5, size=6)]), r"the samples differ in size: \(6, 6, 1\) after \(4, 4, 1\)"),
            (iter([]), "0 samples cannot be judged"),
            (iter([images(1)]), "1 samples cannot be judged"),
            (iter([[1, 2]]), "a block of samples is a list"),
            ("folder", "the samples are a str"),
            (iter([(images(5), np.zeros(5, int)), images(5)]), "some blocks of samples have labels and some have none"),
        ],
    )
    def test_bad_input_is_named(self, samples: Any, message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            evaluate_images(samples, images(20, 1), metrics=["kid"], features=Flat())
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("labels", [np.zeros(8, int), np.zeros(9), -np.ones(9, int), np.zeros((9, 1), int)])
    def test_bad_labels(self, labels: np.ndarray) -> None:
        with pytest.raises(DataError, match="give one integer from 0 for each of 9 images"):
            evaluate_images(images(9), images(9, 1), features=Flat(), generated_labels=labels)

    def test_sets_that_are_odd_are_noted(self) -> None:
        flat = np.full((30, 4, 4, 1), 77, np.uint8)
        (score,) = evaluate_images(flat, images(40, 1), metrics=["fid"], features=Flat())
        assert "the samples are 30 times the same picture" in score.notes
        (score,) = evaluate_images(images(30) // 128, images(40, 1), metrics=["fid"], features=Flat())
        assert "no pixel of the samples is above 1 of 255: were they scaled to 0 … 1?" in score.notes
        (score,) = evaluate_images(images(30, size=8), images(50, 1, size=8), metrics=["fid"], features=Flat())
        assert "64 features but 30 examples: FID is biased up" in score.notes

    def test_real_examples_of_a_data_set_are_limited_and_arrays_are_not(self) -> None:
        many = Memory(images(300, 1), None)
        (score,) = evaluate_images(images(30), many, metrics=["kid"], features=Flat(), real_limit=120)
        assert score.real == 120
        (score,) = evaluate_images(images(30), images(300, 1), metrics=["kid"], features=Flat(), real_limit=120)
        assert score.real == 300
        with pytest.raises(UsageError, match="1 real examples are too few"):
            evaluate_images(images(30), many, metrics=["kid"], features=Flat(), real_limit=1)

    def test_copies_are_looked_for_among_all_training_images(self) -> None:
        everything, apart = images(3_000, 1), images(200, 2)
        data = Memory(everything, None, fingerprint="ab")
        # among any 100 that are drawn three of these are to be expected
        generated = np.concatenate([everything[-90:], images(10, 3)])
        flat, pictures = Flat(), []
        scores = evaluate_images(
            *(generated, data),
            metrics=["memorisation", "kid"],
            held_out=Memory(apart, None, fingerprint="cd"),
            features=flat,
            real_limit=100,
            suspects=pictures.append,
        )
        found, other = scores
        assert found.value == pytest.approx(0.9, abs=0.05)
        assert "90 of 100 generated images are exact copies in these features" in found.notes
        truth, control, samples = (x.reshape(len(x), -1) for x in (everything, apart, generated))
        assert found.value == memorisation(samples, truth, control).value
        assert flat.seen == 3_000 + 200 + 100  # each once
        assert (found.real, found.held_out, found.held_out_fingerprint) == (3_000, 200, "cd")
        assert (other.real, other.held_out, other.held_out_fingerprint) == (100, None, None)
        (rows,) = pictures
        assert rows.shape == (12, 4, 4, 4, 1)
        assert torch.equal(rows[:, 0], rows[:, 1])  # a copy is its own nearest neighbour

    def test_arrays_with_labels_can_teach_a_probe(self) -> None:
        labels = np.arange(60) % 2
        bright = images(60, 1, size=8) // 2 + 127 * labels.astype(np.uint8)[:, None, None, None]
        given = ImageSet(bright, "the real images", labels)
        assert given.data is not None
        assert given.data.spec["image"] == Image(1, 8, 8)
        assert given.data.spec["label"] == Label(("0", "1"))
        changed = bright.copy()
        changed[5, 1, 1] += 1
        prints = {ImageSet(x, "the real images", labels).data.fingerprint for x in (bright, changed, bright.copy())}
        assert len(prints) == 2

    def test_progress_is_told(self) -> None:
        heard: list[tuple[str, int, int]] = []
        told = lambda *step: heard.append(step)  # noqa: E731
        evaluate_images(images(2_500), images(1_500, 1), metrics=["recall"], features=Flat(), progress=told)
        assert ("reading the samples", 2_500, 2_500) in heard
        assert ("reading the real images", 1_000, 1_500) in heard
        assert [step for step in heard if step[0] == "comparing neighbourhoods"][-1][1:] == (15, 15)


FEW = ["fid", "kid", "precision", "recall", "density", "coverage"]

PEAK = """
import resource, sys
import numpy as np, torch
torch.set_num_threads(1)
from kallima.evaluation import evaluate_images
from kallima.evaluation.fid import fid
from kallima.evaluation.prdc import neighbourhoods
from kallima.evaluation.features import OwnFeatures
from kallima.data.spec import Image, Spec

mix = torch.randn(48, 512, generator=torch.Generator().manual_seed(0))
project = OwnFeatures(lambda images: images.flatten(1).float() @ mix, "project")

def blocks(count, seed):
    rng = np.random.default_rng(seed)
    for _ in range(count // 1000):
        yield rng.integers(256, size=(1000, 4, 4, 3), dtype=np.uint8)

class Drawn:
    name, split, fingerprint, view, spec = "drawn", "train", "0", "as it is", Spec({"image": Image(3, 4, 4)})

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def read(self, indices):
        rng = np.random.default_rng(indices[0])
        return {"image": torch.from_numpy(rng.integers(256, size=(len(indices), 4, 4, 3), dtype=np.uint8))}

def look(count):
    given = {"metrics": ["memorisation"], "features": project, "real_limit": 1000}
    evaluate_images(Drawn(300), Drawn(count), held_out=Drawn(300), **given)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

what, count = sys.argv[1], int(sys.argv[2])
if what == "moments":
    evaluate_images(blocks(9000, 0), blocks(9000, 1), metrics=["fid"], features=project)
    before = peak()
    evaluate_images(blocks(count, 0), blocks(count, 1), metrics=["fid"], features=project)
elif what == "copies":
    look(9000)
    before = peak()
    look(count)
else:
    neighbourhoods(torch.randn(3000, 64), torch.randn(3000, 64))
    before = peak()
    neighbourhoods(torch.randn(count, 64), torch.randn(count, 64))
print(peak() - before)
"""


def growth(what: str, count: int) -> int:
    """Bytes by which the peak of a process grows when it judges `count` images, over what a few thousand take."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, what, str(count)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read as Linux counts it")
class TestMemory:
    def test_fid_keeps_no_features(self) -> None:
        # the features of 31,000 more in each set would be 127 MB
        assert growth("moments", 40_000) < 30e6

    def test_neighbourhoods_keep_no_matrix(self) -> None:
        # one matrix of distances would be 800 MB; both sets' features are 5 MB
        assert growth("neighbourhoods", 10_000) < 40e6

    def test_looking_for_copies_keeps_no_features(self) -> None:
        # the features of 31,000 more training images would be 63 MB, their distances to 600 others 150 MB
        assert growth("copies", 40_000) < 20e6


# "wide" has an odd number of folds, so that each fold is shared by both processes
SETS = {"many": (1301, 4), "few": (9, 4), "wide": (701, 18)}
COPIES = np.concatenate([images(1_501, 1)[700:760], images(41, 2)]), Memory(images(1_501, 1), None)

TOGETHER = """
import json, sys
import numpy as np, torch
import torch.distributed as dist
torch.set_num_threads(1)
dist.init_process_group("gloo")
from tests.test_extraction import COPIES, FEW, SETS, Flat, images, in_blocks
from kallima.evaluation import evaluate_images
found = {}
for name, (count, size) in SETS.items():
    for form in ("array", "blocks"):
        generated, real = images(count, 0, size), images(2 * count + 1, 1, size)
        if form == "blocks":
            generated, real = iter(in_blocks(generated, 17, 400)), iter(in_blocks(real, 1001))
        for chosen in (["fid"], FEW):
            scores = evaluate_images(generated, real, metrics=chosen, features=Flat(), distributed=True)
            found[f"{name} {form} {len(chosen)}"] = [[s.value, s.spread, s.real, s.generated] for s in scores]
            if form == "blocks":
                generated = iter(in_blocks(images(count, 0, size), 400))
                real = iter(in_blocks(images(2 * count + 1, 1, size), 5))
told = []
given = {"metrics": ["memorisation"], "features": Flat(), "real_limit": 60, "distributed": True}
(score,) = evaluate_images(*COPIES, held_out=images(101, 3), suspects=told.append, **given)
copies = [score.value, score.spread, score.real, told[0].tolist()]
open(f"{sys.argv[1]}/rank{dist.get_rank()}", "w").write(json.dumps([found, copies]))
dist.barrier()
dist.destroy_process_group()
"""


class TestProcesses:
    def test_two_processes_reach_the_score_of_one(self, tmp_path: Path) -> None:
        script = tmp_path / "together.py"
        script.write_text(TOGETHER)
        done = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", script, tmp_path],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        assert done.returncode == 0, done.stderr
        first, second = (json.loads((tmp_path / f"rank{rank}").read_text()) for rank in (0, 1))
        assert first == second
        first, copies = first
        told: list[Tensor] = []
        (score,) = evaluate_images(
            *COPIES, metrics=["memorisation"], held_out=images(101, 3), features=Flat(), suspects=told.append
        )
        assert copies == [pytest.approx(score.value), pytest.approx(score.spread), 1_501, told[0].tolist()]
        assert len(first) == 12
        for key, scores in first.items():
            name, _, chosen = key.split()
            count, size = SETS[name]
            alone = evaluate_images(
                images(count, 0, size), images(2 * count + 1, 1, size), metrics=FEW[: int(chosen)], features=Flat()
            )
            for one, (value, spread, real, generated) in zip(alone, scores, strict=True):
                assert value == pytest.approx(one.value, rel=1e-10, abs=1e-10), key
                assert spread == (None if one.spread is None else pytest.approx(one.spread, rel=1e-6))
                assert (real, generated) == (one.real, one.generated)

    def test_without_a_group_it_says_how_to_form_one(self) -> None:
        with pytest.raises(UsageError, match="start with torchrun"):
            evaluate_images(images(9), images(9, 1), features=Flat(), distributed=True)


def test_a_registered_metric_is_described() -> None:
    assert set(IMAGE_METRICS) == {name for name, metric in METRICS.items() if "image" in metric.field.split(" or ")}


def test_neighbourhoods_tell_every_block() -> None:
    steps: list[int] = []
    x, y = draw(10, 3, 1), draw(8, 3, 2)
    neighbourhoods(x, y, progress=lambda what, done, total: steps.append(done - total))
    assert steps[-1] == 0
