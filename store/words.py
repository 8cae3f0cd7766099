"""Words that full text leaves out: they are in most questions and tell little of any answer."""

STOP_WORDS = frozenset(
    # "may", "no" and "not" are kept on purpose: a month, and what turns a statement around.
    "what when where who whom whose which why how "
    "do does did doing done is are was were be been being am has have had having "
    "can could will would shall should might must "
    "the a an and or of to in on at for from by with about as "
    "it its this that these those there then than "
    "i me my we our us you your he him his she her they them their if so any some s".split()
)
