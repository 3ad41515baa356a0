"""View synthesis: a picture seen from elsewhere, painted anew or by appearance flow (Zhou et al. 2016)."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.spec import Image, Spec, Values, Video
from kallima.decoding import PLAIN, Decoding
from kallima.errors import DataError
from kallima.layers.modes import evaluating
from kallima.networks.views import DirectView, FlowView
from kallima.recipe import recipe
from kallima.system import Batch, Phase, System, Terms
from kallima.systems.descent import Descent, player


class ViewSynthesis(System):
    """From one view of a thing, and how it is turned, the other view.

    Zhou, Tulsiani, Sun, Malik & Efros 2016, "View synthesis by appearance flow", arXiv:1605.03557; after it Park, Yang,
    Yumer, Ceylan & Berg 2017, "Transformation-grounded image generation network", arXiv:1703.02921.

        ŷ = G(x, c)              direct: every pixel is painted
        ŷ_i = x(i + f_i)         flow:   f = F(x, c) says for every pixel how far away in x it is looked up
        minimised   E | ŷ − y |, the mean over pixels

    Symbols: x the first frame, y the second, c the values that tell how one becomes the other, such as an angle, f the
    appearance flow; x between pixels is bilinear, so that f has a gradient. Pixels that are painted must go through
    the code and come out as far as it has room for them: new letters are blurred into those that it knows. Pixels that
    are looked up keep their form whatever it is, but what is not in x the flow cannot show.

    `complete` makes the second frame of the first, under the values asked for. What to watch: the one term, "absolute",
    is the mean absolute error with pixels from −1 to 1.

    Where we deviate: one input view, no network for what is hidden in it (Park et al. add one, and paint what it
    marks); flow is counted from the pixel itself, so that a network that says nothing shows x again.
    """

    def __init__(self, spec: Spec, network: nn.Module, conditions: Conditions, *, descent: Descent):
        super().__init__()
        self.spec, self.network, self.conditions, self.descent = spec, network, conditions, descent

    def game(self) -> list[Phase]:
        """One player, who comes near the other view."""
        both = player("network", self.network, self.conditions, descent=self.descent)
        return [Phase("network", both, self.loss, after=self.learn)]

    def loss(self, batch: Batch) -> tuple[Terms, dict[str, Tensor]]:
        """Return the mean absolute error of the second frame."""
        condition = self.conditions.vectors(batch)
        first, second = batch["video"].unbind(1)
        return {"absolute": (self.network(first, condition) - second).abs().mean()}, {"condition": condition}

    def learn(self, notes: Mapping[str, Tensor]) -> None:
        """Remember the conditions of the data."""
        self.conditions.remember(notes["condition"])

    @torch.no_grad()
    def complete(
        self,
        examples: Tensor,
        known: Tensor,
        *,
        condition: Tensor | None = None,
        rng: torch.Generator | None = None,
        decoding: Decoding = PLAIN,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Return pairs of frames (N, 2, C, H, W): what is not `known`, bool (N, 2, H, W), black in the first frame and
        what the other becomes under `condition` (N, K) in the second; without one it is drawn as the data has them.

        Nothing else is drawn, whatever `decoding` says.
        """
        if condition is None:
            condition = self.conditions.draw(len(examples), rng)
        first = torch.where(known[:, 0, None], examples[:, 0], -1.0)
        with evaluating(self):
            view = self.network(first, condition.to(self.device)).clamp(-1, 1)
        if progress is not None:
            progress(1, 1)
        return torch.stack([first, torch.where(known[:, 1, None], examples[:, 1], view)], 1)


def _frame(spec: Spec) -> Image:
    """Return what one of the two frames is like.

    Raises:
        DataError: there are not two.
    """
    video = spec["video"]
    assert isinstance(video, Video)
    if video.frames != 2:
        raise DataError(f"a view and the other are two frames, and these videos have {video.frames}")
    return Image(video.channels, video.height, video.width)


@recipe(
    "view-direct",
    family="video",
    paper="Zhou et al. 2016, arXiv:1605.03557; Park et al. 2017, arXiv:1703.02921",
    needs={"video": Video, "values": Values},
    steps=6_000,
    batch_size=32,
)
def view_direct(
    spec: Spec,
    *,
    width: int = 16,
    code: int = 256,
    descent: Descent = Descent(schedule="cosine"),
) -> ViewSynthesis:
    """The other view painted pixel by pixel: what appearance flow is held against.

    minimised   E | G(x, c) − y |

    Args:
        width: channels at half the picture's size.
        code: numbers that the picture goes through.
    """
    conditions = Conditions(spec)
    network = DirectView(_frame(spec), condition_size=conditions.size, width=width, code=code)
    return ViewSynthesis(spec, network, conditions, descent=descent)


@recipe(
    "view-flow",
    family="video",
    paper="Zhou et al. 2016, arXiv:1605.03557",
    needs={"video": Video, "values": Values},
    steps=6_000,
    batch_size=32,
)
def view_flow(
    spec: Spec,
    *,
    width: int = 16,
    code: int = 256,
    descent: Descent = Descent(schedule="cosine"),
) -> ViewSynthesis:
    """The other view looked up in the first, pixel by pixel: appearance flow.

    minimised   E | x(i + f_i) − y_i |,     f = F(x, c)

    Args:
        width: channels at half the picture's size.
        code: numbers that the picture goes through, to say where pixels come from.
    """
    conditions = Conditions(spec)
    network = FlowView(_frame(spec), condition_size=conditions.size, width=width, code=code)
    return ViewSynthesis(spec, network, conditions, descent=descent)
