"""The control room, the console's first page: does anything wait for me, is anything on fire, does the machine move?

One module for each question. All of them are answered by an index or by a bounded part of one; the two that grow with
the work under way are kept for some seconds (`kept.py`). Each number leads to the list that it counts.
"""

from config.console.overview.page import control_room, overview

__all__ = ["control_room", "overview"]
