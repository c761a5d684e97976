"""From a request to its answer: what runs beside the model while the service is up.

It may import the policy, the model and the storage edge, and knows no web framework.
"""
