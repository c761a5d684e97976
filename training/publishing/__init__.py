"""Publishing: a model becomes a version of the models folder, is guarded, pruned, exported.

It may import models, event stores and what event data give; it knows neither fitting nor measuring.
"""
