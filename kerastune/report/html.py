"""A report as one HTML file that needs nothing else: no network, no script, pictures inside."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from kerastune.report.blocks import Code, Items, Picture, Section, Table, Text, plain, slug

# Nothing is loaded and nothing runs, whatever the names of somebody's classes are.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

MOST_PRINTED = 24  # rows of a folded table: paper is for the story

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #5b6168; --paper: #f4f5f7; --card: #fff;
  --line: #d9dce1;
  --accent: #0b6aa8; --shade: #eef1f4; --dim: #0003; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #a3abb4; --paper: #14171a;
  --card: #1e2226;
  --line: #363c43; --accent: #6cb8ee; --shade: #282d33; --dim: #fff3; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", "DejaVu Sans",
  sans-serif; }
main { max-width: 54rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1rem 0 .75rem; }
h2 { font-size: 1.3rem; margin: 0 0 .6rem; }
h3 { font-size: 1.08rem; margin: 0 0 .4rem; }
p, ul { margin: .5rem 0; max-width: 46rem; }
ul { padding-left: 1.2rem; }
.lead { font-size: 1.13rem; font-weight: 600; }
nav { margin-bottom: 1rem; line-height: 2; }
nav a { margin-right: .9rem; }
a { color: var(--accent); }
main > section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1.1rem;
  margin: 0 0 1rem; }
section section { border-top: 1px solid var(--line); padding-top: 1rem; margin-top: 1rem; }
figure { margin: .8rem 0; }
figure img { display: block; max-width: 100%; height: auto; background: #fff;
  border-radius: .4rem; }
.scroll { overflow-x: auto; max-width: 100%; background:
  linear-gradient(to right, var(--card) 40%, transparent) 0 0 / 2.5rem 100% local,
  linear-gradient(to left, var(--card) 40%, transparent) 100% 0 / 2.5rem 100% local,
  linear-gradient(to right, var(--dim), transparent) 0 0 / .8rem 100% scroll,
  linear-gradient(to left, var(--dim), transparent) 100% 0 / .8rem 100% scroll;
  background-repeat: no-repeat; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums;
  margin: .3rem 0; }
caption { text-align: left; color: var(--soft); padding: .2rem 0; white-space: nowrap; }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; white-space: nowrap; }
th, td { overflow-wrap: normal; } td { max-width: 24rem; }
summary { cursor: pointer; color: var(--accent); padding: .25rem 0; }
pre { background: var(--shade); border-radius: .4rem; padding: .7rem; overflow-x: auto;
  font-size: .86rem;
  line-height: 1.45; }
@media (max-width: 30rem) {
  main { padding: .6rem; } main > section { padding: .8rem; } h1 { font-size: 1.4rem; }
  /* Words of a cell are not torn: what is wider than the screen is scrolled,
  and its shadow tells. */
  table { width: max-content; font-size: .86rem; }
  td { max-width: 60vw; } th { max-width: 8rem; white-space: normal; }
  th, td { padding-right: .6rem; }
}
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --paper: #fff; --card: #fff;
    --line: #bbb; --accent: #000;
    --shade: #f2f2f2; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  summary { list-style: none; color: var(--soft); }
  main > section { border: 0; border-top: 1px solid var(--line); border-radius: 0;
    padding: .6rem 0; }
  figure, tr { break-inside: avoid; }
  h1, h2, h3, caption, summary, thead { break-after: avoid; }
  figure img { max-height: 12cm; max-width: min(100%, 12cm); width: auto; }
  .scroll { overflow: visible; background: none; }
  table { font-size: 8pt; }
  th { white-space: normal; }
  pre { white-space: pre-wrap; }
  details::details-content { content-visibility: visible; display: block; }
  .long .scroll { display: none; }
  .long summary::after { content: ": not printed, to be seen on the screen."; }
}
"""


def render(title: str, sections: Sequence[Section]) -> str:
    """The whole page.

    Args:
        title: of the report.
        sections: in their order.

    Example:
        >>> "&lt;b&gt;" in render("<b>", [Section("Data", (Text("<script>"),))])
        True
    """
    links = " ".join(
        f'<a href="#{slug(each.title)}">{escaped(each.title)}</a>' for each in sections
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escaped(title)}</h1>\n<nav>{links}</nav>\n"
        f"{''.join(_section(each, 2) for each in sections)}</main>\n</body>\n</html>\n"
    )


def escaped(text: str) -> str:
    """Text that is nothing but text in HTML, also within an attribute."""
    return html.escape(plain(text))


def _section(section: Section, level: int) -> str:
    blocks = "".join(_block(block) for block in section.blocks)
    parts = "".join(_section(part, level + 1) for part in section.parts)
    heading = f"<h{level}>{escaped(section.title)}</h{level}>"
    return f'<section id="{slug(section.title)}">\n{heading}\n{blocks}{parts}</section>\n'


def _block(block: Text | Items | Table | Picture | Code) -> str:
    if isinstance(block, Text):
        return f"<p{' class=lead' * block.is_lead}>{escaped(block.words)}</p>\n"
    if isinstance(block, Items):
        return (
            f"<ul>{''.join(f'<li>{escaped(sentence)}</li>' for sentence in block.sentences)}</ul>\n"
        )
    if isinstance(block, Picture):
        data = base64.b64encode(block.png).decode()
        # Drawn at twice the size, for screens with fine pixels.
        width = int.from_bytes(block.png[16:20]) // 2
        source = f"data:image/png;base64,{data}"
        return f'<figure><img alt="{escaped(block.alt)}" width="{width}" src="{source}"></figure>\n'
    if isinstance(block, Code):
        lines = "\n".join(escaped(line) for line in block.lines.splitlines())
        return f"<pre><code>{lines}</code></pre>\n"
    return _table(block)


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in table.header)
    rows = "".join(
        f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>\n" for row in table.rows
    )
    caption = "" if table.is_folded else f"<caption>{escaped(table.caption)}</caption>"
    content = f"{caption}<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody>"
    whole = f'<div class="scroll"><table>{content}</table></div>\n'
    if not table.is_folded:
        return whole
    long = " class=long" * (len(table.rows) > MOST_PRINTED)
    return f"<details{long}><summary>{escaped(table.caption)}</summary>\n{whole}</details>\n"
