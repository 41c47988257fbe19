"""The words of governance/admin/display.py, for templates."""

from django import template

from governance.admin import display

register = template.Library()

register.filter("ago", display.ago)
register.filter("at", display.at)
register.filter("count", display.count)
register.filter("figure", display.figure)
register.filter("health", display.health)
register.filter("life_cycle", display.life_cycle)
register.filter("measured", display.measured)
register.filter("page", display.address)
register.filter("probability", display.probability)
register.filter("severity", display.severity)
register.filter("share", display.share)
