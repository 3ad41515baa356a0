import pytest
import torch

from kallima.objectives.feature_matching import feature_matching

REAL = torch.tensor([[1.0, 2.0], [3.0, 6.0]], dtype=torch.float64)
FAKE = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 4.0]], dtype=torch.float64)


def loss(real, fake):
    return feature_matching.generator(real, fake)["adversarial"]


def test_by_hand():
    assert feature_matching.on_features
    assert feature_matching.relative
    assert float(loss(REAL, FAKE)) == pytest.approx((2 - 1) ** 2 + (4 - 2) ** 2)


def test_only_the_batch_means_are_matched():
    assert float(loss(REAL, REAL.flip(0))) == 0.0
    assert (
        float(loss(REAL, torch.tensor([[2.0, 4.0]]).double())) == 0.0
    )  # one fake at the mean: spread is not asked for
    assert float(loss(REAL, FAKE.flip(0))) == pytest.approx(float(loss(REAL, FAKE)))


def test_gradient_by_finite_differences():
    fake = FAKE.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda features: loss(REAL, features), [fake])
    loss(REAL, fake).backward()
    torch.testing.assert_close(fake.grad, torch.tensor([[-2.0, -4.0]]).double().expand(3, 2) / 3)
