"""The words of governance/admin/display.py, for templates."""

import functools
from collections.abc import Callable
from typing import Any

from django import template

from governance.admin import addresses, display

register = template.Library()


def of_maybe(function: Callable[..., Any]) -> Callable[..., Any]:
    """Take what a template couldn't find, which arrives as "", for None."""

    @functools.wraps(function)
    def filtered(value: Any, *arguments: Any) -> Any:
        return function(None if value == "" else value, *arguments)

    return filtered


register.filter("ago", of_maybe(display.ago))
register.filter("at", of_maybe(display.at))
register.filter("count", of_maybe(display.count))
register.filter("figure", of_maybe(display.figure))
register.filter("health", of_maybe(display.health))
register.filter("life_cycle", display.life_cycle)
register.filter("measured", of_maybe(display.measured))
register.filter("outcome", display.outcome)
register.filter("page", addresses.change)
register.filter("edit_page", addresses.edit)
register.filter("points", of_maybe(display.points))
register.filter("probability", of_maybe(display.probability))
register.filter("severity", display.severity)
register.filter("share", of_maybe(display.share))
register.filter("measure", of_maybe(display.measure))
register.filter("shown", display.shown)
