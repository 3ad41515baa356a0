"""What a training can be told besides its recipe's own arguments. Each field is an option of the command line.

Plain data without torch: the command line is generated from these classes, and run.json keeps them.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal

from kallima.errors import UsageError


@dataclass(frozen=True)
class DataOptions:
    """Which data, and how its examples are looked at."""

    data: str
    """An embedded set (see `kallima data list`), a folder of images or sounds, or a file: .npz, .npy, idx, .tar,
    .tar.gz or .txt."""
    key: str | None = None
    """Which array of an .npz to read, where its names don't say."""
    size: int | None = None
    """Height and width of the images in pixels; without it they keep their own."""
    crop: Literal["centre", "random", "none"] = "centre"
    """How an image becomes square: cut out its centre or a random part, or stretch it (none)."""
    channels: Literal[1, 3, 4] | None = None
    """1 for grey, 3 for RGB, 4 for RGBA; without it the images keep theirs."""
    rate: int | None = None
    """Samples a second of the sounds; without it the commonest of their own."""
    seconds: float | None = None
    """Length of the sounds: longer ones are cut, shorter ones end in silence; without it that of the longest."""
    tokens: Literal["character", "word"] | None = None
    """What texts are made of; without it characters."""
    length: int | None = None
    """Codes of a text, its end among them: what is longer is cut; without it those of the longest, at most 1,024."""
    vocabulary: int | None = None
    """How many tokens, the most frequent, have a code of their own; without it 10,000."""
    skip_bad: bool = False
    """Go on without the files that cannot be read, instead of stopping with their list."""

    def beside_name(self) -> dict[str, Any]:
        """Return all but the name of the data, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "data"}


@dataclass(frozen=True)
class TrainingOptions:
    """How long and on what to train, and what to record."""

    steps: int | None = None
    """Turns of the game; without it the recipe's own length."""
    batch_size: int | None = None
    """Examples a step, over all processes and micro-batches; without it the recipe's own."""
    seed: int = 0
    """Decides the initial weights, the order of the data, the noise and the pictured latents."""
    flip: bool = False
    """Mirror each image from left to right with probability one half."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    precision: Literal["32", "bf16", "fp16"] = "32"
    """Number format of the forward passes, the weights staying in 32 bits: bf16 is faster on GPUs and on many CPUs."""
    channels_last: bool = True
    """Store images with their channels innermost, which convolutions mostly prefer."""
    compile: bool = False
    """Compile each phase with torch.compile: slow to start, faster after."""
    accumulate: int = 1
    """Split a batch into this many micro-batches to save memory; their gradients are averaged."""
    workers: int = 0
    """Processes that decode images, for data too large for the prepared cache."""
    log_every: int = 50
    """Steps between records of the losses."""
    sample_every: int = 500
    """Steps between sample grids; 0 for none but the last."""
    checkpoint_every: int = 1000
    """Steps between checkpoints; the last step always has one."""
    keep: int = 3
    """How many checkpoints to keep, besides the best by score."""
    evaluate_every: int = 0
    """Steps between scores during training, which also find the best checkpoint; 0 for none."""
    tensorboard: bool = False
    """Write TensorBoard events as well (needs the extra `tensorboard`)."""
    doctor: Literal["warn", "stop", "rollback", "off"] = "warn"
    """What happens when training goes wrong: say so, stop, go back to the best checkpoint or the last healthy one and
    train on with smaller steps, or nothing."""
    rollback_factor: float = 0.5
    """What a rollback multiplies all learning rates by."""

    def __post_init__(self) -> None:
        least = {"steps": 0, "batch_size": 1, "accumulate": 1, "workers": 0, "log_every": 1, "sample_every": 0}
        least |= {"checkpoint_every": 1, "keep": 1, "evaluate_every": 0, "seed": 0}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise UsageError(f"--{name.replace('_', '-')} must be at least {bound}, not {value}")
        if not 0 < self.rollback_factor <= 1:
            raise UsageError(f"--rollback-factor must be above 0 and at most 1, not {self.rollback_factor}")
        if self.batch_size is not None and self.batch_size % self.accumulate:
            raise UsageError(
                f"--batch-size {self.batch_size} cannot be split into --accumulate {self.accumulate} parts"
            )
