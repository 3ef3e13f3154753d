"""Room ``speed``: what the losses cost beside other implementations, and what a call costs its host.

Every contestant is checked against float64 first; the figures of those that pass become records, tables and pictures.
"""
