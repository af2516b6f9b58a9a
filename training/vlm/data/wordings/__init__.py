"""Wordings of the questions of the synthetic world, composed by a grammar.

``Wordings.rephrase`` turns a question of ``training.world`` into another wording with the same
answer. The questions of the images stay as they are; each packed sequence samples new wordings.
"""
