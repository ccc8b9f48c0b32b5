"""Charts as SVG, by the standard library alone: curves over two axes, panels of them, and rows of dots.

A chart knows nothing of what is measured. Colours keep apart for the colour-blind, and every curve has a name in the
legend. The background is white, so that a page in dark mode shows it as it is.
"""
import dataclasses
import math
from xml.sax.saxutils import escape

WIDTH = 820
LEFT, RIGHT = 76, 24
INK, FAINT, GRID = "#1f2933", "#52606d", "#e4e7eb"
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 17, 12.5, 11.5


class Svg:
    """Elements in the order in which they are drawn."""

    def __init__(self, height, title):
        self.height = height
        self.parts = [f"<title>{escape(title)}</title>",
                      f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>']

    def add(self, name, content=None, **attributes):
        pairs = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(shown(value))}"'
                        for key, value in attributes.items() if value is not None)
        self.parts.append(f"<{name}{pairs}/>" if content is None else f"<{name}{pairs}>{escape(content)}</{name}>")

    def text(self, x, y, content, size=TEXT_SIZE, anchor="start", colour=INK, **more):
        self.add("text", content, x=x, y=y, font_size=size, text_anchor=anchor, fill=colour, **more)

    def line(self, x1, y1, x2, y2, colour=GRID, width=1, **more):
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, stroke_width=width, **more)

    def dot(self, x, y, colour, radius=4, hollow=False):
        self.add("circle", cx=x, cy=y, r=radius, fill="#ffffff" if hollow else colour, stroke=colour, stroke_width=1.6)

    def path(self, points, colour, width, dash):
        self.add("polyline", points=" ".join(f"{shown(x)},{shown(y)}" for x, y in points), fill="none", stroke=colour,
                 stroke_width=width, stroke_dasharray=dash, stroke_linejoin="round")

    def whole(self):
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}" '
                f'height="{self.height}" font-family="{FONT}" role="img">')
        return "\n".join([head, *self.parts, "</svg>"]) + "\n"


def text_width(text):
    """About, in pixels, at TEXT_SIZE: fonts differ, so it is a little too much rather than too little."""
    return sum(4.4 if c in "fijlrt.,()' " else 10.5 if c in "mwMW" else 7.7 for c in text)


def shown(value):
    """Numbers to a tenth of a pixel; so equal results give equal files."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


# ---- Axes ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Axis:
    """From values to [0, 1]; ticks are (value, text)."""
    label: str
    low: float
    high: float
    ticks: list
    log: bool = False

    def place(self, value):
        if self.log:
            return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def linear_axis(label, high, steps=8):
    """From 0 to a round number that is not under high, in at most so many steps."""
    power = 10.0 ** math.floor(math.log10(max(high, 1e-9) / steps))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if high / (power * factor) <= steps + 1e-9)
    count = max(1, math.ceil(high / step - 1e-9))
    return Axis(label, 0.0, count * step, [(i * step, f"{i * step:g}") for i in range(count + 1)])


def log_axis(label, values, text):
    """Whole powers of ten around the values; text says what a value is called."""
    low, high = (edge(math.log10(pick(values))) for edge, pick in ((math.floor, min), (math.ceil, max)))
    high = max(high, low + 1)
    return Axis(label, 10.0**low, 10.0**high, [(10.0**k, text(10.0**k)) for k in range(low, high + 1)], log=True)


def duration(us):
    """A time as ticks name it, with its unit."""
    for unit, factor in (("s", 1e6), ("ms", 1e3), ("µs", 1.0)):
        if us >= factor:
            return f"{us / factor:g} {unit}"
    return f"{us * 1e3:g} ns"


# ---- What all charts have in common --------------------------------------------------------------------------------


def head(svg, title, subtitle, legend):
    """Title, a line that says what is shown, and the legend: (name, colour, dash, hollow, line). Returns where it
    ends."""
    svg.text(16, 28, title, TITLE_SIZE, font_weight="600")
    svg.text(16, 48, subtitle, TEXT_SIZE, colour=FAINT)
    x = 16
    for name, colour, dash, hollow, has_line in legend:
        if has_line:
            svg.line(x, 68, x + 22, 68, colour, 2.4, stroke_dasharray=dash)
        else:
            svg.dot(x + 11, 68, colour, hollow=hollow)
        svg.text(x + 28, 72, name)
        x += 28 + text_width(name) + 22
    return 86


def name_upwards(svg, up, middle):
    svg.text(18, middle, up.label, TEXT_SIZE, "middle", INK, transform=f"rotate(-90 18 {shown(float(middle))})")


@dataclasses.dataclass
class Box:
    """Where curves are drawn, in pixels."""
    x: float
    y: float
    width: float
    height: float
    across: Axis
    up: Axis

    def at(self, x, y):
        return self.x + self.across.place(x) * self.width, self.y + (1 - self.up.place(y)) * self.height

    def frame(self, svg, name_across=True, name_up=True):
        for value, text in self.up.ticks:
            y = self.at(self.across.low, value)[1]
            svg.line(self.x, y, self.x + self.width, y)
            svg.text(self.x - 8, y + 4, text, SMALL_SIZE, "end", FAINT)
        for value, text in self.across.ticks:
            x = self.at(value, self.up.low)[0]
            svg.line(x, self.y, x, self.y + self.height)
            if name_across:
                anchor = "middle" if x + 0.45 * text_width(text) < WIDTH - 6 else "end"
                svg.text(x if anchor == "middle" else WIDTH - 6, self.y + self.height + 17, text, SMALL_SIZE, anchor,
                         FAINT)
        svg.line(self.x, self.y + self.height, self.x + self.width, self.y + self.height, FAINT)
        if name_up:
            name_upwards(svg, self.up, self.y + self.height / 2)
        if name_across:
            svg.text(self.x + self.width / 2, self.y + self.height + 38, self.across.label, TEXT_SIZE, "middle")


# ---- Curves --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Curve:
    name: str
    colour: str
    points: list                 # (x, y)
    dash: str = None
    width: float = 2.2
    marks: bool = False          # a dot at each point
    ranges: list = dataclasses.field(default_factory=list)  # (x, lowest, highest)


@dataclasses.dataclass
class Mark:
    """A short line across, with a word to it: what is wanted at x."""
    x: float
    y: float
    text: str


def draw_curve(svg, box, curve):
    for x, lowest, highest in curve.ranges:
        svg.line(*box.at(x, lowest), *box.at(x, highest), curve.colour, 5, opacity=0.28, stroke_linecap="round")
    svg.path([box.at(x, y) for x, y in curve.points], curve.colour, curve.width, curve.dash)
    for x, y in curve.points if curve.marks else ():
        svg.dot(*box.at(x, y), curve.colour)


def curves(title, subtitle, across, up, shown_curves, marks=()):
    """One chart of curves; later ones lie over earlier ones."""
    svg = Svg(460, title)
    top = head(svg, title, subtitle, [(c.name, c.colour, c.dash, False, True) for c in shown_curves])
    box = Box(LEFT, top + 4, WIDTH - LEFT - RIGHT, 460 - top - 58, across, up)
    box.frame(svg)
    for curve in reversed(shown_curves):
        draw_curve(svg, box, curve)
    for mark in marks:
        x, y = box.at(mark.x, mark.y)
        svg.line(x - 22, y, x + 22, y, INK, 2)
        svg.text(x - 28, y + 4, mark.text, SMALL_SIZE, "end", INK)
    return svg.whole()


@dataclasses.dataclass
class Panel:
    curve: Curve
    bands: list  # (from, to): shaded
    note: str = ""


def panels(title, subtitle, band_name, across, up, rows, band_colour="#f3d9b1"):
    """Charts below each other with the same axes."""
    each, gap = 118, 26
    height = 86 + len(rows) * (each + gap) + 44
    svg = Svg(height, title)
    legend = [(row.curve.name, row.curve.colour, None, False, True) for row in rows]
    top = head(svg, title, subtitle, legend)
    x = WIDTH - RIGHT - text_width(band_name) - 28
    svg.add("rect", x=x, y=60, width=22, height=15, fill=band_colour)
    svg.text(x + 28, 72, band_name)
    for i, row in enumerate(rows):
        box = Box(LEFT, top + 14 + i * (each + gap), WIDTH - LEFT - RIGHT, each, across, up)
        for begin, end in row.bands:
            left, right = box.at(begin, up.low)[0], box.at(end, up.low)[0]
            svg.add("rect", x=left, y=box.y, width=max(right - left, 1.0), height=each, fill=band_colour)
        box.frame(svg, i == len(rows) - 1, False)
        svg.text(LEFT + 6, box.y - 5, row.curve.name + row.note, SMALL_SIZE, colour=FAINT)
        draw_curve(svg, box, row.curve)
    name_upwards(svg, up, top + 14 + (len(rows) * (each + gap) - gap) / 2)
    return svg.whole()


# ---- Rows of dots --------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Dot:
    series: str
    value: float
    low: float = None   # a range around it
    high: float = None
    label: str = ""


@dataclasses.dataclass
class Row:
    name: str
    dots: list
    limit: float = None  # what is wanted


def dots(title, subtitle, across, styles, rows, line_at=None, limit_name="wanted"):
    """A line for each row, with the dots of all series on it; styles: series -> (colour, hollow)."""
    each, left = 34, 178
    height = 100 + each * len(rows) + 56
    svg = Svg(height, title)
    top = head(svg, title, subtitle, [(name, colour, None, hollow, False) for name, (colour, hollow) in styles.items()])
    box = Box(left, top + 6, WIDTH - left - RIGHT - 30, each * len(rows), across, Axis("", 0, max(len(rows), 1), []))
    box.frame(svg)
    if line_at is not None:
        x = box.at(line_at, 0)[0]
        svg.line(x, box.y - 4, x, box.y + box.height, INK, 1.6)
    for i, row in enumerate(rows):
        y = box.y + (i + 0.5) * each
        svg.text(left - 12, y + 4, row.name, TEXT_SIZE, "end")
        svg.line(left, y, left + box.width, y, GRID)
        draw_row(svg, box, row, y, styles, each)
    if any(row.limit is not None for row in rows):
        x = WIDTH - RIGHT - text_width(limit_name) - 10
        svg.line(x, 60, x, 76, INK, 2.4)
        svg.text(x + 10, 72, limit_name)
    return svg.whole()


def draw_row(svg, box, row, y, styles, each):
    if row.limit is not None:
        x = box.at(row.limit, 0)[0]
        svg.line(x, y - each * 0.34, x, y + each * 0.34, INK, 2.4)
    ranged = sum(dot.low is not None for dot in row.dots) > 1
    for k, dot in enumerate(row.dots):
        colour, hollow = styles[dot.series]
        # Ranges lie beside each other, where there are several.
        own_y = y + (k - (len(row.dots) - 1) / 2) * 9 if ranged else y
        x = box.at(dot.value, 0)[0]
        if dot.low is not None:
            ends = [box.at(min(value, box.across.high), 0)[0] for value in (dot.low, dot.high)]  # cut off at the edge
            svg.line(ends[0], own_y, ends[1], own_y, colour, 3, opacity=0.45, stroke_linecap="round")
        svg.dot(x, own_y, colour, hollow=hollow)
        if dot.label:
            svg.text(x, own_y - 8, dot.label, 10.5, "middle", colour, stroke="#ffffff", stroke_width=3,
                     paint_order="stroke")
