"""A simulated country on loopback: real listeners, real packets, and faults that its far ends play by a script.

It tells the product nothing: the product reads the configuration that is written here and watches, as it would
watch anything else. Everything in it is invented and says so; only names and places come from the domain data.
"""
