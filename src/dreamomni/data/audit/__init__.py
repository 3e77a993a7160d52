"""Labels derived a second time, from pixels and words alone, and compared with what samples say.

Nothing here uses the planning, drawing or labelling code of the engine: what is shared are definitions only
(the table of colour words, the names of stickers and shapes). A mistake there shows here as a disagreement.
"""
