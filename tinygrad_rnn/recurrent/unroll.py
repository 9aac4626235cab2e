"""A cell over time: the definition."""


def unroll():
    pass
