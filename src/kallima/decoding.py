"""How the next component is chosen of those that a model thinks likely."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kallima.errors import UsageError


@dataclass(frozen=True)
class Decoding:
    """How to draw; by default as likely as the model says.

    `temperature` T sharpens (T < 1) or flattens (T > 1) the distribution p to p^(1/T); 0 takes the likeliest. `top_k`
    leaves the k likeliest choices (Fan et al. 2018, arXiv:1805.04833), `top_p` the smallest set of the likeliest that
    has this much of the probability together (nucleus sampling, Holtzman et al. 2020, arXiv:1904.09751). `beams` above
    1 searches for a likely whole instead of drawing, keeping so many beginnings; a model of text does that alone.

    Raises:
        UsageError: a number is out of range, or beams are to be drawn.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    beams: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 100:
            raise UsageError(f"--temperature must be from 0 to 100, not {self.temperature:g}")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"--top-k must be at least 1, not {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(f"--top-p must be above 0 and at most 1, not {self.top_p:g}")
        if self.beams < 1:
            raise UsageError(f"--beams must be at least 1, not {self.beams}")
        if self.beams > 1 and (self.temperature, self.top_k, self.top_p) != (1.0, None, None):
            raise UsageError("--beams searches for the likeliest: leave --temperature, --top-k and --top-p out")

    def sharpened(self, logits: Tensor) -> Tensor:
        """Return the logits (..., K) of what may be drawn: -inf for choices that are left out."""
        if self.temperature == 0:
            likeliest = logits.argmax(-1, keepdim=True)
            return torch.full_like(logits, -torch.inf).scatter(-1, likeliest, 0.0)
        logits = logits / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k, -1).values[..., -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        if self.top_p is not None and self.top_p < 1:
            ordered, places = logits.softmax(-1).sort(-1, descending=True)
            # a choice is left out if those before it have enough already, so the likeliest never is
            beyond = ordered.cumsum(-1) - ordered >= self.top_p
            logits = logits.masked_fill(beyond.gather(-1, places.argsort(-1)), -torch.inf)
        return logits

    def draw(self, logits: Tensor, rng: torch.Generator) -> Tensor:
        """Draw a choice for each row of logits (..., K): int64 (...); `rng` is a generator on the CPU.

        By the largest of logits and Gumbel noise, so that equal noise gives equal choices however they were computed.
        """
        sharpened = self.sharpened(logits.float())
        noise = torch.rand(sharpened.shape, generator=rng).clamp_(1e-20, 1 - 1e-7).to(logits.device)
        return (sharpened - (-noise.log()).log()).argmax(-1)


PLAIN = Decoding()
"""As likely as the model says."""
