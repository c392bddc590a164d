#include "cli/inspect/page_parts.h"

namespace hypura {

namespace {

constexpr std::string_view kStyle = R"css(
:root {
  color-scheme: light dark;
  --bg: #f4f5f7; --card: #fff; --ink: #1b2029; --muted: #5a6473; --line: #e1e5ea;
  --device: #1f8a63; --ram: #2f66d0; --disk: #ecc48d; --accent: #2f66d0;
  --warn: #fff5df; --warn-line: #e3b65b; --bad: #fdecea; --bad-line: #d9695f;
  --p0: #2f66d0; --p1: #1f8a8a; --p2: #8a5fc7; --p3: #c2588f; --p4: #c9822e; --p5: #5c7a29; --p6: #7d6a5b; --free: #e6e9ee;
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #11141a; --card: #191e26; --ink: #e6e9ef; --muted: #97a2b2; --line: #2a313c;
    --device: #35b587; --ram: #5b92f2; --disk: #6b5230; --accent: #7aa8f7;
    --warn: #2e2614; --warn-line: #a8802f; --bad: #341c1b; --bad-line: #b4554d;
    --p0: #5b92f2; --p1: #3fb3b0; --p2: #a985e0; --p3: #dd7fb0; --p4: #dd9f52; --p5: #8fae52; --p6: #a5917f; --free: #2a313c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--bg); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 40px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 16px; margin: 0 0 12px; }
p { margin: 0 0 8px; }
.sub { color: var(--muted); margin: 4px 0 0; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px 20px; margin-top: 16px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(215px, 1fr)); gap: 12px; margin-top: 20px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; }
.card .label { color: var(--muted); font-size: 13px; }
.card .label::first-letter { text-transform: uppercase; }
.card .value { font-size: 24px; font-weight: 600; line-height: 1.3; }
.card .note { color: var(--muted); font-size: 13px; line-height: 1.4; }
.card.main { border-color: var(--accent); }
.card.main .value { color: var(--accent); }
.callout { border: 1px solid var(--warn-line); background: var(--warn); border-radius: 10px; padding: 10px 14px; margin-top: 12px; }
.callout.bad { border-color: var(--bad-line); background: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: 6px 0 6px 16px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--muted); font-weight: 500; font-size: 13px; }
tr:last-child td { border-bottom: 0; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th.text, td.text { text-align: left; }
tr.sum td { font-weight: 600; border-top: 1px solid var(--muted); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 6px 20px; margin: 0; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
svg.map { display: block; width: 100%; min-width: 620px; height: auto; }
svg.map text { fill: var(--muted); font: 13px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }
svg.map .device { fill: var(--device); }
svg.map .ram { fill: var(--ram); }
svg.map .disk { fill: var(--disk); }
svg.map g:hover rect { stroke: var(--ink); stroke-width: 1; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 20px; color: var(--muted); font-size: 13px; margin-top: 12px; }
.legend b { color: var(--ink); font-weight: 500; }
.swatch { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px; vertical-align: -1px; }
.stack { display: flex; height: 28px; border-radius: 7px; overflow: hidden; background: var(--free); }
.stack span { min-width: 1px; border-right: 1px solid var(--card); }
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: 8px 14px; align-items: center; }
.bars .bar { height: 16px; border-radius: 5px; background: var(--ram); min-width: 2px; }
.bars .bar.soft { opacity: .55; }
.bars .bar.bound { background: var(--muted); opacity: .45; }
details summary { cursor: pointer; font-weight: 600; }
details table { font-size: 13px; margin-top: 10px; }
footer { color: var(--muted); font-size: 13px; margin-top: 20px; }
)css";

}  // namespace

std::string_view page_style() {
  return kStyle;
}

}  // namespace hypura
