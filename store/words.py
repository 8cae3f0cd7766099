"""Which words of a question carry meaning for full text."""

import re

STOP_WORDS = frozenset(
    # Question words and auxiliaries are in most questions and in few answers. "may", "no" and "not" are kept on
    # purpose: a month, and what turns a statement around.
    "what when where who whom whose which why how "
    "do does did doing done is are was were be been being am has have had having "
    "can could will would shall should might must "
    "the a an and or of to in on at for from by with about as "
    "it its this that these those there then than "
    "i me my we our us you your he him his she her they them their if so any some s".split()
)

_WORD = re.compile(r"\w+")


def content_words(text: str) -> set[str]:
    """Return the words of a text that are no stop words, in lower case."""
    return {word for word in _WORD.findall(text.lower()) if word not in STOP_WORDS}
