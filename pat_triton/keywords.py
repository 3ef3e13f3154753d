"""Keywords that a constructor does not take: an error in the name of the class that was asked for."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import Any, Self

BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class KnownKeywords:
    """A base of classes whose constructors hand keywords on: Python would blame the last of them."""

    def __new__(cls, *_: Any, **given: Any) -> Self:
        # A user's constructor may take anything.
        if cls.__init__.__module__.partition(".")[0] == __package__:
            refuse(cls.__name__, given, keywords(cls))
        return super().__new__(cls)


def keywords(kind: type) -> list[str]:
    """What its constructor takes by name: its own arguments, and where it hands on what is left, options of its
    bases."""
    constructors = [vars(base)["__init__"] for base in kind.__mro__ if "__init__" in vars(base)]
    taken: list[str] = []
    allowed: Sequence[Any] = BY_NAME
    for constructor in constructors:
        parameters = list(signature(constructor).parameters.values())[1:]
        taken += [parameter.name for parameter in parameters if parameter.kind in allowed]
        if not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters):
            break
        allowed = (Parameter.KEYWORD_ONLY,)  # the others it gives itself
    return list(dict.fromkeys(taken))


def refuse(name: str, given: Iterable[str], known: Sequence[str], hint: str = "") -> None:
    """TypeError for those of the keywords that the class of this name does not know."""
    unknown = [word for word in given if word not in known]
    if unknown:
        listed = ", ".join(_likely(word, known) for word in unknown)
        raise TypeError(f"{name}: got unexpected keywords, {listed}. It takes {', '.join(known) or 'none'}{hint}")


def _likely(word: str, known: Sequence[str]) -> str:
    """T is a name of the temperature."""
    close = get_close_matches(word.lower(), known, n=1) or [name for name in known if name.startswith(word.lower())]
    return f"{word!r} (did you mean {close[0]!r}?)" if close else repr(word)
