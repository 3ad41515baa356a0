"""R-precision: whether an image is nearer to its own caption than to others, as a judge of real pairs sees it.

Xu et al. 2018 (arXiv:1711.10485, section 4): each image among 100 captions, its own and 99 that say something else; the
share of which its own is the nearest. Chance is 1 %. The judge, an encoder of images and one of captions that meet in
one space, learns from the training pairs, where equal captions count as one.
"""

import logging

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.batch import to_storage
from kallima.data.spec import Image, Text
from kallima.evaluation.capability.subject import Found, Seen, Subject
from kallima.evaluation.features.extractor import squared, working_size
from kallima.evaluation.features.probe import ProbeNetwork
from kallima.evaluation.resampling import share_of

CANDIDATES = 100
WIDTH, BATCH, STEPS, RATE = 64, 128, 600, 3e-3
_SEED = 0
_log = logging.getLogger(__name__)


class PairJudge(nn.Module):
    """Images uint8 (N, H, W, C) and codes of captions (M, L) to unit vectors in one space, (N, 64) and (M, 64)."""

    def __init__(self, channels: int, size: int, codes: int):
        super().__init__()
        self.size = size
        self.image = ProbeNetwork(channels, size, WIDTH)
        self.words = nn.EmbeddingBag(codes, WIDTH, mode="mean", padding_idx=0)
        self.caption = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        self.log_scale = nn.Parameter(torch.tensor(2.3))

    def see(self, images: Tensor) -> Tensor:
        """(N, H, W, C) to (N, 64)."""
        return F.normalize(self.image(squared(images, self.size)), dim=1)

    def read(self, codes: Tensor) -> Tensor:
        """(M, L) to (M, 64)."""
        return F.normalize(self.caption(self.words(codes)), dim=1)


def trained_judge(images: Tensor, codes: Tensor, vocabulary: int, *, steps: int = STEPS) -> PairJudge:
    """Train a judge on images uint8 (N, H, W, C) and their captions (N, L): symmetric cross-entropy over a batch.

    Among the captions of a batch all that equal an image's own are right, with equal shares.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        _, height, width, channels = images.shape
        judge = PairJudge(channels, working_size(Image(channels, height, width)), vocabulary)
        step = torch.optim.Adam(judge.parameters(), RATE)
        fading = torch.optim.lr_scheduler.CosineAnnealingLR(step, steps)
        for _ in range(steps):
            chosen = torch.randint(len(images), (BATCH,))
            near = judge.log_scale.exp() * judge.see(images[chosen]) @ judge.read(codes[chosen]).T
            same = (codes[chosen][:, None] == codes[chosen][None]).all(2).float()
            right = same / same.sum(1, keepdim=True)
            loss = F.cross_entropy(near, right) + F.cross_entropy(near.T, right)
            step.zero_grad()
            loss.backward()
            step.step()
            fading.step()
    return judge.eval().requires_grad_(False)


def nearest_is_own(judge: PairJudge, images: Tensor, codes: Tensor, captions: Tensor) -> Tensor:
    """Return of each image (N, H, W, C) whether its caption (N, L) is nearer than 99 of `captions` (M, L) that differ.

    Where fewer differ, all of them are candidates. bool (N,).
    """
    rng = torch.Generator().manual_seed(_SEED)
    read, own = judge.read(captions), judge.read(codes)
    right = []
    for vector, caption, code in zip(_seen(judge, images), own, codes, strict=True):
        other = (captions != code).any(1).nonzero()[:, 0]
        other = other[torch.randperm(len(other), generator=rng)[: CANDIDATES - 1]]
        right.append(bool((vector @ caption) > (read[other] @ vector).max()))
    return torch.tensor(right)


def r_precision(subject: Subject) -> Found:
    """Return the share of images that are nearer to the caption they were drawn for than to 99 others."""
    text = subject.system.spec["text"]
    assert isinstance(text, Text)
    made, asked = subject.pictured
    images, codes = _pairs(subject.known)
    held_out = min(len(images) // 5, 1_000)
    _log.info("training a judge of captions and images on %s (some twenty seconds)", subject.known.dataset.name)
    judge = trained_judge(images[held_out:], codes[held_out:], text.codes)
    captions = torch.cat([codes, asked["text"]]).unique(dim=0)
    right = nearest_is_own(judge, made, asked["text"], captions)
    real = nearest_is_own(judge, images[:held_out], codes[:held_out], captions).double().mean()
    count = min(CANDIDATES, len(captions))
    notes = (f"among {count} captions, of {len(captions):,} different ones; real images held out reach {real:.1%}",)
    return Found(share_of(right.numpy(), notes), subject.real, held_out, len(made))


def lacks_captions(subject: Subject) -> str | None:
    """Say why there are no captions to ask for."""
    if "text" not in subject.system.conditions.senses:
        told = ", ".join(subject.system.conditions.fields)
        return f"needs a system that draws captions, and {subject.name} is told {told}"
    if subject.trained_on is None or subject.real is None:
        return "needs the data that the run was trained on"
    return None


def _pairs(seen: Seen) -> tuple[Tensor, Tensor]:
    """Return the images, as stored, and the captions of examples."""
    images, codes = [], []
    for record in seen.records(torch.device("cpu")):
        images.append(to_storage(record["image"]))
        codes.append(record["text"])
    return torch.cat(images), torch.cat(codes)


def _seen(judge: PairJudge, images: Tensor) -> Tensor:
    return torch.cat([judge.see(some) for some in images.split(250)])
