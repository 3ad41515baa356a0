"""How unlike frames are: by their edges, and in how sharp they are."""

from torch import Tensor


def gradient_difference(made: Tensor, real: Tensor, power: float = 1.0) -> Tensor:
    """Return the gradient difference loss of images (N, C, H, W), a mean over pixels (Mathieu et al. 2015, Eq. 6).

    Along each axis | |x_i − x_{i−1}| − |y_i − y_{i−1}| |^power: how steep neighbours are is to agree, whichever way.
    """
    terms = []
    for axis in (-1, -2):
        steep, wanted = (images.diff(dim=axis).abs() for images in (made, real))
        terms.append((steep - wanted).abs().pow(power).mean())
    return terms[0] + terms[1]


def laplacian_energy(images: Tensor) -> Tensor:
    """Return the mean square of each image's Laplacian, (N, C, H, W) to (N,): much of what is sharp, little of a blur.

    The Laplacian is 4 x(i, j) less the four neighbours, at all pixels but those of the border.
    """
    inner = 4 * images[..., 1:-1, 1:-1]
    around = images[..., :-2, 1:-1] + images[..., 2:, 1:-1] + images[..., 1:-1, :-2] + images[..., 1:-1, 2:]
    return (inner - around).square().flatten(1).mean(1)
