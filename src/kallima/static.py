"""What a source file says, read without importing it: a function's signature, a class's docstring. No torch."""

import ast
import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any


def stub(file: Path, name: str) -> Callable[..., Any]:
    """Make a function with the signature and the docstring of one in a file, and nothing to run.

    Of the file only what the signature names is evaluated: imports, constants and plain classes.

    Raises:
        TypeError: the signature needs torch.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    function.body = [ast.Expr(ast.Constant(ast.get_docstring(function) or ""))]
    function.returns, function.decorator_list = None, []
    body = [*_definitions(tree, function, f"{file}: {name}"), function]
    module = ast.fix_missing_locations(ast.Module(body=body, type_ignores=[]))
    namespace = types.ModuleType(file.stem).__dict__
    before = "torch" in sys.modules
    exec(compile(module, str(file), "exec", dont_inherit=True), namespace)
    if "torch" in sys.modules and not before:
        raise TypeError(f"{file}: {name}: something that its signature names imports torch")
    return namespace[name]


def class_docstring(file: Path, name: str) -> str:
    """Return the docstring of a class that a file defines or imports.

    Raises:
        TypeError: there is no such class.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return ast.get_docstring(node) or ""
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    origin = importlib.util.find_spec(node.module)
                    if origin and origin.origin:
                        return class_docstring(Path(origin.origin), alias.name)
    raise TypeError(f"{file}: there is no class '{name}' in it")


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _definitions(tree: ast.Module, function: ast.FunctionDef, where: str) -> list[ast.stmt]:
    """Return the imports, constants and plain classes of a file that a signature names, in order.

    Raises:
        TypeError: one of them is torch's.
    """
    defined: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                defined[alias.asname or alias.name.split(".")[0]] = node
        elif isinstance(node, ast.ClassDef):
            defined[node.name] = node
        elif isinstance(node, ast.Assign):
            defined |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined[node.target.id] = node
    wanted: list[ast.stmt] = []
    names = _names(function)
    seen: set[str] = set()
    while names:
        name = names.pop()
        seen.add(name)
        if name not in defined or (node := defined[name]) in wanted:
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            if (module or "").split(".")[0] == "torch":
                raise TypeError(f"{where}: its signature names '{name}' of torch, which reading a recipe must not need")
        wanted.append(node)
        names |= _names(node) - seen
    return sorted(wanted, key=lambda node: node.lineno)
