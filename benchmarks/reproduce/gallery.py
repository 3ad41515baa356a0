"""docs/gallery.md: the samples of every reproduction that was run, with the command that made them."""

import itertools

import entries
import images

import results
from kallima.recipe import get_recipe

PAGE = results.ROOT / "docs" / "gallery.md"

HEAD = """# Gallery

What each system draws after the training whose figures stand in [results.md](results.md): samples of the first seed,
none chosen, or what else shows the system best; `python benchmarks/reproduce images` trains, pictures and writes this
page. Rows of a conditional system are of one condition each, and a column has one latent.
"""


def write() -> None:
    """Write the page, of the entries whose pictures are there."""
    parts = [HEAD]
    for group, members in itertools.groupby(entries.ENTRIES.items(), key=lambda item: item[1].group):
        shown = [(name, entry, images.GALLERY / f"{images.file_name(name)}.png") for name, entry in members]
        shown = [(name, entry, path) for name, entry, path in shown if path.is_file()]
        if not shown:
            continue
        parts.append(f"## {group}\n")
        for name, entry, path in shown:
            recipe = get_recipe(entry.recipe)
            figures = ", ".join(
                f"{figure} {value:{entry.shows[figure]}}"
                for figure, value in images.means(name).items()
                if figure in entry.shows
            )
            parts.append(f"### {name}\n\n{recipe.summary} ({recipe.paper}). `{entry.command}`")
            parts.append(f"{figures}\n" if figures else "")
            parts.append(f"![{name}](images/gallery/{path.name})\n")
    PAGE.write_text("\n".join(parts))
