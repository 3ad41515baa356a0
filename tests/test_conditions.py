"""Conditions: fields of the data as one vector, what is drawn of them, and the wishes that a user writes."""

import pytest
import torch

from kallima.conditions import KINDS, REMEMBERED, Conditions
from kallima.data.batch import Batch
from kallima.data.spec import Attributes, Image, Label, Points, Spec, Values
from kallima.errors import DataError, UsageError

SPEC = Spec(
    {
        "image": Image(1, 8, 8),
        "values": Values(("age", "size"), (40.0, 1.0), (10.0, 0.5)),
        "attributes": Attributes(("bold", "italic")),
        "label": Label(("a", "b", "c")),
        "domain": Label(("left", "right")),
    }
)
PLACES = {"label": (0, 3), "bold": (3, 4), "italic": (4, 5), "age": (5, 6), "size": (6, 7), "domain": (7, 9)}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def told(conditions: Conditions, *rows: list[float]) -> Conditions:
    """Let the memory hold nothing but these conditions."""
    conditions.remember(torch.tensor(rows).float().repeat(-(-REMEMBERED // len(rows)), 1)[:REMEMBERED])
    return conditions


def test_fields_lie_side_by_side_in_the_order_of_the_kinds_whatever_the_datas():
    conditions = Conditions(SPEC)
    assert conditions.fields == tuple(KINDS)
    assert {name: (part.place.start, part.place.stop) for name, part in conditions.parts.items()} == PLACES
    assert conditions.size == 9
    batch = Batch(
        {
            "image": torch.zeros(2, 1, 8, 8),
            "label": torch.tensor([2, 0]),
            "attributes": torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
            "values": torch.tensor([[-1.0, 2.0], [0.5, 0.0]]),
            "domain": torch.tensor([1, 0]),
        }
    )
    expected = [[0, 0, 1, 1, 0, -1, 2, 0, 1], [1, 0, 0, 0, 1, 0.5, 0, 1, 0]]
    assert conditions.vectors(batch).tolist() == expected


def test_chosen_fields_keep_the_order_in_which_they_are_chosen():
    conditions = Conditions(SPEC, ("domain", "label"))
    assert list(conditions.parts) == ["domain", "label"]
    assert conditions.size == 5


def test_before_training_every_class_meets_every_other_and_nothing_is_missing():
    memory = Conditions(Spec({"label": Label(("a", "b")), "domain": Label(("l", "r")), **SPEC})).memory.rows
    classes, counts = torch.unique(memory[:, [0, 1, 2, 7, 8]], dim=0, return_counts=True)
    assert len(classes) == 6
    assert counts.max() - counts.min() <= 1
    assert set(memory[:, 3:5].unique().tolist()) == {0.0, 1.0}
    assert abs(memory[:, 5:7].std().item() - 1) < 0.05


def test_the_memory_keeps_the_latest_and_overwrites_the_oldest():
    conditions = Conditions(SPEC, ("values",))
    first = conditions.memory.rows.clone()
    conditions.remember(torch.full((3, 2), 7.0))
    assert (conditions.memory.rows[:3] == 7).all()
    assert torch.equal(conditions.memory.rows[3:], first[3:])
    conditions.remember(torch.full((REMEMBERED - 1, 2), 8.0))
    assert (conditions.memory.rows == 8).all(1).nonzero()[:, 0].tolist() == [0, 1, *range(3, REMEMBERED)]
    conditions.remember(torch.arange(2.0 * REMEMBERED + 4).reshape(-1, 2))
    assert sorted(conditions.memory.rows[:, 0].tolist()) == [4.0 + 2 * i for i in range(REMEMBERED)]


def test_what_is_drawn_is_what_the_data_has_jointly():
    conditions = told(Conditions(SPEC, ("label", "attributes")), [1, 0, 0, 1, 1], [0, 1, 0, 0, 1], [0, 1, 0, 0, 1])
    drawn = conditions.draw(3000, seeded())
    assert torch.equal(drawn, conditions.draw(3000, seeded()))
    rows, counts = torch.unique(drawn, dim=0, return_counts=True)
    assert rows.tolist() == [[0, 1, 0, 0, 1], [1, 0, 0, 1, 1]]
    assert abs(counts[0].item() / 3000 - 2 / 3) < 0.03


def test_wishes_are_met_and_the_rest_is_as_the_data_has_it_with_them():
    conditions = told(Conditions(SPEC, ("label", "attributes")), [1, 0, 0, 1, 1], [0, 1, 0, 0, 1], [0, 1, 0, 1, 0])
    of_b = conditions.meet({"label": "b"}, 400, seeded())
    assert {tuple(row) for row in of_b.tolist()} == {(0, 1, 0, 0, 1), (0, 1, 0, 1, 0)}
    plain = conditions.meet({"label": "a", "bold": False}, 400, seeded())  # which the data has nowhere
    assert (plain[:, :4] == torch.tensor([1.0, 0, 0, 0])).all()
    assert set(plain[:, 4].tolist()) == {0.0, 1.0}
    assert conditions.meet({}, 5, seeded()).shape == (5, 5)
    assert (conditions.memory.rows[:, :3].sum(1) == 1).all(), "meeting wishes changes no memory"


def test_values_are_asked_for_in_their_own_units():
    conditions = Conditions(SPEC)
    met = conditions.meet({"age": "55", "size": 0.75, "domain": "right"}, 3, seeded())
    assert torch.equal(met[:, 5:], torch.tensor([1.5, -0.5, 0.0, 1.0]).expand(3, 4))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("label=a", [{"label": "a"}]),
        (" label = b ,bold=true; age=35.5 ;", [{"label": "b", "bold": "true"}, {"age": "35.5"}]),
        ("label=a; ", [{"label": "a"}]),
        ("domain=*", [{"domain": "left"}, {"domain": "right"}]),
        ("bold=*,label=c", [{"bold": each, "label": "c"} for each in ("false", "true")]),
        ("domain=*,bold=*", [{"domain": d, "bold": b} for d in ("left", "right") for b in ("false", "true")]),
        ("", [{}]),
        ('label="x, y; z",bold=no', [{"label": "x, y; z", "bold": "no"}]),
        ('"odd, name"="="', [{"odd, name": "="}]),
    ],
)
def test_wishes_are_read_a_row_each(text: str, rows: list[dict[str, str]]):
    assert Conditions(SPEC).read(text) == rows


@pytest.mark.parametrize("word", ["a", "two words", ",", ";", "=", "a=b", " edge ", "é"])
def test_what_is_said_can_be_read(word: str):
    conditions = Conditions(Spec({"label": Label((word, "b"))}))
    assert conditions.read(conditions.say({"label": word})) == [{"label": word}]
    assert conditions.read(conditions.example()) == [{"label": word}]


@pytest.mark.parametrize("text", ["label", "label=a bold=true,=", 'label="a', "=a", "label=a,,bold=true"])
def test_what_cannot_be_read_is_said_with_an_example(text: str):
    with pytest.raises(UsageError, match=r"cannot read the condition .*: write it as label=a,bold=true"):
        Conditions(SPEC).read(text)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"label": "d"}, "label has no class 'd'; there is a, b, c"),
        ({"domain": "rigth"}, "domain has no class 'rigth'; did you mean 'right'?"),
        ({"bolt": "true"}, "nothing called 'bolt' can be asked for; did you mean 'bold'?"),
        ({"bold": "maybe"}, "bold is true or false, not 'maybe'"),
        ({"age": "old"}, "age is a number, not 'old'"),
        ({"age": "nan"}, "age is a number, not 'nan'"),
    ],
)
def test_what_cannot_be_met_is_one_line(wishes: dict[str, str], message: str):
    with pytest.raises(UsageError, match="^" + message.replace("?", r"\?")):
        Conditions(SPEC).meet(wishes, 1)


def test_a_number_has_no_list_of_values():
    with pytest.raises(UsageError, match="'age' is a number and has no list of values"):
        Conditions(SPEC).read("age=*")


def test_what_is_shown_is_classes_first_else_each_property_without_and_with():
    assert Conditions(SPEC).shown() == [{"label": "a"}, {"label": "b"}, {"label": "c"}]
    assert Conditions(SPEC, ("domain",)).shown() == [{"domain": "left"}, {"domain": "right"}]
    many = Conditions(Spec({"label": Label(tuple(str(i) for i in range(100)))}))
    assert [row["label"] for row in many.shown()] == [str(10 * i) for i in range(10)]
    plain = Conditions(SPEC, ("attributes", "values")).shown()
    assert plain[:4] == [{"bold": "false"}, {"bold": "true"}, {"italic": "false"}, {"italic": "true"}]
    assert plain[4:] == [{"age": "25"}, {"age": "55"}, {"size": "0.25"}, {"size": "1.75"}]


def test_fields_that_are_no_conditions_or_not_there_are_refused():
    with pytest.raises(UsageError, match=r"cannot condition on 'lable'; did you mean 'label'\?"):
        Conditions(SPEC, ("lable",))
    with pytest.raises(DataError, match=r"this condition needs 'domain' \(Label\).*trainA"):
        Conditions(Spec({"points": Points(2)}), ("domain",))
    with pytest.raises(UsageError, match="two conditions are called 'age'"):
        Conditions(Spec({"attributes": Attributes(("age",)), "values": Values(("age",), (0.0,), (1.0,))}))
