"""The part of Markdown that a model card uses, as HTML in which everything that was written is escaped."""

import re
import textwrap

from markupsafe import Markup, escape

_FENCE = re.compile(r"^\s*(```+|~~~+)")
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")
_INDENTED = re.compile(r"^(?: {4}|\t)\s*\S")
_BULLET = re.compile(r"^\s*[-*+]\s+(.*)")
_NUMBER = re.compile(r"^\s*\d{1,9}[.)]\s+(.*)")
_DIVIDER = re.compile(r"^\s*\|?[\s:|-]*-[\s:|-]*$")
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\(([^()\s]*)\)")
_STRONG = re.compile(r"\*\*([^*]+)\*\*")
_EMPHASIS = re.compile(r"(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def render_markdown(text: str) -> Markup:
    """Turn headings, paragraphs, lists, tables, code blocks, `code`, *emphasis* and links into HTML.

    Raw HTML in the text is shown, never obeyed. A link becomes its words and its address in plain text, so that the
    page refers to nothing outside itself. Headings start at <h3>. YAML front matter is left out.
    """
    lines = _FRONT_MATTER.sub("", text.replace("\r\n", "\n")).split("\n")
    blocks: list[Markup] = []
    while lines:
        if not lines[0].strip():
            lines.pop(0)
        elif _FENCE.match(lines[0]):
            blocks.append(_code(lines))
        elif _INDENTED.match(lines[0]):
            blocks.append(_indented(lines))
        elif _HEADING.match(lines[0]):
            blocks.append(_heading(lines))
        elif _BULLET.match(lines[0]):
            blocks.append(_items(lines, _BULLET, "ul"))
        elif _NUMBER.match(lines[0]):
            blocks.append(_items(lines, _NUMBER, "ol"))
        elif _opens_table(lines):
            blocks.append(_table(lines))
        else:
            blocks.append(_paragraph(lines))
    return Markup("\n").join(blocks)


def _inline(text: str) -> Markup:
    pieces = []
    for index, piece in enumerate(_CODE.split(text)):
        if index % 2:
            pieces.append(Markup("<code>{}</code>").format(piece))
            continue
        html = str(escape(_LINK.sub(_link, piece)))
        html = _STRONG.sub(r"<strong>\1</strong>", html)
        pieces.append(Markup(_EMPHASIS.sub(r"<em>\1</em>", html)))
    return Markup("").join(pieces)


def _link(match: re.Match[str]) -> str:
    words, address = match.groups()
    return address if words in ("", address) else f"{words} ({address})"


def _opens_block(lines: list[str]) -> bool:
    patterns = (_FENCE, _HEADING, _BULLET, _NUMBER)
    return any(pattern.match(lines[0]) for pattern in patterns) or _opens_table(lines)


def _opens_table(lines: list[str]) -> bool:
    return len(lines) > 1 and "|" in lines[0] and "|" in lines[1] and _DIVIDER.match(lines[1]) is not None


def _code(lines: list[str]) -> Markup:
    fence = _FENCE.match(lines.pop(0))[1]  # type: ignore[index]  # the caller has seen it match
    inside = []
    while lines and not lines[0].strip().startswith(fence):
        inside.append(lines.pop(0))
    if lines:
        lines.pop(0)
    return Markup("<pre><code>{}</code></pre>").format("\n".join(inside))


def _indented(lines: list[str]) -> Markup:
    inside = []
    while lines and (_INDENTED.match(lines[0]) or not lines[0].strip()):
        inside.append(lines.pop(0))
    return Markup("<pre><code>{}</code></pre>").format(textwrap.dedent("\n".join(inside)).strip("\n"))


def _heading(lines: list[str]) -> Markup:
    marks, words = _HEADING.match(lines.pop(0)).groups()  # type: ignore[union-attr]
    level = min(6, len(marks) + 2)
    return Markup("<h{}>{}</h{}>").format(level, _inline(words), level)


def _items(lines: list[str], pattern: re.Pattern[str], tag: str) -> Markup:
    items: list[str] = []
    while lines and lines[0].strip():
        match = pattern.match(lines[0])
        if match:
            items.append(match[1])
        elif lines[0][0] in " \t":
            items[-1] += " " + lines[0].strip()
        else:
            break
        lines.pop(0)
    inside = Markup("").join(Markup("<li>{}</li>").format(_inline(item)) for item in items)
    return Markup("<{}>{}</{}>").format(Markup(tag), inside, Markup(tag))


def _table(lines: list[str]) -> Markup:
    head = _cells(lines.pop(0))
    lines.pop(0)
    rows = []
    while lines and "|" in lines[0]:
        rows.append(_cells(lines.pop(0)))

    def row(cells: list[str], tag: str) -> Markup:
        return Markup("<tr>{}</tr>").format(
            Markup("").join(Markup(f"<{tag}>{{}}</{tag}>").format(_inline(cell)) for cell in cells)
        )

    body = Markup("").join(row(cells, "td") for cells in rows)
    return Markup("<table><thead>{}</thead><tbody>{}</tbody></table>").format(row(head, "th"), body)


def _cells(text: str) -> list[str]:
    return [cell.strip() for cell in text.strip().strip("|").split("|")]


def _paragraph(lines: list[str]) -> Markup:
    words = [lines.pop(0).strip()]
    while lines and lines[0].strip() and not _opens_block(lines):
        words.append(lines.pop(0).strip())
    return Markup("<p>{}</p>").format(_inline(" ".join(words)))
