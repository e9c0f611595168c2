"""Properties are searched the same way every time, and for as long as it takes."""

from hypothesis import settings

settings.register_profile("core", deadline=None, derandomize=True, max_examples=150)
settings.load_profile("core")
