"""`kallima recipes` and `kallima show`: what there is to train, told without torch."""

from collections.abc import Callable, Sequence
from itertools import groupby

from kallima.cli.output import emit, emit_json, table
from kallima.cli.parsing import Command, command, metavar
from kallima.errors import UsageError, did_you_mean
from kallima.recipe import Recipe, describe, get_recipe
from kallima.recipe import recipes as all_recipes


def recipes(*, family: str | None = None, json: bool = False) -> int:
    """List the recipes, by family.

    Args:
        family: Only those of this family, such as theory.
        json: Print the result as JSON.
    """
    families = dict.fromkeys(recipe.family for recipe in all_recipes().values())
    if family is not None and family not in families:
        near = did_you_mean(family, families) or f"; there are {', '.join(families)}"
        raise UsageError(f"no family '{family}'{near}")
    listed = [recipe for recipe in all_recipes().values() if family in (None, recipe.family)]
    if json:
        emit_json([recipe.to_json() for recipe in listed])
    else:
        emit(listing(listed))
    return 0


def listing(listed: Sequence[Recipe] | None = None) -> str:
    """Return the table of some recipes, by default of all."""
    by_family = sorted(listed or all_recipes().values(), key=lambda recipe: (recipe.family, recipe.name))
    width = max(len(recipe.name) for recipe in by_family)
    blocks = [
        f"{family}\n" + table([(recipe.name.ljust(width), recipe.summary) for recipe in group])
        for family, group in groupby(by_family, key=lambda recipe: recipe.family)
    ]
    return "\n\n".join(blocks)


def show(recipe: str, *, json: bool = False) -> int:
    """Tell all about a recipe: its card with the equations, the data it needs, its arguments and their defaults.

    Args:
        recipe: A name that `kallima recipes` lists.
        json: Print the result as JSON.
    """
    found = get_recipe(recipe)
    if json:
        card = {"description": found.description, "card": found.card, "arguments": found.arguments_to_json()}
        emit_json(found.to_json() | card)
    else:
        emit(_card(found))
    return 0


def _card(recipe: Recipe) -> str:
    rows = [(p.flag, metavar(p), "-" if p.default is None else str(p.default), p.help) for p in recipe.parameters]
    return "\n\n".join(
        [
            f"{recipe.name} ({recipe.family}; {recipe.paper})",
            recipe.description,
            "needs      " + " or ".join(describe(needs) for needs in recipe.needs) + "\n"
            f"by default {recipe.steps:,} steps of {recipe.batch_size} examples",
            "arguments\n" + table([("argument", "type", "default", ""), *rows]),
            f"the system it builds: {recipe.returns}\n\n" + recipe.card,
            f"train it: kallima train {recipe.name} --data SOURCE",
        ]
    )


COMMANDS: dict[str, Callable[[Sequence[str]], Command]] = {
    "recipes": lambda words: command("recipes", recipes, recipes),
    "show": lambda words: command("show", show, show),
}
