"""How properties are searched: the same way every time, however long it takes."""

from typing import Final

from hypothesis import settings

searched: Final = settings(deadline=None, derandomize=True, max_examples=150)
