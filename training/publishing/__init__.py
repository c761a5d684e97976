"""Publishing: writes versions into the models folder, guards the current one, prunes and exports.

It may import models, event stores and event data, but neither fitting nor measuring.
"""
