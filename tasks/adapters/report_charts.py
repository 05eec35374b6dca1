"""The charts of the report: plotly figures as plain trees, and plotly's own script packed into the page.

Building figures with plotly's Python classes costs 0.8 s for the first one, a plain tree nothing. The script is
carried compressed and unpacked by the browser: a page of 2 MB instead of 5 MB, and nothing to fetch. Colours are
names of the style sheet's variables, so that one figure serves light, dark and print. Names stand left of the bars and
numbers right of them, each in its own row: labels can not meet, whatever the numbers are.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import zlib
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cache
from html import escape
from itertools import accumulate, groupby
from pathlib import Path

from engine.errors import ConfigurationError
from engine.model.encoding import Json
from engine.report import BridgeView, CurrencyRow, DayReport, ExposureRow, HistoryPoint
from tasks.adapters.report_html import Html, element
from tasks.adapters.report_text import bridge_rows, compact, component_name, sleeve_name

_ROW_PIXELS = 34
_FRAME_PIXELS = 66
_LETTER_PIXELS = 7.3
_LONGEST_NAME = 18
_HISTORY_PIXELS = 380
_FEW_DAYS = 3
_CENT = Decimal("0.01")
_Figure = dict[str, Json]


@cache
def plotly_script() -> str:
    """Plotly's script, compressed and in base64; raises `ConfigurationError` when the package lacks it."""
    package = importlib.util.find_spec("plotly")
    folders = package.submodule_search_locations if package else None
    path = Path(folders[0]) / "package_data" / "plotly.min.js" if folders else None
    if path is None or not path.is_file():
        raise ConfigurationError(
            "expected plotly's script in the installed plotly package, found none; remove .venv and start again"
        )
    return base64.b64encode(zlib.compress(path.read_bytes(), 3)).decode("ascii")


def chart(name: str, figure: _Figure, description: str) -> Html:
    """The place of one chart and its figure; the words stand in for it where nothing can be drawn."""
    text = json.dumps(figure, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    layout = figure["layout"]
    height = layout["height"] if isinstance(layout, dict) else _HISTORY_PIXELS
    tree = Html(f'<script type="application/json">{text.replace("<", chr(92) + "u003c")}</script>')
    return element(
        "figure",
        element(
            "div",
            class_="chart",
            id=f"chart-{name}",
            role="img",
            aria_label=description,
            style=f"height:{height}px",
        ),
        tree,
        element("figcaption", description),
        class_="plot",
    )


def bridge_figure(bridge: BridgeView) -> _Figure:
    """Change of NAV by cause, each bar starting where the one before ended; the last is the whole change."""
    causes = [(component_name(row.component), float(row.amount_usd)) for row in bridge_rows(bridge)]
    if abs(bridge.residual) >= _CENT:
        causes.append(("Unexplained", float(bridge.residual)))
    change = float(bridge.closing_nav - bridge.opening_nav)
    names, amounts = [name for name, _ in causes], [value for _, value in causes]
    trace: Json = {
        "type": "waterfall",
        "orientation": "h",
        "y": [*_shown(names), "Change of NAV"],
        "x": [*amounts, change],
        "measure": [*("relative" for _ in amounts), "total"],
        "increasing": {"marker": {"color": "--gain"}},
        "decreasing": {"marker": {"color": "--loss"}},
        "totals": {"marker": {"color": "--total"}},
        "connector": {"line": {"color": "--line", "width": 1}},
        "hovertemplate": "%{y}: %{delta:+,.2f} USD<extra></extra>",
    }
    numbers = [compact(value, signed=True) for value in (*amounts, change)]
    layout = _bar_layout([*names, "Change of NAV"], numbers, [*accumulate(amounts), change])
    return {"data": [trace], "layout": layout}


def sleeve_figure(rows: Sequence[ExposureRow]) -> _Figure:
    """Long exposure to the right, short to the left; the number is the net."""
    names = [sleeve_name(row.name) for row in rows]
    longs, shorts = [float(row.long_usd) for row in rows], [-float(row.short_usd) for row in rows]
    numbers = [compact(row.long_usd - row.short_usd, signed=True) for row in rows]
    data: Json = [
        _bars("Long", "--long", names, longs),
        _bars("Short", "--short", names, shorts),
    ]
    return {"data": data, "layout": _bar_layout(names, numbers, [*longs, *shorts])}


def currency_figure(rows: Sequence[CurrencyRow]) -> _Figure:
    """Net value beside its hedge, by currency other than the dollar; the number is what remains."""
    names = [row.currency for row in rows]
    values, hedges = [float(row.net_value_usd) for row in rows], [float(row.hedge_usd) for row in rows]
    remaining = [float(row.remaining_usd) for row in rows]
    data: Json = [
        _bars("Net value", "--long", names, values),
        _bars("Hedge", "--short", names, hedges),
    ]
    dots: Json = {
        "type": "scatter",
        "mode": "markers",
        "name": "Remaining",
        "x": list[Json](remaining),
        "y": _shown(names),
        "marker": {"color": "--ink", "symbol": "diamond", "size": 9},
        "hovertemplate": "%{y} remaining: %{x:+,.0f} USD<extra></extra>",
    }
    assert isinstance(data, list)
    numbers = [compact(row.remaining_usd, signed=True) for row in rows]
    return {"data": [*data, dots], "layout": _bar_layout(names, numbers, [*values, *hedges, *remaining])}


def history_figure(report: DayReport) -> _Figure:
    """NAV above, gross and net exposure below; days in another regime than NORMAL are shaded."""
    points = report.history
    days = [point.trade_date.isoformat() for point in points]
    data: list[Json] = [
        _line("NAV", "--long", days, [float(point.nav) for point in points], "y"),
        _line("Gross exposure", "--total", days, [float(point.gross_exposure) for point in points], "y2"),
        _line("Net exposure", "--short", days, [float(point.net_exposure) for point in points], "y2"),
    ]
    axis: _Figure = {"gridcolor": "--grid", "zerolinecolor": "--line", "tickformat": "~s", "nticks": 6}
    layout: _Figure = {
        "height": _HISTORY_PIXELS,
        "margin": {"l": 62, "r": 14, "t": 26, "b": 44},
        "xaxis": {
            "gridcolor": "--grid",
            "linecolor": "--line",
            "anchor": "y2",
            "type": "date",
            **_day_ticks(days),
        },
        "yaxis": {**axis, "domain": [0.5, 1.0], "tickformat": ".4~s"},
        "yaxis2": {**axis, "domain": [0.0, 0.38], "nticks": 4},
        "annotations": [_panel_title("NAV, USD", 1.0), _panel_title("Gross and net exposure, USD", 0.38)],
        "shapes": list(_regime_bands(points)),
        "showlegend": False,
        "hovermode": "x unified",
        **_common(),
    }
    return {"data": data, "layout": layout}


def _day_ticks(days: Sequence[str]) -> _Figure:
    """A tick for each of a few days; plotly would divide them into hours."""
    if len(days) > _FEW_DAYS:
        return {"nticks": 6}
    return {"tickmode": "array", "tickvals": list[Json](days), "tickformat": "%-d %b %Y"}


def _bars(name: str, color: str, names: Sequence[str], values: Sequence[float]) -> Json:
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "y": _shown(names),
        "x": list[Json](values),
        "marker": {"color": color},
        "hovertemplate": f"%{{y}} {name.lower()}: %{{x:+,.0f}} USD<extra></extra>",
    }


def _line(name: str, color: str, days: Sequence[str], values: Sequence[float], axis: str) -> Json:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list[Json](days),
        "y": list[Json](values),
        "yaxis": axis,
        "line": {"color": color, "width": 2},
        "hovertemplate": "%{y:,.0f} USD",
    }


def _bar_layout(names: Sequence[str], numbers: Sequence[str], reach: Sequence[float]) -> _Figure:
    low, high = min(0.0, *reach, 0.0), max(0.0, *reach, 0.0)
    pad = (high - low) * 0.04 or 1.0
    left, right = _margin([str(name) for name in _shown(names)]), _margin(numbers)
    return {
        "height": _ROW_PIXELS * len(names) + _FRAME_PIXELS,
        "margin": {"l": left, "r": right, "t": 8, "b": 46},
        "xaxis": {
            "range": [low - pad, high + pad],
            "gridcolor": "--grid",
            "zerolinecolor": "--ink",
            "zerolinewidth": 1,
            "nticks": 6,
            "tickformat": "~s" if high - low >= 10 else ",.3~r",
            "tickangle": 0,
            "title": {"text": "USD", "standoff": 6, "font": {"size": 12, "color": "--soft"}},
        },
        "yaxis": {"autorange": "reversed", "type": "category", "ticks": "", "showgrid": False},
        "annotations": [_number(row, text, right) for row, text in enumerate(numbers)],
        "barmode": "overlay",
        "bargap": 0.38,
        "showlegend": False,
        **_common(),
    }


def _common() -> _Figure:
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "--font", "size": 12.5, "color": "--ink"},
        "dragmode": False,
        "hoverlabel": {"bgcolor": "--card", "bordercolor": "--line", "font": {"color": "--ink"}},
    }


def _number(row: int, text: str, margin: int) -> Json:
    """A number in the right margin, level with its bar, aligned right."""
    return {
        "x": 1,
        "xref": "paper",
        "xshift": margin - 2,
        "xanchor": "right",
        "y": row,
        "yref": "y",
        "yanchor": "middle",
        "text": text,
        "showarrow": False,
        "font": {"color": "--ink"},
    }


def _panel_title(text: str, top: float) -> Json:
    return {
        "x": 0,
        "xref": "paper",
        "xanchor": "left",
        "y": top,
        "yref": "paper",
        "yanchor": "bottom",
        "yshift": 6,
        "text": text,
        "showarrow": False,
        "font": {"color": "--soft", "size": 12},
    }


def _margin(texts: Sequence[str]) -> int:
    return int(max((len(text) for text in texts), default=0) * _LETTER_PIXELS) + 16


def _shown(names: Sequence[str]) -> list[Json]:
    """Names as categories: cut when too long, kept apart when equal, and never markup for plotly."""
    cut = [name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…" for name in names]
    apart = [
        f"{name} ({cut[:row].count(name) + 1})" if name in cut[:row] else name for row, name in enumerate(cut)
    ]
    return [escape(name, quote=False) for name in apart]


def _regime_bands(points: Sequence[HistoryPoint]) -> Iterator[Json]:
    numbered = list(enumerate(points))
    for regime, group in groupby(numbered, key=lambda pair: pair[1].regime):
        run = [number for number, _ in group]
        if regime == "NORMAL":
            continue
        end = points[min(run[-1] + 1, len(points) - 1)]
        yield {
            "type": "rect",
            "layer": "below",
            "xref": "x",
            "yref": "paper",
            "x0": points[run[0]].trade_date.isoformat(),
            "x1": end.trade_date.isoformat(),
            "y0": 0,
            "y1": 1,
            "fillcolor": "--crisis-band" if regime == "CRISIS" else "--watch-band",
            "line": {"width": 0},
        }
