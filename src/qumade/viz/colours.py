"""The colours of depth: inferno, which grows evenly brighter, also in grey and for colour-blind people.

By Nathaniel J. Smith and Stefan van der Walt, who dedicated it to the public domain (CC0). It is stored here so that
contact sheets need no plotting library.
"""

import base64

import numpy as np
from numpy.typing import NDArray

__all__ = ["inferno"]

_INFERNO = (
    "AAADAAAEAAAGAQAHAQEJAQELAgEOAgIQAwISBAMUBAMWBQQYBgQbBwUdCAYfCQYhCgcjCwcmDQgoDggqDwktEAkvEgoyEwo0FAs2Fgs5Fws7GQ"
    "s+GgtAHAxDHQxFHwxHIAxKIgtMJAtOJgtQJwtSKQtUKwpWLQpYLgpaMApcMgldNAlfNQlgNwlhOQliOwlkPAllPglmQAlmQQlnQwpoRQppRgpp"
    "SAtqSgtqSwxrTQxrTw1sUA1sUg5sUw5tVQ9tVw9tWBBtWhFtWxFuXRJuXxJuYBNuYhRuYxRuZRVuZhVuaBZuahduaxdubRhubhhucBluchltcx"
    "ptdRttdhtteBxtehxtex1sfR1sfh5sgB9rgR9rgyBrhSBqhiFqiCFqiSJpiyJpjSNpjiRokCRokSVnkyVnlSZmliZmmCdlmShkmyhknCljnilj"
    "oCpioSthoythpCxgpixfpy1fqS5eqy5drC9crjBbrzFbsTFasjJZtDNYtTNXtzRWuDVWujZVuzdUvTdTvjhSvzlRwTpQwjtPxDxOxT1Nxz5MyD"
    "5LyT9Ky0BJzEFIzUJHz0RG0EVE0UZD0kdC1EhB1UlA1ko/10s+2U092k4720863FA53VI43lM331Q24FY04lcz41gy5Fox5Vsw5lwu5l4t518s"
    "6GEr6WIq6mQo62Un7Gcm7Wgl7Woj7mwi720h8G8f8HAe8XId8nQc8nUa83cZ83kY9HoW9XwV9X4U9oAS9oER94MQ94UO+IcN+IgM+IoL+YwJ+Y"
    "4I+ZAI+pEH+pMG+pUG+pcG+5kG+5sG+50G+54H+6AH+6II+6QK+6YL+6gN+6oO+6wQ+64S+7AU+7EW+7MY+7Ua+7cc+7ke+rsh+r0j+r8l+sEo"
    "+cMq+cUs+ccv+Mkx+Ms0+M03988699E89tM/9tVC9ddF9dlI9NtL9NxP895S8+BW8+JZ8uRd8uZg8ehk8elo8ets8e1w8e508fB58fJ98vOB8v"
    "SF8/aJ9PeN9fiR9vqV9/uZ+fyd+v2g/P6k"
)
_TABLE: NDArray[np.uint8] = np.frombuffer(base64.b64decode(_INFERNO), np.uint8).reshape(256, 3)


def inferno(share: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the colours of shares [...], uint8 [..., 3]: black at 0, bright yellow at 1, and at what lies beyond, the
    colour of that end."""
    levels = np.clip(np.nan_to_num(share) * 256, 0, 255).astype(np.uint8)
    colours: NDArray[np.uint8] = _TABLE[levels]
    return colours
