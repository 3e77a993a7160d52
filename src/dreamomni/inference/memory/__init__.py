"""How much memory a model needs, which of its parts are where and when, and whether the plan held.

`facts` reads sizes off file headers, `plan` decides, `residence` moves parts between the stages of a request,
`quantise` makes weights smaller, `measure` looks at the real peak. Nothing here computes a picture.
"""
