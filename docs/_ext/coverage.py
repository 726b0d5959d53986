"""Warns, and so stops the build, where something public stands on no page, or has no text to stand there."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from operator import attrgetter

from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

logger = logging.getLogger(__name__)

PACKAGE = "tinygrad_rnn"
SUBMODULES = (
    "initializers",
    "schedules",
    "datasets",
    "distributed",
    "inspection",
    "training.metrics",
    "through_time",
    "interop",
    "testing",
    "plotting",
)


def public_names() -> Iterator[tuple[str, object]]:
    """Every name that the package and its public submodules export, with what it names."""
    package = importlib.import_module(PACKAGE)
    for name in (n for n in SUBMODULES if importlib.util.find_spec(f"{PACKAGE}.{n}")):
        importlib.import_module(f"{PACKAGE}.{name}")
    for module in (package, *(attrgetter(name)(package) for name in SUBMODULES)):
        own = [name for name, thing in vars(module).items() if getattr(thing, "__module__", None) == module.__name__]
        for name in getattr(module, "__all__", [name for name in own if not name.startswith("_")]):
            thing = getattr(module, name)
            yield thing.__name__ if inspect.ismodule(thing) else f"{module.__name__}.{name}", thing


def silent_methods(name: str, thing: object) -> Iterator[str]:
    """The public methods and properties of a class that neither have a docstring nor inherit one."""
    for attribute, value in vars(thing).items() if inspect.isclass(thing) else ():
        method = inspect.isroutine(value) or isinstance(value, property)
        if method and not attribute.startswith("_") and not inspect.getdoc(getattr(thing, attribute)):
            yield f"{name}.{attribute}"


def check(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None:
        return
    domain = app.env.domains.python_domain
    for name, thing in public_names():
        if name not in domain.objects and name not in domain.modules:
            logger.warning("%s is public, but on no page", name)
        for method in silent_methods(name, thing):
            logger.warning("%s is public, but has no docstring", method)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
