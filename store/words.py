"""What full text takes for a word: which words it leaves out, and what has to be spelled out for it."""

import re

STOP_WORDS = frozenset(
    # "may", "no" and "not" are kept on purpose: a month, and what turns a statement around.
    "what when where who whom whose which why how "
    "do does did doing done is are was were be been being am has have had having "
    "can could will would shall should might must "
    "the a an and or of to in on at for from by with about as "
    "it its this that these those there then than "
    "i me my we our us you your he him his she her they them their if so any some s".split()
)
"""Words that are in most questions and tell little of any answer."""


def spelled_out(text: str) -> str:
    """Return a text as full text is to know it, a memory's and a question's alike.

    The ICU tokenizer finds words in every script, but drops signs (`C++` and `C#` are the same to it, an emoji is
    nothing), keeps Korean particles on their nouns, and what an apostrophe joins together.
    """
    text = _SIGNED.sub(lambda match: f" {match[1].lower()}{_SIGNS[match[2]]} ", text)
    text = _PICTURE.sub(lambda match: f" u{ord(match[0]):x} ", text)
    text = _JOINED.sub(" ", text)
    text = _HANGUL.sub(lambda match: _PARTICLE.sub("", match[0]) or match[0], text)
    return text.translate(_LETTERS)


_SIGNS = {"++": "plusplus", "#": "sharp"}
_SIGNED = re.compile(r"(?<!\w)([A-Za-z])(\+\+|#)(?![\w+#])")

_PICTURE = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]")

_JOINED = re.compile(r"(?<=\w)['\u2019](?!(?:ll|ve|re)\b)(?=\w\w)")  # d'Élodie and İstanbul'da, but Anna's and don't

_HANGUL = re.compile("[\uac00-\ud7a3]{2,}")
_PARTICLE = re.compile(
    "(?<=.)(?:에게서|에서는|에서도|으로는|이라고|에서|에게|에는|에도|으로|까지|부터|한테|께서|처럼|보다|이나|라고|은|는|이|가|을|를|에|로|와|과|도|만|의)$"
)
"""The commonest particles, the longest first. Taken off of every word, in memories and in questions, so that what is
taken off by mistake is missing in both."""

_LETTERS = str.maketrans({"\u0451": "\u0435", "\u0401": "\u0415", "\u0130": "I"})
"""Russian writes yo as ye most of the time; lower case makes two letters of a Turkish dotted I."""
