"""Who works on what: one value, the claim, and one verb each for what becomes of it (DESIGN, section 3).

`taking.take` and `taking.take_over` make or renew one, `checking.check` is the fence, `ending.end` is every way in which
one ends. All of them write by the one compare-and-swap of `swap`; the last word on a claim lies in the one outbox.
"""
