"""The systems of moving pictures on the embedded sets: what docs/video.md says of them.

    python benchmarks/video.py                 # all, about an hour of one core
    python benchmarks/video.py frames views    # some

  frames      frame-mse against frame-adversarial on moving-digit: squared error of the next frame and its sharpness
  views       view-flow against view-direct on glyph-views: mean absolute error on characters never seen
  likelihood  convlstm and video-pixel-network on moving-digit: nats a frame, beside what can at best be reached
  clips       video-gan and tgan on moving-digit: in how many frames of a clip a classifier sees one digit
  codes       dc-ign on turned-glyphs: how much of each factor its own number of the code tells

Everything is trained on the train split and judged on the test split, seed 0. Writes benchmarks/results/video.jsonl and
docs/images/video/*.png.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import kallima
from kallima.data.batch import Batch, as_batch, to_storage
from kallima.data.dataset import prepare
from kallima.data.opening import open_source
from kallima.data.turned_glyphs import FACTORS, RANGES, TurnedGlyphs, seen
from kallima.data.view import View
from kallima.objectives.frames import laplacian_energy
from kallima.recipe import get_recipe
from kallima.reporting.grid import image_grid, save_picture
from kallima.training.trainer import Trainer

HERE = Path(__file__).parent
RESULTS, PICTURES = HERE / "results" / "video.jsonl", HERE.parent / "docs" / "images" / "video"
KNOWN = 4  # frames that are given where a video is gone on with
Row = dict[str, Any]


class Shuffled:
    """Batches of a split, drawn by position."""

    def __init__(self, data: str, size: int):
        self.dataset, self.size, self.position = prepare(open_source(data), View()), size, 0

    def next(self) -> Batch:
        rng = np.random.default_rng(self.position)
        self.position += 1
        return as_batch(self.dataset.read(np.sort(rng.integers(len(self.dataset), size=self.size))))

    def seek(self, position: int) -> None:
        self.position = position


def trained(recipe: str, data: str, steps: int, size: int, **arguments: Any) -> Any:
    torch.manual_seed(0)
    stream = Shuffled(data, size)
    trainer = Trainer(get_recipe(recipe).build(stream.dataset.spec, **arguments), {"data": stream}, steps=steps)
    for _ in range(steps):
        trainer.play()
    return trainer.average.system


def tested(data: str, count: int) -> Batch:
    return as_batch(prepare(open_source(data, split="test"), View()).read(np.arange(count)))


def beginning(videos: Tensor, frames: int) -> Tensor:
    known = torch.zeros(len(videos), videos.shape[1], *videos.shape[3:], dtype=torch.bool)
    known[:, :frames] = True
    return known


def picture(name: str, rows: Tensor) -> None:
    """Write videos (N, T, C, H, W), a row each."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    images = to_storage(rows.flatten(0, 1)).numpy()
    save_picture(PICTURES / f"{name}.png", image_grid(images, columns=rows.shape[1]))


def frames() -> Iterator[Row]:
    real = tested("moving-digit", 300)["video"]
    shown = [real[:4]]
    for recipe in ("frame-mse", "frame-adversarial"):
        system = trained(recipe, "moving-digit", 2000, 32, width=16)
        padded = system.padded(real)
        with torch.no_grad():
            guesses = [system.predictor(padded[:, at : at + system.context]) for at in range(KNOWN, real.shape[1])]
        made, came = torch.stack(guesses, 1).clamp(-1, 1), real[:, KNOWN:]
        energy = laplacian_energy(made.flatten(0, 1)).mean() / laplacian_energy(came.flatten(0, 1)).mean()
        yield {"system": recipe, "squared_error": (made - came).square().mean().item(), "sharpness": energy.item()}
        shown += [torch.cat([real[:4, :KNOWN], made[:4]], 1), system.complete(real[:4], beginning(real[:4], KNOWN))]
    picture("frames", torch.stack(shown, 1).flatten(0, 1))


def views() -> Iterator[Row]:
    batch = tested("glyph-views", 500)
    pairs = batch["video"]
    yield {"system": "the first view", "absolute_error": (pairs[:, 0] - pairs[:, 1]).abs().mean().item()}
    shown = [pairs]
    for recipe in ("view-direct", "view-flow"):
        system = trained(recipe, "glyph-views", 3000, 32)
        made = system.complete(pairs, beginning(pairs, 1), condition=system.conditions.vectors(batch))[:, 1:]
        yield {"system": recipe, "absolute_error": (made[:, 0] - pairs[:, 1]).abs().mean().item()}
        shown.append(made)
    picture("views", torch.cat(shown, 1)[:8])


def likelihood() -> Iterator[Row]:
    source = open_source("moving-digit")
    batch = tested("moving-digit", 200)
    videos = batch["video"]
    yield {"system": "the best there can be", "nats_a_video": source.entropy()}  # type: ignore[attr-defined]
    for recipe, more in (("convlstm", {}), ("video-pixel-network", {"depth": 2})):
        system = trained(recipe, "moving-digit", 3000, 8, width=16, layers=1, **more)
        with torch.no_grad():
            components = system.components_of(videos)
            said = [system.log_probabilities(each, system.parameters_of(each, None)) for each in components.split(50)]
        each_frame = -torch.cat(said).unflatten(1, (videos.shape[1], -1)).sum(2).mean(0)
        yield {"system": recipe, "nats_a_video": each_frame.sum().item(), "nats_by_frame": each_frame.tolist()}
        rng = torch.Generator().manual_seed(0)
        gone_on = system.complete(videos[:4], beginning(videos[:4], KNOWN), rng=rng)
        picture(recipe, torch.cat([system.sample(4, rng=rng), torch.stack([videos[:4], gone_on], 1).flatten(0, 1)]))


def clips() -> Iterator[Row]:
    judge = classifier()
    real = tested("moving-digit", 500)["video"]
    yield {"system": "the data", **one_digit(judge, real)}
    for recipe, more in (("video-gan", {}), ("tgan", {"motion": 4, "latent_dim": 32})):
        rates = {"learning_rate": 3e-4, "discriminator_learning_rate": 3e-4}
        made = trained(recipe, "moving-digit", 6000, 32, width=16, **rates, **more).sample(
            500, rng=torch.Generator().manual_seed(0)
        )
        yield {"system": recipe, **one_digit(judge, made)}
        picture(recipe, made[:8])


def classifier() -> nn.Module:
    """Return a network that tells the digit in single frames, trained for 2,500 steps on the train split."""
    torch.manual_seed(0)
    widths = ((1, 32, 1), (32, 32, 2), (32, 64, 1), (64, 64, 2))
    layers = [part for before, after, stride in widths for part in (nn.Conv2d(before, after, 3, stride, 1), nn.ReLU())]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 10))
    optimizer, stream = torch.optim.Adam(network.parameters(), 1e-3), Shuffled("moving-digit", 64)
    for step in range(2500):
        batch = stream.next()
        loss = F.cross_entropy(network(batch["video"][:, step % batch["video"].shape[1]]), batch["label"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


@torch.no_grad()
def one_digit(judge: nn.Module, videos: Tensor) -> Row:
    """Return the share of frames in which a clip's commonest digit is seen, and how many digits are the commonest."""
    found = judge(videos.flatten(0, 1)).argmax(1).unflatten(0, videos.shape[:2])
    commonest = found.mode(1).values
    return {
        "one_digit": (found == commonest[:, None]).float().mean().item(),
        "digits": len(commonest.unique()),
    }


def codes() -> Iterator[Row]:
    system = trained("dc-ign", "turned-glyphs", 5500, 16)
    source, rng = TurnedGlyphs("test"), np.random.default_rng(0)
    low, high = np.array(RANGES).T
    factors = low + rng.random((1000, len(FACTORS))) * (high - low)  # all at once, as in no clip
    letters = [source.letters(4 * int(each))[0] for each in rng.integers(len(source) // 4, size=1000)]
    pictures = np.stack([seen(source.letter(int(place)), *each) for place, each in zip(letters, factors, strict=True)])
    found = system.codes_of(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1).numpy()
    explained = np.corrcoef(found.T, factors.T)[: found.shape[1], found.shape[1] :] ** 2
    for place, name in enumerate(FACTORS):
        others = np.delete(explained[:, place], place).max()
        yield {"system": "dc-ign", "factor": name, "own": float(explained[place, place]), "others": float(others)}
    condition = torch.eye(4)[torch.arange(8) % 4]
    picture("dc-ign", system.sample(8, condition=condition, rng=torch.Generator().manual_seed(0)))


KINDS: dict[str, Callable[[], Iterator[Row]]] = {
    "frames": frames,
    "views": views,
    "likelihood": likelihood,
    "clips": clips,
    "codes": codes,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)}; all by default")
    kinds = parser.parse_args().kinds or list(KINDS)
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no kind '{unknown.pop()}'; there are {', '.join(KINDS)}")
    measured = []
    for kind in kinds:
        for row in KINDS[kind]():
            print(kind, row, flush=True)
            measured.append({"kind": kind, **row, "seed": 0, "kallima": kallima.__version__})
    kept = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    others = [text for text in kept if json.loads(text)["kind"] not in kinds]
    RESULTS.write_text("\n".join([*others, *map(json.dumps, measured)]) + "\n")


if __name__ == "__main__":
    main()
