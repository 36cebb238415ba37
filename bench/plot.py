#!/usr/bin/env python3
"""Draws horizontal bars as SVG: plot.bars(title, panels). Nothing but the standard library.

A panel is (heading, unit, [(name, value, low, high, ours), …]); the thin line over a bar goes from
the lowest to the highest round. Bars of one panel share a scale that begins at zero, unless they
differ so much that the small ones would vanish: then it is logarithmic and says so.
"""

import math
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, BAR, GAP = 760, 210, 120, 18, 8
STYLE = """text{font:12px system-ui,sans-serif;fill:#222}.t{font-size:15px;font-weight:600}
.h{font-weight:600}.o{fill:#0b6e4f}.p{fill:#9aa5b1}.s{stroke:#222;stroke-width:1}
.g{stroke:#ddd;stroke-width:1}@media (prefers-color-scheme:dark){text{fill:#ddd}.s{stroke:#ddd}
.g{stroke:#444}.o{fill:#2fb58a}.p{fill:#66717d}}"""


def number(value):
    if value >= 10000:
        return "{:,.0f}".format(value)
    if value >= 100:
        return "%.0f" % value
    return "%.1f" % value if value >= 10 else "%.2f" % value


def scale(values):
    """(function from a value to 0..1, whether it is logarithmic)"""
    top = max(values)
    low = min(v for v in values if v > 0)
    if top / low <= 60:
        return (lambda v: max(0.0, v / top)), False
    floor = 10 ** math.floor(math.log10(low))
    span = math.log10(top / floor)
    return (lambda v: max(0.0, math.log10(max(v, floor) / floor) / span)), True


def panel(heading, unit, bars, y):
    bars = [b for b in bars if b[1] and b[1] > 0]
    if not bars:
        return [], y
    at, logarithmic = scale([v for b in bars for v in b[1:4] if v and v > 0])
    room = WIDTH - LEFT - RIGHT
    out = ['<text class="h" x="12" y="%d">%s</text>' % (y, escape(
        "%s, %s%s" % (heading, unit, " (logarithmic scale)" if logarithmic else "")))]
    y += 12
    bottom = y + len(bars) * (BAR + GAP)
    out.append('<line class="g" x1="%d" y1="%d" x2="%d" y2="%d"/>' % (LEFT, y, LEFT, bottom))
    for name, value, low, high, ours in bars:
        middle = y + BAR / 2
        out.append('<text x="%d" y="%.1f" text-anchor="end">%s</text>' % (
            LEFT - 8, middle + 4, escape(name)))
        out.append('<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>' % (
            "o" if ours else "p", LEFT, y, max(1.0, at(value) * room), BAR))
        out.append('<line class="s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>' % (
            LEFT + at(low) * room, middle, LEFT + at(high) * room, middle))
        out.append('<text x="%.1f" y="%.1f">%s</text>' % (
            LEFT + max(at(value), at(high)) * room + 8, middle + 4, escape(number(value))))
        y += BAR + GAP
    return out, y + 26


def bars(title, panels, note=""):
    body, y = ['<text class="t" x="12" y="26">%s</text>' % escape(title)], 58
    for heading, unit, values in panels:
        more, y = panel(heading, unit, values, y)
        body += more
    if note:
        body.append('<text x="12" y="%d">%s</text>' % (y, escape(note)))
        y += 20
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" '
            'role="img">\n<title>%s</title>\n<style>%s</style>\n%s\n</svg>\n' % (
                WIDTH, y, WIDTH, y, escape(title), STYLE, "\n".join(body)))
