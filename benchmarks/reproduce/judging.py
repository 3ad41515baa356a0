"""What is measured of a run besides P3, and how it is pictured, for several entries each."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import kallima
from kallima.data.batch import from_storage, to_storage
from kallima.data.dataset import prepare
from kallima.data.opening import open_source
from kallima.data.view import View

Judge = Callable[["kallima.Run"], dict[str, float]]


def by_capability(*metrics: str, split: str = "test") -> Judge:
    """Return what judges a run by metrics of `kallima evaluate`."""

    def judge(run: "kallima.Run") -> dict[str, float]:
        scores = kallima.evaluate(run, metrics=list(metrics), split=split, device="cpu")
        return {score.metric: score.value for score in scores}

    return judge


def both(*judges: Judge) -> Judge:
    """Return what judges a run by several."""
    return lambda run: {name: value for judge in judges for name, value in judge(run).items()}


def unseen(run: "kallima.Run", count: int | None = None) -> torch.Tensor:
    """Return images (N, C, H, W) in [-1, 1] of the test split of the data that a run was trained on."""
    data = prepare(open_source(run.manifest["source"]["name"], split="test"), View())
    return from_storage(data.read(np.arange(count or len(data)))["image"])


def rebuilding(run: "kallima.Run") -> dict[str, float]:
    """Return the root mean square error of the test images' reconstructions, own and of shuffled pairs.

    "rebuilt" is the share of them whose nearest neighbour among 10,000 training images, by pixels, is of their class.
    """
    system: Any = kallima.load(run, device="cpu")
    images = unseen(run)
    made = torch.cat([system.reconstruct(part) for part in images.split(500)])
    pairs = {"rmse": images, "shuffled": images.roll(1, 0)}
    found = {name: (made - other).square().mean().sqrt().item() for name, other in pairs.items()}
    with np.load(run.manifest["source"]["name"]) as arrays:
        known, labels = torch.from_numpy(arrays["x_train"][:10_000]), arrays["y_train"][:10_000]
        truth = arrays["y_test"]
    nearest = torch.cat(
        [torch.cdist(part, 2 * known.flatten(1) / 255 - 1).argmin(1) for part in made.flatten(1).split(500)]
    )
    return found | {"rebuilt": float((labels[nearest.numpy()] == truth).mean())}


def squared_error(run: "kallima.Run") -> dict[str, float]:
    """Return the squared error of the test images' reconstructions, summed over pixels in [0, 1], and PCA's."""
    found = by_capability("squared-error", "pca-error")(run)
    return {"error": found["squared-error"], "PCA": found["pca-error"]}


def information(run: "kallima.Run") -> dict[str, float]:
    """Return the last note of the information that the category's reader has, nats: the mean of the last tenth."""
    import json

    lines = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    found = [line["value"] for line in lines if line["name"] == "notes/information"]
    return {"L_I": float(np.mean(found[-max(1, len(found) // 10) :]))}


def code_p(run: "kallima.Run") -> dict[str, float]:
    """Return p of a permutation test that codes of test images are draws from the prior."""
    from kallima.evaluation.gaussian_mmd import permutation_p

    system: Any = kallima.load(run, device="cpu")
    noise = system.parts["z"]
    codes = system.encode(unseen(run, 1000))[:, noise]
    prior = system.latents(1000, rng=torch.Generator().manual_seed(0))[:, noise]
    return {"p": float(permutation_p(codes, prior))}


def rows_of_classes(run: "kallima.Run") -> np.ndarray:
    """Picture a row of eight samples for each class, of the same latents."""
    return kallima.sample(run, 8, condition="label=*", device="cpu")


def rows_of_domains(run: "kallima.Run") -> np.ndarray:
    """Picture samples in either domain, row under row, of the same latents."""
    first, second = np.split(kallima.sample(run, 32, condition="domain=*", device="cpu"), 2)
    return np.concatenate(
        [
            part
            for rows in zip(first.reshape(4, 8, *first.shape[1:]), second.reshape(4, 8, *second.shape[1:]), strict=True)
            for part in rows
        ]
    )


def rows_of_categories(run: "kallima.Run") -> np.ndarray:
    """Picture a row for each category that was found, of the same noise."""
    system: Any = kallima.load(run, device="cpu")
    latents = system.latents(8, rng=torch.Generator().manual_seed(0))
    place = system.parts["category"]
    count = latents[:, place].shape[1]
    rows = latents.repeat(count, 1)
    rows[:, place] = torch.eye(count).repeat_interleave(8, 0)
    return to_storage(system.decode(rows)).numpy()


def beside_originals(run: "kallima.Run") -> np.ndarray:
    """Picture test images and, under each, its reconstruction; then two rows of samples where there are any."""
    system: Any = kallima.load(run, device="cpu")
    images = unseen(run, 24)
    pairs = torch.stack(
        [images.view(3, 8, *images.shape[1:]), system.reconstruct(images).view(3, 8, *images.shape[1:])], 1
    )
    shown = [to_storage(pairs.flatten(0, 2)).numpy()]
    if hasattr(system, "sample"):
        shown.append(kallima.sample(run, 16, device="cpu"))
    return np.concatenate(shown)
