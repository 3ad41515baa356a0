"""A user's own features: any function from images to vectors."""

from collections.abc import Callable

import torch
from torch import Tensor

from kallima.errors import DataError


class OwnFeatures:
    """Features by a function from images uint8 (n, H, W, C) to (n, d), called with at most `batch_size` at a time.

    `version` should change when the function does, as a hash of its weights would; without one, receipts say that
    nothing is known of it, and two evaluations are comparable only if you know better.
    """

    accuracy = None

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        name: str | None = None,
        *,
        version: str = "unknown",
        resize: str = "the function's own",
        range: str = "uint8, 0 … 255",
        batch_size: int = 250,
    ):
        self.function, self.batch_size = function, batch_size
        self.name: str = name or str(getattr(function, "__name__", type(function).__name__))
        self.version, self.resize, self.range = version, resize, range
        self.notes: tuple[str, ...] = (
            (f"{self.name} is a function of which no version is known",) if version == "unknown" else ()
        )

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Return features float32 (N, d) of images uint8 (N, H, W, C).

        Raises:
            DataError: the function returned no table of as many rows.
        """
        found = []
        for batch in images.split(self.batch_size):
            made = torch.as_tensor(self.function(batch))
            if made.ndim != 2 or len(made) != len(batch):
                raise DataError(
                    f"{self.name} made {tuple(made.shape)} of {len(batch)} images: it must return ({len(batch)}, d)"
                )
            found.append(made.float().cpu())
        return torch.cat(found)
