"""How the report looks, and the script that draws its charts: both written into the page itself."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --font: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --page: #f4f5f7; --card: #ffffff; --ink: #1a2230; --soft: #566173; --line: #c9d0d9; --grid: #e7eaee; --band: #f6f8fa;
  --long: #2b6cb0; --short: #b2560c; --gain: #1c7d55; --loss: #bb3328; --total: #5b6778;
  --good: #17663f; --good-bg: #e2f3ea; --bad: #ffffff; --bad-bg: #b3261e; --warn: #7a4a00; --warn-bg: #fdf0d5;
  --crisis-band: rgba(187, 51, 40, .14); --watch-band: rgba(214, 150, 30, .16); }
@media (prefers-color-scheme: dark) { :root {
  --page: #10141a; --card: #181e26; --ink: #e6eaf0; --soft: #a2adbb; --line: #3a4552; --grid: #29323d; --band: #1f2731;
  --long: #63a4e8; --short: #e89a4c; --gain: #4fbf8d; --loss: #ef7a70; --total: #9aa7b8;
  --good: #8ce0b6; --good-bg: #17392a; --bad: #ffffff; --bad-bg: #b3261e; --warn: #f5cd83; --warn-bg: #41300f;
  --crisis-band: rgba(239, 122, 112, .20); --watch-band: rgba(230, 180, 80, .16); } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 12px; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 var(--font); overflow-wrap: break-word;
  font-variant-numeric: tabular-nums; }
main, header, footer, nav { max-width: 1200px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 28px; }
.brand { color: var(--soft); font-size: 14px; letter-spacing: .02em; margin: 0; }
.title { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; margin: 2px 0 6px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 19px; margin: 0 0 2px; line-height: 1.3; }
h3 { font-size: 15px; margin: 20px 0 6px; }
p { margin: 6px 0; }
.soft, .lead, figcaption { color: var(--soft); }
.lead { margin: 0 0 14px; }
figcaption { font-size: 13px; margin-top: 2px; }
.badge { display: inline-block; padding: 3px 12px; border-radius: 999px; font-weight: 650; font-size: 14px; letter-spacing: .03em;
  background: var(--warn-bg); color: var(--warn); }
.badge.good { background: var(--good-bg); color: var(--good); }
.badge.bad { background: var(--bad-bg); color: var(--bad); }
.facts { display: flex; flex-wrap: wrap; gap: 2px 20px; margin: 0; padding: 0; list-style: none; color: var(--soft); font-size: 14px; }
.banner { margin: 14px 0 0; padding: 9px 14px; border-radius: 8px; background: var(--warn-bg); color: var(--warn); }
nav { margin-top: 14px; font-size: 14px; display: flex; flex-wrap: wrap; gap: 4px 18px; }
a { color: var(--long); text-underline-offset: 3px; }
section { background: var(--card); border: 1px solid var(--grid); border-radius: 12px; padding: 20px 24px; margin: 16px 0; }
section.alarm { border: 2px solid var(--bad-bg); }
.tiles { display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); gap: 12px; margin: 16px 0; padding: 0; }
.tile { background: var(--card); border: 1px solid var(--grid); border-radius: 12px; padding: 12px 16px 13px; min-width: 0; }
.tile dt { color: var(--soft); font-size: 13px; }
.tile dd { margin: 0; }
.tile .value { font-size: 18.5px; font-weight: 650; line-height: 1.3; letter-spacing: -.01em; }
.tile .unit { white-space: nowrap; font-size: 13px; font-weight: 500; color: var(--soft); letter-spacing: 0; }
.tile .under { color: var(--soft); font-size: 13px; }
.gain { color: var(--gain) !important; } .loss { color: var(--loss) !important; }
.pair { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 8px 36px; align-items: start; }
.pair > div { min-width: 0; }
.plot { margin: 0 0 8px; } .chart { width: 100%; }
.frame { overflow-x: auto; margin: 8px 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
caption { text-align: left; color: var(--soft); font-size: 13px; padding: 0 0 4px; }
th, td { text-align: left; vertical-align: top; padding: 6px 12px 6px 0; border-bottom: 1px solid var(--grid); font-weight: 400; }
th:last-child, td:last-child { padding-right: 0; }
td.text { min-width: 84px; } td.text:last-child { min-width: 120px; }
thead th { color: var(--soft); font-size: 13px; font-weight: 500; vertical-align: bottom; border-bottom-color: var(--line); }
tfoot th, tfoot td { font-weight: 650; border-bottom: 0; border-top: 1px solid var(--line); }
.number { text-align: right; } td.number { white-space: nowrap; }
tr.group th { background: var(--band); font-weight: 650; padding: 7px 8px; } tr.group .soft { font-weight: 400; }
.id { color: var(--soft); font-size: 13px; } .id, .facts, .command, .brand, .banner { overflow-wrap: anywhere; }
details { margin: 10px 0; } summary { cursor: pointer; padding: 4px 0; font-weight: 550; }
ul { padding-left: 20px; margin: 8px 0; } li { margin: 3px 0; }
code { font: 13px/1.6 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.command { display: block; background: var(--band); border: 1px solid var(--grid); border-radius: 8px; padding: 7px 12px; margin: 5px 0; }
.command span { white-space: nowrap; }
.done, .notdone, .part { font-weight: 650; } .done { color: var(--gain); } .notdone { color: var(--loss); } .part { color: var(--short); }
footer { color: var(--soft); font-size: 13px; padding-bottom: 36px; }
@media (max-width: 1000px) { .tiles { grid-template-columns: repeat(3, minmax(0, 1fr)); } .pair { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 640px) {
  main, header, footer, nav { padding-left: 14px; padding-right: 14px; }
  h1 { font-size: 23px; } section { padding: 15px 14px; border-radius: 10px; margin: 12px 0; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; } .tile { padding: 10px; } .tile .value { font-size: 16px; }
  table.stack, .stack tbody, .stack tfoot { display: block; }
  .stack thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .stack caption { display: block; }
  .stack tr { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 5px 14px; align-items: end; padding: 10px 0; border-bottom: 1px solid var(--grid); }
  .stack th, .stack td { display: block; border: 0; padding: 0; text-align: left; white-space: normal; min-width: 0 !important; overflow-wrap: anywhere; }
  .stack tbody th, .stack tfoot th { grid-column: 1 / -1; font-weight: 600; }
  .stack td[data-label]::before { content: attr(data-label); display: block; color: var(--soft); font-size: 12px; line-height: 1.3; font-weight: 400; }
  .stack td.text:last-child { grid-column: 1 / -1; } .stack td:empty { display: none; }
  #halts .stack tr { align-items: start; }
  .stack tr.group { display: block; padding: 0; border: 0; } .stack tr.group th { display: block; padding: 7px 8px; }
}
@media print {
  :root { --page: #fff; --card: #fff; --ink: #111; --soft: #444; --line: #999; --grid: #ddd; --band: #f3f3f3; --warn: #5c3800; --good: #0c4f2e; }
  body { font-size: 11px; } nav { display: none; } section, .tile { border-color: #bbb; break-inside: avoid-page; padding: 10px 12px; }
  section.long { break-inside: auto; } tr, figure { break-inside: avoid; } thead { display: table-header-group; }
  .chart text { fill: #111 !important; }
}
"""

SCRIPT = """
(async () => {
  const places = [...document.querySelectorAll(".chart")];
  const unpack = async packed => {
    const bytes = Uint8Array.from(atob(packed), letter => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
  };
  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    const named = (key, value) =>
      typeof value === "string" && value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
    for (const place of places) {
      const figure = JSON.parse(place.nextElementSibling.textContent, named);
      if (place.clientWidth < 480) {
        figure.layout.font.size = 11.5;
        const { l, r } = figure.layout.margin;
        figure.layout.xaxis.nticks = place.clientWidth - l - r < 120 ? 3 : 4;
      }
      Plotly.react(place, figure.data, figure.layout, { displayModeBar: false, responsive: true, showTips: false });
    }
  };
  try {
    const script = document.createElement("script");
    script.textContent = await unpack(document.getElementById("plotly").textContent);
    document.head.append(script);
    draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    document.documentElement.dataset.charts = "drawn";
  } catch (error) {
    for (const place of places) { place.style.height = "auto"; place.textContent = "The chart could not be drawn; the table says the same."; }
    document.documentElement.dataset.charts = "missing";
  }
})();
// Everything is printed, also what is folded on the screen.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(part => { part.open = true; }));
"""
