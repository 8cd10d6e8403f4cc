"""Texts made of numbers."""


def by_number(count: int, one: str, many: str) -> str:
    """`one` if the count is 1, else `many`, with the count in place of {}.

    Examples:
        >>> by_number(1, "{} picture is damaged", "{} pictures are damaged")
        '1 picture is damaged'
        >>> by_number(3, "{} picture is damaged", "{} pictures are damaged")
        '3 pictures are damaged'
    """
    return (one if count == 1 else many).format(count)


def list_seconds(seconds: dict[str, float]) -> str:
    """Seconds in total, then by stage."""
    stages = ", ".join(f"{stage} {value:.2f}" for stage, value in seconds.items())
    return f"{sum(seconds.values()):.2f}: {stages}"
