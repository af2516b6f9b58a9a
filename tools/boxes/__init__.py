"""Boxes as vision-language models write them, and the one form in which Sightline keeps them.

``profiles``     what a family of models wants and writes; ``families`` is the table
``fit``          how a picture is sized for a model, and where it then lies
``conventions``  the numbers of a family to and from pixels of the picture as sent
``parse``        one tolerant reader of answers; ``lenient`` and ``notations`` read the text
``write``        a box in a family's own form
``geometry``     boxes themselves

The canonical form is (x0, y0, x1, y1), shares 0 to 1 of the upright original, origin top left.
"""
