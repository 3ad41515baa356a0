import copy

import pytest
import torch
from torch import nn

from kallima.data.batch import Batch
from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.systems.adversarial.gogan import GoGAN, gogan
from kallima.systems.adversarial.settings import Networks, Play
from kallima.training.trainer import Trainer
from tests.test_contract import Random
from tests.test_ebgan import Constant

SPEC = Spec({"points": Points(2)})
SMALL = Networks(width=8, depth=1, latent_dim=2)


class Sum(nn.Module):
    """Score an example by the sum of its coordinates, times a learnt number."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return self.factor * x.sum(1)


def test_the_critics_loss_by_hand_in_the_first_stage_and_in_later_ones():
    system = GoGAN(SPEC, Constant(1.0, 1.0), Sum(), stages=3, margin=1.0, weight_clip=1.0, play=Play())
    with torch.no_grad():
        system.previous.point.copy_(torch.tensor([1.0, 0.5]))  # scores: fakes 2, those of the stage before 1.5
    batch = Batch({"points": torch.tensor([[2.5, 0.0], [4.0, 0.0]])})  # scores 2.5 and 4
    for stage, share in ((0.0, 0.0), (1.0, 1.0), (2.0, 1.0)):
        system.stage.fill_(stage)
        terms, notes = system.discriminator_loss(batch)
        # [1 - 2.5 + 2]₊ and [1 - 4 + 2]₊; [2 - 2.5 + 1.5]₊ and [2 - 4 + 1.5]₊
        assert {name: term.item() for name, term in terms.items()} == pytest.approx(
            {"margin": 0.25, "ranking": share * 0.5}
        )
        assert notes["stage"].item() == stage
    assert system.generator_loss(batch)["adversarial"].item() == -2.0


def test_stages_end_at_equal_shares_and_keep_the_generator_of_that_moment():
    torch.manual_seed(0)
    system = gogan(SPEC, stages=3, networks=SMALL)
    trainer = Trainer(system, {"data": Random(SPEC)}, steps=10)
    kept = copy.deepcopy(system.generator.state_dict())
    stages = []
    for step in range(10):
        before = copy.deepcopy(system.generator.state_dict())
        scalars = trainer.play()
        stages.append(scalars["notes/stage"].item())
        if step in (4, 7):  # the first steps at a progress of 1/3 and 2/3 or more
            kept = before
        assert all(torch.equal(value, kept[name]) for name, value in system.previous.state_dict().items()), step
    assert system.stage == 2
    assert sorted(stages) == stages
    assert not any(weight.requires_grad for weight in system.previous.parameters())
    assert all(name in system.state_dict() for name in ("stage", "previous.output.weight"))


def test_a_run_cut_off_before_the_end_of_a_stage_goes_on_as_it_would_have():
    def trainer(seed):
        torch.manual_seed(seed)
        return Trainer(gogan(SPEC, stages=2, networks=SMALL), {"data": Random(SPEC)}, steps=6)

    straight, first, second = trainer(0), trainer(0), trainer(7)
    for _ in range(6):
        straight.play()
    for _ in range(2):
        first.play()
    second.load(copy.deepcopy(first.state()))
    for _ in range(4):
        second.play()
    ours, theirs = straight.system.state_dict(), second.system.state_dict()
    assert ours["stage"].item() == 1
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_weights_are_clipped_after_each_step():
    torch.manual_seed(0)
    system = gogan(SPEC, weight_clip=0.03, networks=SMALL)
    Trainer(system, {"data": Random(SPEC)}, steps=2).play()
    largest = max(weight.abs().max().item() for weight in system.discriminator.parameters())
    assert largest == pytest.approx(0.03)


def test_what_contradicts_itself_is_refused():
    with pytest.raises(UsageError, match="--stages"):
        gogan(SPEC, stages=0, networks=SMALL)
    with pytest.raises(UsageError, match="--discriminator mlp or dcgan"):
        gogan(Spec({"image": Image(1, 16, 16)}), networks=Networks(width=4, discriminator="plain"))
