"""The runs: failures that are provoked, each in at least two ways, and healthy ones of many objectives.

Thresholds are set on "calibration". "seen" were to be blind once, and their findings have been looked at since; "blind"
(in `blind.py`) were written with their accepted symptoms before any of them was run, and run once, with the doctor as
he is now. A symptom's causes are different ones in each part, so that what was set on one cause is tried on another.
"""

from typing import Any

import blind
import second
from case import (
    BLIND,
    BOARD,
    BY_HEART,
    COLLAPSE,
    DEAD,
    DROPPING,
    EXPLODING,
    FEW,
    IGNORED,
    NAN,
    RISING,
    SIXTEEN,
    STOPPED,
    SWINGS,
    VANISHING,
    WINS,
    WORSE,
    Case,
)


def _two(
    symptoms: tuple[str, ...],
    calibration: list[tuple[str, str, str, dict[str, Any]]],
    seen: list[tuple[str, str, str, dict[str, Any]]],
) -> list[Case]:
    parts = {"calibration": calibration, "seen": seen}
    return [
        Case(f"{symptoms[0]}: {cause}", part, recipe, data, arguments, symptoms, seed=int(part == "seen"))
        for part, cases in parts.items()
        for cause, recipe, data, arguments in cases
    ]


PROVOKED = [
    *_two(
        (NAN,),
        [
            ("huge steps of SGD", "gan", "ring", {"optimizer": "sgd", "learning_rate": 1e6}),
            (
                "simultaneous SGD",
                "gan-minimax",
                "gaussian",
                {"optimizer": "sgd", "learning_rate": 0.2, "discriminator_learning_rate": 0.2, "simultaneous": True},
            ),
        ],
        [("squares that overflow", "lsgan", "digits", {"optimizer": "sgd", "learning_rate": 1e3})],
    ),
    *_two(
        (WINS, VANISHING),
        [
            ("its rate 100 times too large", "gan-minimax", "ring", {"discriminator_learning_rate": 0.1}),
            ("the generator hardly moves", "gan-minimax", "grid", {"learning_rate": 1e-6}),
        ],
        [
            ("20 steps a turn", "gan-minimax", "digits", {"discriminator_steps": 20, "steps": 600, "width": 64}),
            (
                "its rate 200 times the generator's",
                "lsgan",
                "digits",
                {"learning_rate": 1e-5, "discriminator_learning_rate": 2e-3},
            ),
        ],
    ),
    *_two(
        (BLIND,),
        [("it does not learn", "gan", "ring", {"discriminator_learning_rate": 1e-8})],
        [
            ("noise drowns all", "gan", "two-moons", {"instance_noise": 100.0, "noise_until": 1e9}),
            ("bounds that leave it nothing", "wgan", "digits", {"weight_clip": 1e-5}),
        ],
    ),
    *_two(
        (COLLAPSE, DROPPING),
        [
            (
                "a generator 500 times as fast",
                "gan",
                "ring",
                {"learning_rate": 0.05, "discriminator_learning_rate": 1e-4},
            ),
            ("large steps", "gan-minimax", "digits", {"learning_rate": 0.02, "width": 128}),
        ],
        [
            ("20 steps of the generator a turn", "gan", "grid", {"generator_steps": 20, "steps": 1500}),
            (
                "a generator 100 times as fast",
                "gan",
                "two-moons",
                {"learning_rate": 0.02, "discriminator_learning_rate": 2e-4},
            ),
        ],
    ),
    *_two(
        (DROPPING, COLLAPSE),
        [("large steps", "lsgan", "ring", {"learning_rate": 2e-3, "discriminator_learning_rate": 2e-3})],
        [("many modes, large steps", "lsgan", "grid", {"learning_rate": 3e-3, "discriminator_learning_rate": 3e-3})],
    ),
    *_two(
        (IGNORED,),
        [("the class alone is asked for", "acgan", "digits", {"steps": 1600})],
        [
            (
                "10 large steps of the generator a turn",
                "cgan",
                "digits",
                {"generator_steps": 10, "learning_rate": 5e-3, "steps": 1600},
            )
        ],
    ),
    *_two(
        (SWINGS,),
        [("simultaneous steps, momentum", "gan", "gaussian", {"beta1": 0.9, "simultaneous": True, "average": 0.0})],
        [
            (
                "momentum",
                "gan",
                "ring",
                {
                    "beta1": 0.9,
                    "learning_rate": 3e-3,
                    "discriminator_learning_rate": 3e-3,
                    "generator_steps": 2,
                    "average": 0.0,
                },
            )
        ],
    ),
    *_two(
        (WORSE,),
        [
            (
                "rates that rise too far",
                "gan",
                "ring",
                {"learning_rate": 0.05, "discriminator_learning_rate": 0.05, "average": 0.99} | RISING,
            )
        ],
        [
            (
                "rates that rise too far, on images",
                "gan",
                "digits",
                {"learning_rate": 0.05, "width": 128, "average": 0.99} | RISING,
            )
        ],
    ),
    *_two(
        (BY_HEART,),
        [("100 examples", "dcgan", FEW, {"learning_rate": 1e-3, "width": 32, "steps": 1500})],
        [("100 examples, dense networks", "gan", FEW, {"width": 256, "learning_rate": 1e-3, "steps": 2500})],
    ),
    *_two(
        (EXPLODING,),
        [("a critic without bounds", "wgan", "ring", {"weight_clip": 1e6, "discriminator_learning_rate": 5e-3})],
        [
            ("a penalty far too heavy", "wgan-gp", "gaussian", {"gradient_penalty": 1e7, "steps": 1000}),
            (
                "a fast critic without bounds",
                "wgan",
                "two-moons",
                {"weight_clip": 1e6, "discriminator_learning_rate": 2e-2, "optimizer": "adam", "steps": 1200},
            ),
        ],
    ),
    *_two(
        (VANISHING, DEAD),
        [("steps that kill its units", "gan", "ring", {"learning_rate": 0.5, "discriminator_learning_rate": None})],
        [("steps that kill units, on images", "gan", "digits", {"learning_rate": 0.5, "width": 128})],
    ),
    *_two(
        (DEAD,),
        [("large steps of dense networks", "gan", "digits", {"learning_rate": 0.05, "width": 128})],
        [("large steps of convolutions", "dcgan", "digits", {"learning_rate": 0.1})],
    ),
    *_two(
        (STOPPED, BLIND),
        [("hardly any steps", "gan", "ring", {"learning_rate": 1e-9, "discriminator_learning_rate": 1e-9})],
        [("gradients cut to nothing", "lsgan", "digits", {"optimizer": "sgd", "clip": 1e-6, "steps": 2000})],
    ),
    *_two(
        (BOARD,),
        [("a blind discriminator", "dcgan", "digits", SIXTEEN | {"discriminator_learning_rate": 1e-7})],
        [("far too little training", "dcgan", "digits", SIXTEEN | {"learning_rate": 2e-5})],
    ),
]

_HEALTHY: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "ring": [
        ("gan", {}),
        ("lsgan", {}),
        ("geometric-gan", {"learning_rate": 3e-3}),
        ("wgan-gp", {"gradient_penalty": 0.1, "steps": 1000}),
        ("r3gan", {}),
        ("relativistic", {}),
        ("dragan", {}),
        ("pacgan", {}),
        ("gan-r1", {}),
        ("relativistic-average", {}),
    ],
    "grid": [("gan-r1", {}), ("r3gan", {})],
    "gaussian": [
        ("gan", {}),
        ("gan-minimax", {}),
        ("wgan", {}),
        ("f-gan", {}),
        ("ot-gan", {"steps": 600}),
        ("sinkhorn", {"steps": 600}),
        ("minibatch-discrimination", {}),
        ("magan", {}),
    ],
    "two-moons": [
        ("gan", {}),
        ("r3gan", {}),
        ("lsgan", {}),
        ("loss-sensitive", {}),
        ("bgan", {}),
        ("unrolled", {"steps": 1200}),
    ],
    "digits": [
        ("dcgan", {}),
        ("sngan", {}),
        ("lsgan", {}),
        ("wgan-gp", {"steps": 600}),
        ("ebgan", {"width": 64}),
        ("geometric-gan", {}),
        ("gan", {"width": 128}),
        ("relativistic", {}),
        ("feature-matching", {}),
        ("gan-r1", {"width": 128}),
        ("cgan", {}),
        ("projection-gan", {}),
    ],
}
HEALTHY = [
    Case(f"{recipe} on {data}", ("calibration", "seen")[number % 2], recipe, data, arguments, seed=number % 2)
    for data, cases in _HEALTHY.items()
    for number, (recipe, arguments) in enumerate(cases)
]
_FRESH: list[tuple[tuple[str, ...], str, str, str, dict[str, Any]]] = [
    (
        (NAN,),
        "a critic stepped by SGD",
        "wgan",
        "gaussian",
        {"optimizer": "sgd", "learning_rate": 1e4, "discriminator_learning_rate": 1e4, "weight_clip": 1e30},
    ),
    (
        (WINS, VANISHING),
        "10 steps a turn, a slow generator",
        "gan-minimax",
        "gaussian",
        {"discriminator_steps": 10, "learning_rate": 1e-5, "steps": 1000},
    ),
    (
        (BLIND,),
        "SGD that hardly moves it",
        "gan",
        "gaussian",
        {"optimizer": "sgd", "learning_rate": 0.05, "discriminator_learning_rate": 1e-7},
    ),
    (
        (COLLAPSE, DROPPING),
        "10 steps of the generator a turn",
        "gan",
        "two-moons",
        {"generator_steps": 10, "steps": 1300},
    ),
    (
        (DROPPING, COLLAPSE),
        "larger steps",
        "lsgan",
        "ring",
        {"learning_rate": 4e-3, "discriminator_learning_rate": 4e-3},
    ),
    (
        (SWINGS,),
        "RMSprop, large steps",
        "gan",
        "gaussian",
        {"optimizer": "rmsprop", "learning_rate": 5e-3, "discriminator_learning_rate": 5e-3, "average": 0.0},
    ),
    (
        (WORSE,),
        "rates that rise too far, least squares",
        "lsgan",
        "two-moons",
        {"learning_rate": 0.1, "discriminator_learning_rate": 0.1, "average": 0.99} | RISING,
    ),
    ((BY_HEART,), "100 examples, least squares", "lsgan", FEW, {"learning_rate": 1e-3, "width": 32, "steps": 1500}),
    ((EXPLODING,), "R1 far too heavy", "gan", "gaussian", {"r1": 1e8, "steps": 1200}),
    (
        (DEAD, VANISHING),
        "large steps on points",
        "gan",
        "two-moons",
        {"learning_rate": 0.1, "discriminator_learning_rate": 1e-3},
    ),
    ((STOPPED, BLIND), "hardly any steps, on images", "dcgan", "digits", {"learning_rate": 1e-9, "steps": 2000}),
    ((BOARD,), "SGD that hardly moves it", "dcgan", "digits", SIXTEEN | {"optimizer": "sgd", "learning_rate": 1e-6}),
]
FRESH = [
    *(Case(f"{s[0]}: {cause} (fresh)", "seen", recipe, data, told, s, 2) for s, cause, recipe, data, told in _FRESH),
    *(
        Case(f"{case.recipe} on {case.data} (fresh)", "seen", case.recipe, case.data, case.arguments, seed=2)
        for case in HEALTHY
        if case.recipe
        not in ("minibatch-discrimination", "unrolled", "ebgan", "sngan", "ot-gan", "wgan-gp", "cgan", "projection-gan")
    ),
]
"""New causes and new seeds, added when the others had been looked at."""

_MORE: list[tuple[tuple[str, ...], str, str, str, dict[str, Any]]] = [
    (
        (WINS, VANISHING),
        "10 steps a turn, a slow generator",
        "gan-minimax",
        "ring",
        {"discriminator_steps": 10, "learning_rate": 1e-5, "steps": 800},
    ),
    ((DROPPING, COLLAPSE), "reverse KL", "f-gan", "grid", {"divergence": "reverse-kl"}),
    ((DROPPING, COLLAPSE), "tiny batches", "gan", "grid", {"batch_size": 16, "learning_rate": 1e-3}),
    (
        (DROPPING, COLLAPSE),
        "many modes, large steps of both",
        "relativistic-average",
        "grid",
        {"learning_rate": 4e-3, "discriminator_learning_rate": 4e-3},
    ),
    ((WORSE, EXPLODING, STOPPED), "R1 far too heavy", "gan", "ring", {"r1": 1e8, "steps": 1200}),
    ((WORSE, EXPLODING, STOPPED), "R2 far too heavy", "relativistic", "two-moons", {"r2": 1e7, "steps": 1200}),
    ((BLIND, COLLAPSE), "50 steps of the generator a turn", "lsgan", "gaussian", {"generator_steps": 50, "steps": 300}),
    ((STOPPED,), "weights held at their mean", "gan", "spiral", {"historical_averaging": 1e6}),
    ((VANISHING, DEAD), "bounds that are too narrow", "wgan", "ring", {"weight_clip": 1e-3, "depth": 5}),
    (
        (COLLAPSE, DROPPING),
        "a generator 100 times as fast, hinge",
        "geometric-gan",
        "digits",
        {"learning_rate": 0.02, "discriminator_learning_rate": 2e-4, "width": 128},
    ),
    (
        (SWINGS,),
        "simultaneous SGD, large steps",
        "gan",
        "two-moons",
        {
            "optimizer": "sgd",
            "simultaneous": True,
            "learning_rate": 0.3,
            "discriminator_learning_rate": 0.3,
            "average": 0.0,
        },
    ),
]
MORE = [
    *(
        Case(f"{s[0]}: {cause} (more)", "calibration", recipe, data, told, s, 4)
        for s, cause, recipe, data, told in _MORE
    ),
    *(
        Case(f"{recipe} on {data} (more)", "calibration", recipe, data, arguments, seed=4)
        for recipe, data, arguments in (
            ("gan-r1", "spiral", {}),
            ("relativistic", "mixture", {}),
            ("dragan", "grid", {}),
            ("wgan-gp", "two-moons", {"steps": 1000}),
        )
    ),
]
"""What was added to calibrate on, where the doctor had missed something: starved modes, samples far out of the data."""
CASES = [*PROVOKED, *HEALTHY, *FRESH, *MORE, *second.PROVOKED, *second.HEALTHY, *blind.PROVOKED, *blind.HEALTHY]
